import { setTimeout as sleep } from 'node:timers/promises';
import { type Figure, median } from '../support/figures.ts';
import { ndjsonLine, recordAt } from '../support/made-up-records.ts';
import { ask, measureRate, post } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// Writes and reads of a few records in a bucket of a million, compared with the same in an empty bucket of the stream.

const STREAM = 'large-bucket';
const LARGE = { days: 1, keys: 1_000_000, repeats: 1 };
/** Alternating, so that a change in the machine's speed affects both. */
const TRIES = 41;
const SENDERS = 20;
const SECONDS = 5;
const MAX_HASHING_MS = 120_000;
const DAY_MS = 86_400_000;

type Bucket = 'large' | 'empty';

export async function measureLargeBuckets(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  const { url } = server;
  await fillStream(url, STREAM, LARGE);
  const client = await stage.connect();
  await client.query('VACUUM ANALYZE records, totals, filters, operations');
  const day = recordAt(0, LARGE).day;
  const emptyDay = new Date(Date.parse(day) - 10 * DAY_MS).toISOString().slice(0, 10);
  const bodyOf = (bucket: Bucket, customer: number, withValue: boolean): Buffer => {
    const record = { ...recordAt(customer, LARGE), day: bucket === 'large' ? day : emptyDay };
    const { value, ...selector } = JSON.parse(ndjsonLine(record)) as Record<string, unknown>;
    return Buffer.from(JSON.stringify({ records: [withValue ? { ...selector, value } : selector] }));
  };
  const send = async (verb: 'replace' | 'delete', bucket: Bucket, customer: number): Promise<void> => {
    const path = `/unit-cost/v1/telemetry/allocation/${STREAM}/${verb}`;
    const { status, text } = await post(url, path, bodyOf(bucket, customer, verb === 'replace'));
    if (status >= 300) throw new Error(`${status}: ${text}`);
  };
  const page = (bucket: Bucket): Promise<unknown> => {
    const from = bucket === 'large' ? day : emptyDay;
    const to = new Date(Date.parse(from) + DAY_MS).toISOString();
    return ask(
      url,
      `{ stream(name: "${STREAM}") { records(first: 20, from: "${from}T00:00:00Z", to: "${to}") { edges { node { elementName value } } } } }`,
    );
  };

  // The first look-up detects that the bucket is large, and starts the hashing of keys.
  const begun = performance.now();
  await page('large');
  while ((await client.query('SELECT 1 FROM streams WHERE name = $1 AND NOT keys_hashed', [STREAM])).rowCount === 1) {
    if (performance.now() - begun > MAX_HASHING_MS) throw new Error('The keys of the large bucket were not hashed.');
    await sleep(100);
  }
  const hashingMs = performance.now() - begun;

  const figures: Figure[] = [];
  const compare = async (what: string, run: (bucket: Bucket, attempt: number) => Promise<unknown>): Promise<void> => {
    const took: Record<Bucket, number[]> = { large: [], empty: [] };
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      for (const bucket of ['large', 'empty'] as const) {
        const begun = performance.now();
        await run(bucket, attempt);
        took[bucket].push(performance.now() - begun);
      }
    }
    const [largeMs, emptyMs] = [median(took.large), median(took.empty)];
    figures.push({
      what: `${what} in a bucket of ${LARGE.keys} records`,
      against: 'in an empty bucket',
      value: largeMs / emptyMs,
      unit: 'x',
      bound: { atMost: 3 },
      details: { largeMs, emptyMs, hashingMs },
    });
  };
  await compare('page of 20 records', (bucket) => page(bucket));
  // Each deletes another record, so that the empty bucket stays empty.
  await compare('delete of one record', (bucket, attempt) => send('delete', bucket, 7 * attempt));
  await compare('replace of one record', (bucket, attempt) => send('replace', bucket, 11 * attempt));

  const secondsOf = async (senders: number): Promise<number> => {
    let customer = 500_000 * senders;
    const rate = await measureRate(senders, SECONDS, () => send('replace', 'large', (customer += 13) % LARGE.keys));
    return senders / rate;
  };
  const one = await secondsOf(1);
  const many = await secondsOf(SENDERS);
  figures.push({
    what: `${SENDERS} clients that each replace one record in a bucket of ${LARGE.keys} records`,
    against: 'one client',
    value: many / one,
    unit: 'x',
    bound: { atMost: 5 },
    details: { manyMs: many * 1000, oneMs: one * 1000 },
  });
  await server.stop();
  return figures;
}
