// Pure: moments in arguments that have no typed result to put an issue into.
import { BadUserInputError } from '../../errors/errors.ts';
import { readTimestamp } from '../../lib/timestamps.ts';
import type { Granularity } from '../../streams/pipeline/inputs.ts';

/**
 * A bound for the starts of buckets: an instant for hours; for days and months, which are calendar dates, the date and time
 * as written. Throws BadUserInputError if the text is not RFC 3339.
 */
export const readBucketBound = (
  name: string,
  text: string | null | undefined,
  granularity: Granularity,
): Date | null => {
  if (text == null) return null;
  const written = readTimestamp(text);
  if (written === null) {
    throw new BadUserInputError(
      `${name} must be an RFC 3339 timestamp with an offset, such as "2026-01-25T00:00:00Z".`,
    );
  }
  return new Date(granularity === 'HOURLY' ? written.instant : written.wallTime);
};
