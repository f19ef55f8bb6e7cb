/**
 * Compares a distributed database with a plain one in alternating runs, and prints the ratios of the medians.
 * Usage: npm run bench:distributed -- DISTRIBUTED_URL PLAIN_URL; both are databases that Sluice has migrated, on
 * equal machines. Their data may be overwritten. Takes about five minutes.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { median } from './support/figures.ts';
import { createJob, runJob } from './support/jobs.ts';
import { graphqlRecord, ndjsonLine, recordAt } from './support/made-up-records.ts';
import { ask, measureRate, post } from './support/senders.ts';
import { startServer } from './support/server-process.ts';
import { fillStream, sumPath } from './support/streams.ts';

const ROUNDS = 5;
const SECONDS = 4;
const RECORDS = 300_000;
const SHAPE = { days: 30, keys: 60_000, repeats: 5 };
const LIST = 5000;

process.once('SIGINT', () => process.exit(130));

const [distributedUrl, plainUrl] = process.argv.slice(2);
if (distributedUrl === undefined || plainUrl === undefined) {
  throw new Error('Usage: npm run bench:distributed -- DISTRIBUTED_URL PLAIN_URL');
}

const store = fork(join(import.meta.dirname, 'support/store.ts'));
const [{ port }] = (await once(store, 'message')) as [{ port: number }];

/** A new prefix per run, so that streams of earlier runs are not used. */
const mark = Date.now().toString(36);

async function openSide(databaseUrl: string) {
  const server = await startServer({
    DATABASE_URL: databaseUrl,
    AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}`,
    AWS_ACCESS_KEY_ID: 'bench',
    AWS_SECRET_ACCESS_KEY: 'bench',
    S3_FORCE_PATH_STYLE: 'true',
  });
  const { url } = server;
  const usage = `usage-${mark}`;
  const small = `small-${mark}`;
  await fillStream(url, usage, SHAPE);
  const jobOf = (jobName: string, groupBy: readonly string[]) =>
    createJob(url, { jobName: `${jobName} ${mark}`, s3Url: `bench-bucket/${mark}`, meterApiNames: [usage], groupBy });
  const daily = await jobOf('daily', []);
  const byRegion = await jobOf('by region', ['region']);
  let calls = 0;
  const sumOne = async (): Promise<void> => {
    calls += 1;
    const body = Buffer.from(`{"records":[${ndjsonLine(recordAt(calls % SHAPE.keys, SHAPE)).trim()}]}`);
    const { status, text } = await post(url, sumPath(small), body, { 'idempotency-key': `${mark}-${calls}` });
    if (status !== 200) throw new Error(`${status}: ${text}`);
  };
  const records = Array.from({ length: LIST }, (_, index) => graphqlRecord(recordAt(index, SHAPE))).join(',');
  const list = Buffer.from(
    `{"query":"mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename } }","variables":{"input":{"stream":"list-${mark}","records":[${records}]}}}`,
  );
  const sumList = async (): Promise<void> => {
    const { status, text } = await post(url, '/graphql', list);
    if (status !== 200 || text.includes('"errors"')) throw new Error(`${status}: ${text}`);
  };
  const lastDay = new Date().toISOString().slice(0, 10);
  const firstDay = new Date(Date.now() - 31 * 86_400_000).toISOString().slice(0, 10);
  const usageByRegion = () =>
    ask(url, '{ usage(input: $input) { __typename } }'.replace('{', 'query ($input: UsageInput!) {'), {
      input: {
        meterApiNames: [usage],
        from: `${firstDay}T00:00:00Z`,
        to: `${lastDay}T00:00:00Z`,
        aggregationBucket: 'DAY',
        groupBy: ['region'],
      },
    });
  return { server, sumOne, sumList, usageByRegion, daily, byRegion, url };
}

type Side = Awaited<ReturnType<typeof openSide>>;

async function secondsOf(times: number, work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  for (let time = 0; time < times; time += 1) await work();
  return (performance.now() - begun) / 1000 / times;
}

/** Higher is better for rates, lower for seconds. */
const MEASURES: readonly {
  readonly what: string;
  readonly unit: 'per second' | 'ms';
  readonly measure: (side: Side) => Promise<number>;
}[] = [
  { what: 'one-record sums, 1 client', unit: 'per second', measure: ({ sumOne }) => measureRate(1, SECONDS, sumOne) },
  {
    what: 'one-record sums, 32 clients',
    unit: 'per second',
    measure: ({ sumOne }) => measureRate(32, SECONDS, sumOne),
  },
  {
    what: `sums of ${LIST} records, 4 clients`,
    unit: 'per second',
    measure: ({ sumList }) => measureRate(4, SECONDS, sumList),
  },
  {
    what: 'daily export',
    unit: 'ms',
    measure: async ({ url, daily }) => (await secondsOf(3, () => runJob(url, daily, 2))) * 1000,
  },
  {
    what: 'daily export by region',
    unit: 'ms',
    measure: async ({ url, byRegion }) => (await secondsOf(3, () => runJob(url, byRegion, 2))) * 1000,
  },
  {
    what: 'usage by region',
    unit: 'ms',
    measure: async ({ usageByRegion }) => (await secondsOf(20, usageByRegion)) * 1000,
  },
];

const plain = await openSide(plainUrl);
const distributed = await openSide(distributedUrl);
try {
  for (const side of [plain, distributed]) {
    await measureRate(32, 2, side.sumOne);
    await side.sumList();
  }
  for (const { what, unit, measure } of MEASURES) {
    const pairs: { readonly plain: number; readonly distributed: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      pairs.push({ plain: await measure(plain), distributed: await measure(distributed) });
    }
    const ratio = median(pairs.map((pair) => pair.distributed / pair.plain));
    const medianOf = (side: 'plain' | 'distributed') => median(pairs.map((pair) => pair[side])).toFixed(1);
    console.log(
      `${what}: ${ratio.toFixed(2)} (distributed ${medianOf('distributed')}, plain ${medianOf('plain')} ${unit})`,
    );
  }
  console.log(`${RECORDS} records, ${ROUNDS} rounds`);
} finally {
  await Promise.all([plain.server.stop(), distributed.server.stop()]);
  store.disconnect();
}
