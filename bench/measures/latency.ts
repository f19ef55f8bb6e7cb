import { setTimeout as sleep } from 'node:timers/promises';
import { type Figure, median, percentile } from '../support/figures.ts';
import { createJob, createJobs, runJob } from '../support/jobs.ts';
import { graphqlRecord, ndjsonLine, recordAt } from '../support/made-up-records.ts';
import { ask, measureRate, post } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream, sumPath } from '../support/streams.ts';

// Latency of queries during two exports and intake at half of the maximum rate.

const EXPORTED = { days: 30, keys: 500_000, repeats: 1 };
const BATCH = 5000;
const SENT = { days: 30, keys: BATCH * 8, repeats: 1 };
const SECONDS = 20;
/** Interval between two requests of the same query, regardless of pending responses. */
const EVERY_MS = 50;
const RUNS = 60;

const QUESTIONS = {
  viewer: '{ viewer { accountName } }',
  runs: '{ runs(first: 50) { edges { node { id jobName status scheduledFor finishedAt rowsWritten } } } }',
};

const MUTATION =
  'mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename ... on AllocationReceipt { replayed } } }';

export async function measureLatency(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  const { url } = server;
  await fillStream(url, 'exported', EXPORTED);
  const small = await createJob(url, { jobName: 'small' });
  await Promise.all(
    Array.from({ length: RUNS }, () =>
      ask(url, 'mutation ($jobId: ID!) { runJob(input: { jobId: $jobId }) { __typename } }', { jobId: small }),
    ),
  );
  const send = sender(url);
  const rate = await measureRate(3, 6, send);
  const idle = await askFor(url, 5);
  const figures: Figure[] = [];
  for (const format of ['CSV', 'PARQUET'] as const) {
    figures.push(...(await measureDuring(url, format, rate, idle)));
  }
  await server.stop();
  return figures;
}

/** @param rate requests per second that the server can take in */
async function measureDuring(
  url: string,
  format: 'CSV' | 'PARQUET',
  rate: number,
  idle: Record<keyof typeof QUESTIONS, number[]>,
): Promise<Figure[]> {
  const large = await createJobs(url, 2, (number) => ({
    jobName: `large ${format} ${number}`,
    meterApiNames: ['exported'],
    groupBy: ['element'],
    ...(format === 'PARQUET' && { format, compression: 'ZSTD' }),
  }));
  const stopping = new AbortController();
  let exports = 0;
  const exporting = large.map(async (jobId) => {
    while (!stopping.signal.aborted) {
      await runJob(url, jobId);
      exports += 1;
    }
  });
  const sending = sendAt(rate / 2, sender(url), stopping.signal);
  const busy = await askFor(url, SECONDS);
  stopping.abort();
  const sent = await sending;
  await Promise.all(exporting);
  const kind = format === 'CSV' ? 'two exports' : 'two exports of PARQUET';
  return (['viewer', 'runs'] as const).map((question) => ({
    what: `p99 of ${QUESTIONS[question].replace(/ edges.*/, ' ... } }')} during ${kind} and intake at half its rate`,
    against: '',
    value: percentile(busy[question], 0.99),
    unit: 'ms' as const,
    bound: { atMost: 250 },
    details: {
      medianMs: median(busy[question]),
      idleMedianMs: median(idle[question]),
      idleP99Ms: percentile(idle[question], 0.99),
      exports,
      recordsPerSecond: (sent / SECONDS) * BATCH,
      halfOfRecordsPerSecond: (rate / 2) * BATCH,
    },
  }));
}

/** Sends 5,000 records, over GraphQL and over REST in turn. */
function sender(url: string): (call: number) => Promise<void> {
  const records = (batch: number) => Array.from({ length: BATCH }, (_, index) => recordAt(batch * BATCH + index, SENT));
  const bodies = Array.from({ length: 8 }, (_, batch) =>
    batch % 2 === 0
      ? {
          path: '/graphql',
          body: Buffer.from(
            `{"query":${JSON.stringify(MUTATION)},"variables":{"input":{"stream":"graphql","records":[${records(batch).map(graphqlRecord).join(',')}]}}}`,
          ),
        }
      : { path: sumPath('rest'), body: Buffer.from(`{"records":[${records(batch).map(ndjsonLine).join(',')}]}`) },
  );
  return async (call) => {
    const { path, body } = bodies[call % bodies.length] ?? { path: '', body: Buffer.alloc(0) };
    const { status, text } = await post(url, path, body);
    if (status !== 200 || text.includes('"errors"')) throw new Error(`${status}: ${text.slice(0, 500)}`);
  };
}

/** Sends requests at a fixed rate, regardless of how long they take. Returns the number of responses. */
async function sendAt(perSecond: number, send: (call: number) => Promise<void>, signal: AbortSignal): Promise<number> {
  const underWay: Promise<void>[] = [];
  const begun = performance.now();
  for (let call = 1; !signal.aborted; call += 1) {
    underWay.push(send(call));
    await sleep(Math.max(0, begun + (call * 1000) / perSecond - performance.now()));
  }
  await Promise.all(underWay);
  return underWay.length;
}

/** Repeats both queries for a time. Returns the milliseconds from the scheduled time of each request to its response. */
async function askFor(url: string, seconds: number): Promise<Record<keyof typeof QUESTIONS, number[]>> {
  const took = { viewer: [] as number[], runs: [] as number[] };
  const underWay: Promise<void>[] = [];
  const begun = performance.now();
  for (let due = begun; due < begun + seconds * 1000; due += EVERY_MS) {
    await sleep(Math.max(0, due - performance.now()));
    for (const question of ['viewer', 'runs'] as const) {
      const asked = ask(url, QUESTIONS[question]).then(() => void took[question].push(performance.now() - due));
      underWay.push(asked);
    }
  }
  await Promise.all(underWay);
  return took;
}
