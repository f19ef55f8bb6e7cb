// Pure: the input of a backfill.
import { ValidationError, IssueCollector } from '../errors/errors.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import type { Reprocess } from '../runs/backfills/progress.ts';

export interface BackfillInput {
  /** RFC 3339. */
  readonly from: string;
  readonly to: string;
  readonly order: 'OLDEST_FIRST' | 'NEWEST_FIRST';
  readonly reprocess: Reprocess;
}

export const BACKFILL_ORDERS = ['OLDEST_FIRST', 'NEWEST_FIRST'] as const;
export const REPROCESS = ['MISSING', 'STALE', 'ALL'] as const;

/** Windows start up to a century before their slot, and RFC 3339 has no years before 1. */
const EARLIEST = Date.UTC(1900, 0, 1);

/** Returns the span of a backfill. Throws ValidationError if it is not valid. */
export function parseSpan(input: Pick<BackfillInput, 'from' | 'to'>): { readonly from: Date; readonly to: Date } {
  const issues = new IssueCollector();
  const [from, to] = (['from', 'to'] as const).map((name) => {
    const instant = parseTimestamp(input[name]);
    if (instant === null) {
      issues.add(['input', name], 'BAD_TIMESTAMP', 'Must be an RFC 3339 timestamp, such as 2026-01-25T00:00:00Z.');
    } else if (instant < EARLIEST) issues.add(['input', name], 'BAD_TIMESTAMP', 'Must not be before 1900.');
    return instant ?? 0;
  }) as [number, number];
  issues.throwIfAny();
  if (from >= to) throw refuseSpan('to', 'EMPTY_WINDOW', 'Must be after from.');
  return { from: new Date(from), to: new Date(to) };
}

/** Returns the error of one field. */
export function refuseSpan(
  field: 'jobId' | 'from' | 'to',
  code: 'EMPTY_WINDOW' | 'NO_SCHEDULE' | 'NO_WINDOWS' | 'TOO_MANY_WINDOWS',
  message: string,
): ValidationError {
  return new ValidationError([{ path: ['input', field], code, message }]);
}
