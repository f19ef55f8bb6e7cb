import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRowReaders, type RowReader } from '../../src/db/row-readers.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { write } from '../streams/writes.ts';
import { querySql } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const ACCOUNTS = ['default', 'globex', 'initech'];

let server: TestServer;
let ids: bigint[];
let keys: string[];
beforeAll(async () => {
  server = await startTestServer({ env: { EXPORT_CONCURRENCY: '1' } });
  keys = [server.key, ...(await Promise.all(ACCOUNTS.slice(1).map((name) => server.createKey(name, ['ADMIN']))))];
  ids = await Promise.all(ACCOUNTS.map((name) => accountIdOf(server, name)));
  for (const [index, key] of keys.entries()) {
    const record = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: ACCOUNTS[index] ?? '' };
    await write(server, 'Sum', { stream: 'usage', records: [{ ...record, value: '1' }] }, key);
  }
});
afterAll(() => server.stop());

const sessions = async (): Promise<number[]> =>
  (
    await querySql<{ pid: number }>(
      server,
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'sluice-export' AND datname = current_database() ORDER BY pid`,
    )
  ).map(({ pid }) => pid);
const untilSessions = (count: number) => eventually(sessions, (found) => found.length === count);

type Open = (accountId: bigint, signal?: AbortSignal) => Promise<RowReader>;

const reading = async (work: (open: Open) => Promise<void>): Promise<void> => {
  const readers = createRowReaders({ url: server.database.url, max: 3 });
  try {
    await work((accountId, signal = new AbortController().signal) => readers.open(accountId, signal));
  } finally {
    await readers.stop();
    await untilSessions(0);
  }
};

const readLines = async (reader: RowReader, select: string): Promise<string> => {
  let text = '';
  for await (const chunk of reader.lines(`COPY (${select}) TO STDOUT`)) text += chunk.toString();
  return text;
};
/** A statement without a condition on the account. */
const ELEMENTS = 'SELECT element FROM records ORDER BY element';
const pidOf = async ({ db }: RowReader): Promise<number> =>
  (await db.execute<{ pid: number }>(sql`SELECT pg_backend_pid() AS pid`)).rows[0]?.pid ?? 0;
const accountOf = async ({ db }: RowReader): Promise<unknown> =>
  (
    await db.execute(
      sql`SELECT current_setting('sluice.account_id') AS account, current_setting('sluice.all_accounts', true) AS every`,
    )
  ).rows[0];

test('reader pool > reuses a connection for the next account, which sees only its own rows', () =>
  reading(async (open) => {
    const pids = new Set<number>();
    for (const index of [0, 1, 2, 1, 0]) {
      const reader = await open(ids[index] ?? 0n);
      pids.add(await pidOf(reader));
      expect(await accountOf(reader)).toMatchObject({ account: String(ids[index]) });
      expect((await reader.db.execute(sql.raw(ELEMENTS))).rows).toEqual([{ element: ACCOUNTS[index] }]);
      if (index === 1) {
        await reader.releaseLocks();
        expect(await accountOf(reader)).toMatchObject({ account: String(ids[index]) });
      }
      expect(await readLines(reader, ELEMENTS)).toBe(`${ACCOUNTS[index]}\n`);
      // After the rows, the account is no longer set.
      expect((await reader.db.execute(sql.raw(ELEMENTS))).rows).toEqual([]);
      reader.close();
      reader.close();
    }
    expect(pids.size).toBe(1);
    expect(await sessions()).toEqual([...pids]);
  }));

test('reader pool > gives concurrent readers one connection each', () =>
  reading(async (open) => {
    const first = await open(ids[0] ?? 0n);
    await readLines(first, ELEMENTS);
    first.close();
    const [one, other] = await Promise.all([open(ids[1] ?? 0n), open(ids[2] ?? 0n)]);
    expect(await pidOf(one)).not.toBe(await pidOf(other));
    expect(await Promise.all([one, other].map((reader) => readLines(reader, ELEMENTS)))).toEqual([
      'globex\n',
      'initech\n',
    ]);
    one.close();
    other.close();
    await untilSessions(2);
  }));

test('reader pool > replaces an idle connection whose backend was terminated', () =>
  reading(async (open) => {
    const first = await open(ids[0] ?? 0n);
    const pid = await pidOf(first);
    await readLines(first, ELEMENTS);
    first.close();
    await querySql(server, 'SELECT pg_terminate_backend($1, 5000)', [pid]);
    const next = await open(ids[1] ?? 0n);
    expect(await pidOf(next)).not.toBe(pid);
    expect(await readLines(next, ELEMENTS)).toBe('globex\n');
    next.close();
    await untilSessions(1);
  }));

const MANY = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
const interrupted: Record<string, (reader: RowReader, stop: () => void) => Promise<unknown>> = {
  'closed before the rows': () => Promise.resolve(),
  'closed in the middle of the rows': async (reader) => {
    for await (const chunk of reader.lines(`COPY (${MANY}) TO STDOUT`)) if (chunk.length > 0) return;
  },
  'stopped in the middle of the rows': async (reader, stop) => {
    for await (const chunk of reader.lines(`COPY (${MANY}) TO STDOUT`)) if (chunk.length > 0) stop();
  },
  'stopped between statements': (_, stop) => Promise.resolve(stop()),
  'broken by a statement': (reader) => reader.db.execute(sql`SELECT 1 / ${0}::int`),
  'broken by the rows': (reader) => readLines(reader, 'SELECT 1 / (3 - n) FROM generate_series(1, 5) n'),
};
test.each(Object.keys(interrupted))('reader pool > does not reuse a connection that was %s', (name) =>
  reading(async (open) => {
    const stopping = new AbortController();
    const reader = await open(ids[0] ?? 0n, stopping.signal);
    const pid = await pidOf(reader);
    await interrupted[name]?.(reader, () => stopping.abort(new Error('stop'))).catch(() => undefined);
    reader.close();
    await untilSessions(0);
    const next = await open(ids[1] ?? 0n);
    expect(await pidOf(next)).not.toBe(pid);
    expect(await readLines(next, ELEMENTS)).toBe('globex\n');
    next.close();
  }),
);

test('reader pool > keeps the connection of another run when a run is stopped after its rows were read', () =>
  reading(async (open) => {
    const stopping = new AbortController();
    const first = await open(ids[0] ?? 0n, stopping.signal);
    const pid = await pidOf(first);
    await readLines(first, ELEMENTS);
    first.close();
    const next = await open(ids[1] ?? 0n);
    stopping.abort(new Error('stop'));
    first.close();
    expect(await pidOf(next)).toBe(pid);
    expect(await readLines(next, ELEMENTS)).toBe('globex\n');
    next.close();
  }));

test('reader pool > exports only the records of each account over one connection', async () => {
  const seen = new Set<number>();
  for (const [index, key] of [...keys, ...keys].entries()) {
    const settings = {
      jobName: `kept ${index}`,
      s3Url: `${['exports', 'other-exports', 'handed-on'][index % 3]}/kept`,
      groupBy: ['element'],
    };
    const job = await server.graphql<{ createJob: { id?: string } }>(
      'mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } } }',
      { input: { format: 'NDJSON', aggregationBucket: 'DAY', range: 'ago(7d)', enabled: false, ...settings } },
      key,
    );
    await server.graphql(
      'mutation ($input: RunJobInput!) { runJob(input: $input) { __typename } }',
      { input: { jobId: job.createJob.id, scheduledFor: '2026-01-28T02:00:00Z' } },
      key,
    );
    const [put] = await eventually(
      () =>
        Promise.resolve(
          server.s3.puts.filter((one) => one.key.startsWith(`kept/kept-${index}/`) && one.key.endsWith('.ndjson')),
        ),
      (puts) => puts.length > 0,
    );
    const text = server.s3.object(settings.s3Url.split('/')[0] ?? '', put?.key ?? '')?.body.toString() ?? '';
    expect(text.match(/"element":"\w+"/g)).toEqual([`"element":"${ACCOUNTS[index % 3]}"`]);
    for (const pid of await sessions()) seen.add(pid);
  }
  // Fewer than exports; on a slow machine a connection may have reached its idle timeout.
  expect(seen.size).toBeLessThan(6);
});
