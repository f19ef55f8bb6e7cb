import { ndjsonLine, recordAt, type Shape } from './made-up-records.ts';
import { post } from './senders.ts';

export function sumPath(stream: string): string {
  return `/unit-cost/v1/telemetry/allocation/${stream}/sum`;
}

/** Lines per request. */
const LINES = 1_000_000;
const PIECE = 5000;

/** Sends all records of the shape, from an index on, to a stream. */
export async function fillStream(url: string, stream: string, shape: Shape, from = 0): Promise<void> {
  const total = shape.keys * shape.repeats;
  for (let start = from; start < total; start += LINES) {
    const end = Math.min(total, start + LINES);
    const { status, text } = await post(url, sumPath(stream), piecesOf(shape, start, end), {
      'content-type': 'application/x-ndjson',
    });
    if (status !== 200) throw new Error(`${status}: ${text}`);
  }
}

/** NDJSON of the records of the shape from `start` to before `end`. */
export function* piecesOf(shape: Shape, start: number, end: number): Generator<Buffer> {
  for (let at = start; at < end; at += PIECE) {
    let text = '';
    for (let index = at; index < Math.min(end, at + PIECE); index += 1) text += ndjsonLine(recordAt(index, shape));
    yield Buffer.from(text);
  }
}
