// Pure: moments in arguments that have no typed result to put an issue into.
import { BadUserInputError } from '../errors.ts';
import { parseTimestamp } from '../lib/timestamps.ts';

/** Throws BadUserInputError for what is no RFC 3339 moment. */
export const readMoment = (name: string, text: string | null | undefined): Date | null => {
  if (text == null) return null;
  const milliseconds = parseTimestamp(text);
  if (milliseconds === null) {
    throw new BadUserInputError(
      `${name} must be an RFC 3339 date and time with a zone, such as "2026-01-25T00:00:00Z".`,
    );
  }
  return new Date(milliseconds);
};
