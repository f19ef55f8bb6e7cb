import { IssueCollector, LimitExceededError } from '../errors/errors.ts';
import {
  type IngestContext,
  type Receipt,
  validateCount,
  validateScope,
  validateTarget,
  type WriteTarget,
} from './ingest-request.ts';
import type { ListContent } from './pipeline/plan.ts';
import { write } from './write.ts';

/** A sum, replace or delete whose records or selectors came as a list. */
export type IngestRequest = ListContent &
  WriteTarget & {
    /** Maximum number of records; absent if the size of the body limits it. */
    readonly maxRecords?: number;
    /** Number of records in the earlier fields of the same HTTP request, which count too. */
    readonly recordsBefore?: number;
  };

/**
 * Writes a list of records or selectors: all of them, or none. A repeated request with an idempotency key returns the
 * receipt of the first. Throws ValidationError, ConflictError, LimitExceededError, NotFoundError (DELETE) and StreamBusyError.
 */
export async function ingest(context: IngestContext, request: IngestRequest): Promise<Receipt> {
  validateRequest(request);
  return write(context, request);
}

export function validateRequest(request: IngestRequest): void {
  const { maxRecords, recordsBefore = 0, records } = request;
  const count = recordsBefore + records.length;
  if (maxRecords !== undefined && count > maxRecords) {
    throw new LimitExceededError(
      `The request has ${count} records; the maximum is ${maxRecords}. Split it into several requests.`,
      maxRecords,
      count,
    );
  }
  const issues = new IssueCollector();
  validateTarget(request, issues);
  validateScope(request, issues);
  validateCount(request, records.length, issues);
  issues.throwIfAny();
}
