// Pure: the input that starts a run by hand.
import { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import { addIssue } from '../validation/zod-issues.ts';

/** Windows start up to a century before their slot, and RFC 3339 has no years before 1. */
const EARLIEST_SLOT = Date.UTC(1900, 0, 1);
const DAY_MS = 86_400_000;

/** The time that a run is for, as RFC 3339; null is now. */
export function slotInput(clock: Clock) {
  return z
    .string()
    .nullish()
    .transform((text, context): Date => {
      const now = clock.now().getTime();
      const slot = text == null ? now : parseTimestamp(text);
      if (slot === null) {
        return addIssue(
          context,
          'BAD_TIMESTAMP',
          'Must be an RFC 3339 date and time with a zone, such as "2026-01-25T00:00:00Z".',
        );
      }
      if (slot < EARLIEST_SLOT) return addIssue(context, 'BAD_TIMESTAMP', 'Must not be before 1900.');
      // No records can exist yet, so the export would be incomplete.
      if (slot > now + DAY_MS) {
        return addIssue(context, 'FUTURE_TIMESTAMP', 'Must not be more than 24 hours in the future.');
      }
      return new Date(slot);
    })
    .meta({
      description: 'Slot of the run, from which the window is computed. Up to 24 hours in the future. Defaults to now.',
    });
}
