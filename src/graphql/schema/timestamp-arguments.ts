// Pure: timestamps in arguments of fields without typed errors.
import { BadUserInputError } from '../../errors/errors.ts';
import { readTimestamp } from '../../lib/timestamps.ts';
import type { Granularity } from '../../streams/pipeline/inputs.ts';

/**
 * Reads a bound for the starts of buckets. For HOURLY it is an instant; for DAILY and MONTHLY, whose buckets are calendar dates, the
 * date and time as written. Throws BadUserInputError if the text is not an RFC 3339 timestamp.
 */
export function readBucketBound(name: string, text: string | null | undefined, granularity: Granularity): Date | null {
  if (text == null) return null;
  const written = readTimestamp(text);
  if (written === null) {
    throw new BadUserInputError(
      `${name} must be an RFC 3339 timestamp with an offset, such as "2026-01-25T00:00:00Z".`,
    );
  }
  return new Date(granularity === 'HOURLY' ? written.instant : written.wallTime);
}
