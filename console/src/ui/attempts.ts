// Pure: the attempts of a run.
import { clockTimeOf } from './zone-dates.ts';

/** A run has up to 5 attempts. */
export const MAX_ATTEMPTS = 5;

/** Describes that an attempt failed, and when the next one starts. */
export function describeRetry(attempt: number, nextAttemptAt: string, zone: string): string {
  const next = `${clockTimeOf(Date.parse(nextAttemptAt), zone, true)} ${zone}`;
  return `Attempt ${attempt} of ${MAX_ATTEMPTS} failed. The next one starts at ${next}`;
}
