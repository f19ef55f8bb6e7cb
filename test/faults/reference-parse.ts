/**
 * Run by worst-inputs.test.ts in a process of its own. For each message it parses 5 MB of JSON a few times, and sends the least number of
 * milliseconds that this took, without those in which other processes had the processor.
 */
import { waitedMs } from './probed-health.ts';

const BYTES = 5_000_000;
const TIMES = 3;

/** A list of different short strings, which cost JSON.parse the most: 135 ms, a list of zeros 37 ms (November 2026). */
function makeText(): string {
  const strings: string[] = [];
  for (let bytes = 0; bytes < BYTES; bytes += (strings.at(-1)?.length ?? 0) + 1) strings.push(`"v${strings.length}"`);
  return `[${strings.join(',')}]`;
}

const text = makeText();

function measure(): number {
  const [begun, waitedBefore] = [performance.now(), waitedMs(process.pid)];
  JSON.parse(text);
  return performance.now() - begun - (waitedMs(process.pid) - waitedBefore);
}

process.on('message', () => {
  process.send?.(Math.min(...Array.from({ length: TIMES }, measure)));
});
process.on('disconnect', () => process.exit());
