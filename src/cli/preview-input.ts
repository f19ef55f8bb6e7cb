// Pure: the input of a previewed write, from a file and flags.
import { readTimestamp } from '../lib/timestamps.ts';
import { CommandError, missingValue, UsageError } from './command-error.ts';
import { requireSpan, requireTime } from './time-range.ts';

export type PreviewKind = 'sum' | 'replace' | 'delete';

export interface PreviewInputFlags {
  readonly stream?: string;
  readonly timestamp?: string;
  readonly granularity?: string;
  readonly element?: string;
  readonly value?: string;
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly from?: string;
  readonly to?: string;
}

/** The fields of AllocationInput, or of AllocationDeleteInput. */
export type WriteInput = Readonly<Record<string, unknown>>;

/**
 * Builds the input of a write. Flags add a record or the scope, and name the stream. Throws UsageError or CommandError.
 * @param text JSON object with the fields of the input, or an array of records; null without a file
 */
export function buildWriteInput(kind: PreviewKind, text: string | null, flags: PreviewInputFlags): WriteInput {
  const fields = text === null ? {} : parseFields(text);
  const { stream = fields['stream'], timestamp, value } = flags;
  if (stream === undefined) throw missingValue('Name the stream with --stream, or as `stream` in the file.', text);
  const record = timestamp === undefined ? [] : [buildRecord(kind, timestamp, flags)];
  if (value !== undefined && timestamp === undefined) throw new UsageError('--value needs --timestamp.');
  const scope = buildScope(kind, flags) ?? fields['scope'];
  const records = [...((fields['records'] as readonly unknown[] | undefined) ?? []), ...record];
  if (records.length === 0 && scope === undefined) {
    throw missingValue('Records are missing. Give a file, or a record with --timestamp.', text);
  }
  return { ...fields, stream, records, ...(scope !== undefined && { scope }) };
}

function parseFields(text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new CommandError(`The file is not valid JSON. ${(error as Error).message}`);
  }
  if (Array.isArray(parsed)) return { records: parsed };
  if (typeof parsed !== 'object' || parsed === null) {
    throw new CommandError('The file must contain a JSON object or an array of records.');
  }
  const { records } = parsed as Record<string, unknown>;
  if (records !== undefined && !Array.isArray(records)) throw new CommandError('`records` must be an array.');
  return parsed as Record<string, unknown>;
}

function buildRecord(kind: PreviewKind, timestamp: string, flags: PreviewInputFlags): object {
  const { granularity, element, value, filter } = flags;
  if (granularity === undefined) throw new UsageError('--timestamp needs --granularity.');
  if (kind !== 'delete' && (element === undefined || value === undefined)) {
    throw new UsageError(`A record of a ${kind} needs --element and --value.`);
  }
  return {
    timestamp: readTime(timestamp, '--timestamp'),
    granularity: granularity.toUpperCase(),
    ...(filter.length > 0 && { filter }),
    ...(element !== undefined && { elementName: element }),
    ...(value !== undefined && { value }),
  };
}

/** Without a record from flags, --filter and --element limit the scope. */
function buildScope(kind: PreviewKind, { from, to, timestamp, element, filter }: PreviewInputFlags) {
  if (from === undefined && to === undefined) return undefined;
  if (kind !== 'replace') throw new UsageError('Only a replace has a scope, with --from and --to.');
  if (from === undefined || to === undefined) throw new UsageError('A scope needs --from and --to.');
  const limits = timestamp === undefined && {
    ...(filter.length > 0 && { filter }),
    ...(element !== undefined && { elementName: element }),
  };
  const scope = { from: readTime(from, '--from'), to: readTime(to, '--to') };
  // Streams of days and months compare the dates as written.
  const [start, end] = [readTimestamp(scope.from), readTimestamp(scope.to)];
  if (!start || !end || start.wallTime >= end.wallTime) requireSpan({ from, to, timeZone: 'UTC' });
  return { ...scope, ...limits };
}

function readTime(text: string, flag: string): string {
  requireTime(text, flag, 'UTC');
  // The offset of a timestamp is kept: the bucket of a DAILY record is the date as written.
  return /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text;
}
