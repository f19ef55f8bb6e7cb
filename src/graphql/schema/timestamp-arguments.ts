// Pure: timestamps in arguments of fields without typed errors.
import { BadUserInputError } from '../../errors/errors.ts';
import { readTimestamp, type WrittenTimestamp } from '../../lib/timestamps.ts';
import type { Granularity } from '../../streams/pipeline/inputs.ts';

/**
 * Reads a bound for the starts of buckets. For HOURLY it is an instant; for DAILY and MONTHLY, whose buckets are calendar dates, the
 * date and time as written. Throws BadUserInputError if the text is not an RFC 3339 timestamp.
 */
export function readBucketBound(name: string, text: string | null | undefined, granularity: Granularity): Date | null {
  const written = readWritten(name, text);
  return written && new Date(granularity === 'HOURLY' ? written.instant : written.wallTime);
}

/** Reads an instant. Throws BadUserInputError if the text is not an RFC 3339 timestamp. */
export function readInstant(name: string, text: string | null | undefined): Date | null {
  const written = readWritten(name, text);
  return written && new Date(written.instant);
}

function readWritten(name: string, text: string | null | undefined): WrittenTimestamp | null {
  if (text == null) return null;
  const written = readTimestamp(text);
  if (written !== null) return written;
  throw new BadUserInputError(`${name} must be an RFC 3339 timestamp with an offset, such as "2026-01-25T00:00:00Z".`);
}
