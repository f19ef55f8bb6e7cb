import { setImmediate } from 'node:timers/promises';
import {
  type BackfillSpan,
  type BackfillWindow,
  findNearestWindows,
  iterateWindows,
} from '../jobs/schedule/backfill-windows.ts';
import type { JobSettings } from '../jobs/settings.ts';
import { formatInZone } from '../lib/zoned-time.ts';
import { spanOf, takeWindows } from '../runs/backfills/next-windows.ts';
import type { TimeWindow } from '../usage/buckets.ts';
import { type BackfillInput, parseSpan, refuseSpan } from './input.ts';

/** Number of windows that are computed without a pause for other requests: about 10 ms. */
const CHUNK = 200;

/** Returns the span whose windows the backfill delivers. Throws ValidationError if it is not valid, or the job has no cron. */
export function readSpan(input: Pick<BackfillInput, 'from' | 'to'>, settings: JobSettings, now: Date): BackfillSpan {
  const { from, to } = parseSpan(input);
  if (settings.cron === null) {
    throw refuseSpan('jobId', 'NO_SCHEDULE', 'The job has no cron, so it has no windows. Set one, or use runJob.');
  }
  return spanOf(settings, { from, to, now });
}

/**
 * Yields all windows in chunks. Other requests are handled in between, since 100,000 windows take seconds. Throws ValidationError if
 * there are more than `most`, or none.
 */
export async function* chunkWindows(
  span: BackfillSpan,
  newestFirst: boolean,
  most: number,
): AsyncGenerator<readonly BackfillWindow[], void> {
  const windows = iterateWindows(span, newestFirst);
  let count = 0;
  for (;;) {
    const chunk = takeWindows(windows, CHUNK);
    if (chunk.length === 0) break;
    count += chunk.length;
    if (count > most) {
      const limit = most.toLocaleString('en');
      throw refuseSpan('to', 'TOO_MANY_WINDOWS', `The span has more than ${limit} windows. Choose a shorter span.`);
    }
    yield chunk;
    await setImmediate();
  }
  if (count === 0) throw refuseSpan('to', 'NO_WINDOWS', describeNoWindows(span));
}

function describeNoWindows({ settings, from }: BackfillSpan): string {
  const { before, after } = findNearestWindows(settings, from);
  const format = ({ start, end }: TimeWindow): string =>
    `${formatInZone(start, settings.timeZone)} to ${formatInZone(end, settings.timeZone)}`;
  const nearest = [before, after].flatMap((window) => (window ? [format(window)] : []));
  return `No window that has ended lies in the span. The nearest ${nearest.length === 1 ? 'is' : 'are'} ${nearest.join(' and ')}.`;
}
