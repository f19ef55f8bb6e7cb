import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { takeWatermark } from '../../src/db/as-of.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { encodeGlobalId } from '../../src/lib/global-ids.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { deleteStream, type RecordInput, write, type WriteKind } from '../streams/writes.ts';
import { createJob, endedRun, innerId, querySql, runJob } from '../support/job-steps.ts';
import { openClient, withClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let foreignKey: string;
beforeAll(async () => {
  server = await startTestServer();
  foreignKey = await server.createKey('another', ['ADMIN']);
});
afterAll(() => server.stop());

type Moment = Readonly<Record<'operation' | 'run' | 'time', string>>;
type AsOf = Partial<Moment> | null;

interface UsageAnswer {
  readonly __typename: string;
  readonly code?: string;
  readonly message?: string;
  readonly issues?: readonly { readonly path: readonly string[]; readonly code: string }[];
  readonly series?: readonly {
    readonly group: readonly { readonly values: readonly string[] }[];
    readonly total: string;
  }[];
}

async function askUsage(stream: string, asOf: AsOf, groupBy: string[] = [], key = server.key): Promise<UsageAnswer> {
  const { usage } = await server.graphql<{ usage: UsageAnswer }>(
    `query ($input: UsageInput!) { usage(input: $input) { __typename
      ... on Usage { series { group { values } total } }
      ... on ValidationError { issues { path code } } ... on UserError { code message } } }`,
    {
      input: {
        meterApiNames: [stream],
        from: '2026-01-01T00:00:00Z',
        to: '2026-02-01T00:00:00Z',
        aggregationBucket: 'MONTH',
        groupBy,
        asOf,
      },
    },
    key,
  );
  return usage;
}

/** Returns the answer when no transaction of another test is open that began before the operation. */
const settled = (stream: string, asOf: AsOf, groupBy?: string[], key?: string): Promise<UsageAnswer> =>
  eventually(
    () => askUsage(stream, asOf, groupBy, key),
    ({ code }) => code !== 'TOO_RECENT',
  );

const total = async (stream: string, asOf: AsOf, key?: string): Promise<string | undefined> => {
  const { series, ...error } = await settled(stream, asOf, [], key);
  if (!series) throw new Error(JSON.stringify(error));
  return series[0]?.total;
};

interface RecordsData {
  readonly node: {
    readonly records: {
      readonly edges: readonly {
        readonly cursor: string;
        readonly node: { timestamp: string; elementName: string; value: string };
      }[];
      readonly pageInfo: { readonly hasNextPage: boolean };
    };
  };
}

const RECORDS = `query ($id: ID!, $asOf: LedgerMomentInput, $after: String) {
  node(id: $id) { ... on Stream { records(first: 2, after: $after, asOf: $asOf) {
    edges { cursor node { timestamp elementName value } } pageInfo { hasNextPage } } } } }`;

/** All records, in pages of two. */
async function listRecords(id: string, asOf: AsOf, key = server.key): Promise<string[]> {
  const found: string[] = [];
  for (let after: string | null = null; ;) {
    const { node }: RecordsData = await eventually(
      () => server.request<RecordsData>(RECORDS, { id, asOf, after }, key),
      ({ errors }) => errors?.[0]?.extensions?.['code'] !== 'TOO_RECENT',
    ).then(({ data, errors }) => {
      if (!data) throw new Error(JSON.stringify(errors));
      return data;
    });
    found.push(
      ...node.records.edges.map((edge) => `${edge.node.timestamp} ${edge.node.elementName} ${edge.node.value}`),
    );
    if (!node.records.pageInfo.hasNextPage) return found;
    after = node.records.edges.at(-1)?.cursor ?? null;
  }
}

/** The top-level error of records. */
async function recordsError(id: string, asOf: AsOf, key = server.key): Promise<unknown> {
  const { errors } = await server.request(RECORDS, { id, asOf }, key);
  return errors?.[0]?.extensions?.['code'];
}

const DAY = '2026-01-25T00:00:00Z';
const record = (elementName: string, value?: string, timestamp = DAY): RecordInput => ({
  timestamp,
  granularity: 'DAILY',
  elementName,
  ...(value !== undefined && { value }),
});

/** Writes, and returns the ids of the operation and the stream. */
async function done(
  stream: string,
  kind: WriteKind,
  records: readonly RecordInput[],
  key = server.key,
): Promise<{ id: string; streamId: string }> {
  const { operation, stream: written, message } = await write(server, kind, { stream, records }, key);
  if (!operation || !written) throw new Error(message);
  return { id: operation.id, streamId: written.id };
}

const exportDay = async (stream: string): Promise<string> => {
  const jobId = await createJob(server, { jobName: stream, meterApiNames: [stream], enabled: false });
  const { id, status } = await endedRun(server, await runJob(server, jobId, '2026-01-26T01:00:00Z'));
  expect(status).toBe('SUCCEEDED');
  return id;
};

describe('asOf', () => {
  test('reads what a run read, the state with an operation as the last, and now', async () => {
    const stream = 'requests';
    const { streamId } = await done(stream, 'Sum', [record('acme', '100'), record('hooli', '250')]);
    const run = await exportDay(stream);
    const sum = await done(stream, 'Sum', [record('acme', '40'), record('initech', '7')]);
    await done(stream, 'Replace', [record('hooli', '150')]);
    expect(await total(stream, { run })).toBe('350');
    expect(await total(stream, { operation: sum.id })).toBe('397');
    expect(await total(stream, null)).toBe('297');
    const { series } = await settled(stream, { run }, ['element']);
    expect(series?.map(({ group, total: value }) => [group[0]?.values[0], value])).toEqual([
      ['acme', '100'],
      ['hooli', '250'],
    ]);
    expect(await listRecords(streamId, { run })).toEqual([`${DAY} acme 100`, `${DAY} hooli 250`]);
    expect(await listRecords(streamId, { operation: sum.id })).toEqual([
      `${DAY} acme 140`,
      `${DAY} hooli 250`,
      `${DAY} initech 7`,
    ]);
  });

  test('lists after any later writes what was listed after each operation', async () => {
    const stream = 'history';
    const days = ['2026-01-23', '2026-01-24', '2026-01-25'].map((day) => `${day}T00:00:00Z`);
    const states: { readonly operation: string; readonly records: readonly string[] }[] = [];
    let streamId = '';
    for (let step = 0; step < 24; step += 1) {
      const kind = (['Sum', 'Sum', 'Replace', 'Delete'] as const)[step % 4] as WriteKind;
      const records = [0, 1].map((index) =>
        record(
          `e${(step * 7 + index) % 5}`,
          kind === 'Delete' ? undefined : String(step + 1),
          days[(step + index) % 3],
        ),
      );
      const { id, streamId: of } = await done(stream, kind, records);
      streamId = of;
      states.push({ operation: id, records: await listRecords(of, null) });
    }
    expect(new Set(states.map(({ records }) => JSON.stringify(records))).size).toBeGreaterThan(15);
    for (const { operation, records } of states) expect(await listRecords(streamId, { operation })).toEqual(records);
    await deleteStream(server, stream);
    const last = states.at(-1);
    expect(await listRecords(streamId, { operation: last?.operation ?? '' })).toEqual(last?.records);
    expect(await listRecords(streamId, null)).toEqual([]);
  });

  test('reads the last recorded state at or before a time', async () => {
    // An account without a job, so that no scan records states of its ledger.
    const key = await server.createKey('timed', ['ADMIN']);
    const accountId = await accountIdOf(server, 'timed');
    const stream = 'timed';
    const { streamId } = await done(stream, 'Sum', [record('acme', '1')], key);
    const { snapshot, epoch } = await takeWatermark(server.resources.database.forAccount(accountId), accountId);
    await done(stream, 'Sum', [record('acme', '2')], key);
    const addMoment = (at: string, text: string, writtenIn: string) =>
      querySql(server, 'INSERT INTO ledger_moments VALUES ($1, $2, $3, $4)', [accountId, at, text, writtenIn]);
    const now = systemClock.now().getTime();
    const time = new Date(now - 60_000).toISOString();
    const before = new Date(now - 120_000).toISOString();
    await addMoment(time, snapshot, epoch);
    await addMoment(before, snapshot, 'another cluster');
    expect(await total(stream, { time: new Date(now).toISOString() }, key)).toBe('1');
    expect(await total(stream, { time }, key)).toBe('1');
    expect(await listRecords(streamId, { time }, key)).toEqual([`${DAY} acme 1`]);
    expect(await askUsage(stream, { time: before }, [], key)).toMatchObject({ code: 'HISTORY_GONE' });
    expect(await askUsage(stream, { time: '2020-01-01T00:00:00Z' }, [], key)).toMatchObject({ code: 'HISTORY_GONE' });
    expect(await recordsError(streamId, { time: before }, key)).toBe('HISTORY_GONE');
    const restored = new Date(now - 30_000).toISOString();
    await querySql(
      server,
      `INSERT INTO ledger_cursors (account_id, scanned, scanned_epoch, scanned_at, scan_at, history_from)
       VALUES ($1, '1:1:', '', now(), 'infinity', $2)
       ON CONFLICT (account_id) DO UPDATE SET history_from = excluded.history_from`,
      [accountId, restored],
    );
    const gone = await askUsage(stream, { time }, [], key);
    expect(gone).toMatchObject({ __typename: 'ConflictError', code: 'HISTORY_GONE' });
    expect(gone.message).toContain(restored);
    await querySql(server, 'UPDATE ledger_cursors SET history_from = NULL WHERE account_id = $1', [accountId]);
    expect(await total(stream, { time }, key)).toBe('1');
  });

  test('rejects a time that is in the future or not valid', async () => {
    const { streamId } = await done('early', 'Sum', [record('acme', '1')]);
    const time = new Date(systemClock.now().getTime() + 60_000).toISOString();
    expect(await askUsage('early', { time })).toMatchObject({
      issues: [{ path: ['input', 'asOf', 'time'], code: 'FUTURE_TIMESTAMP' }],
    });
    expect(await askUsage('early', { time: 'yesterday' })).toMatchObject({ issues: [{ code: 'BAD_TIMESTAMP' }] });
    expect(await recordsError(streamId, { time })).toBe('BAD_USER_INPUT');
  });

  test('accepts exactly one field', async () => {
    const { errors } = await server.request(RECORDS, { id: 'x', asOf: { time: DAY, run: 'x' } });
    expect(errors?.[0]?.extensions?.['code']).toBe('BAD_USER_INPUT');
  });

  test('is TOO_RECENT while a transaction that began before that of the operation is open', async () => {
    const stream = 'in-flight';
    const client = await openClient(server.database.url);
    try {
      await client.query('BEGIN');
      await client.query('SELECT pg_current_xact_id()');
      const { id: operation, streamId } = await done(stream, 'Sum', [record('acme', '1')]);
      expect(await askUsage(stream, { operation })).toMatchObject({ __typename: 'ConflictError', code: 'TOO_RECENT' });
      expect(await recordsError(streamId, { operation })).toBe('TOO_RECENT');
      await client.query('ROLLBACK');
      expect(await total(stream, { operation })).toBe('1');
    } finally {
      await client.end();
    }
  });

  test('is HISTORY_GONE for a run of another epoch, and for an operation whose transaction id was repaired', async () => {
    const stream = 'restored';
    const { id: operation } = await done(stream, 'Sum', [record('acme', '1')]);
    const run = await exportDay(stream);
    expect(await total(stream, { run })).toBe('1');
    await querySql(server, `UPDATE runs SET watermark_epoch = 'another cluster' WHERE id = $1`, [innerId(run)]);
    expect(await askUsage(stream, { run })).toMatchObject({ code: 'HISTORY_GONE' });
    await querySql(server, `UPDATE operations SET xid = '3' WHERE id = $1`, [innerId(operation)]);
    expect(await askUsage(stream, { operation })).toMatchObject({ code: 'HISTORY_GONE' });
  });

  test('reads operations of an account that is read for the first time while another transaction is open', async () => {
    const key = await server.createKey('read first', ['ADMIN']);
    const stream = 'read-first';
    await withClient(server.database.url, async (client) => {
      await client.query('BEGIN');
      await client.query('SELECT pg_current_xact_id()');
      const first = await done(stream, 'Sum', [record('acme', '1')], key);
      await done(stream, 'Sum', [record('acme', '2')], key);
      expect(await total(stream, null, key)).toBe('3');
      await client.query('COMMIT');
      expect(await total(stream, { operation: first.id }, key)).toBe('1');
    });
  });

  test('is HISTORY_GONE for operations before a repair that replaced ids of later ones', async () => {
    const key = await server.createKey('repaired', ['ADMIN']);
    const stream = 'repaired';
    const first = await done(stream, 'Sum', [record('acme', '1')], key);
    const second = await done(stream, 'Sum', [record('acme', '2')], key);
    expect(await total(stream, { operation: first.id }, key)).toBe('1');
    // As after a restore into a cluster with fewer transactions than the ledger had.
    await querySql(server, `UPDATE operations SET xid = '9000000000' WHERE id = $1`, [innerId(second.id)]);
    expect(await total(stream, null, key)).toBe('3');
    expect(await askUsage(stream, { operation: first.id }, [], key)).toMatchObject({ code: 'HISTORY_GONE' });
    expect(await recordsError(first.streamId, { operation: first.id }, key)).toBe('HISTORY_GONE');
    const third = await done(stream, 'Sum', [record('acme', '4')], key);
    await done(stream, 'Sum', [record('acme', '8')], key);
    expect(await total(stream, { operation: third.id }, key)).toBe('7');
  });

  test('is a CONFLICT for a run that has not started', async () => {
    const { streamId } = await done('waiting', 'Sum', [record('acme', '1')]);
    const jobId = await createJob(server, { jobName: 'waiting', meterApiNames: ['waiting'], enabled: false });
    const run = await runJob(server, jobId);
    await endedRun(server, run);
    await querySql(server, 'UPDATE runs SET watermark = NULL WHERE id = $1', [innerId(run)]);
    expect(await askUsage('waiting', { run })).toMatchObject({ code: 'CONFLICT' });
    expect(await recordsError(streamId, { run })).toBe('CONFLICT');
  });

  test('does not find the operations and runs of another account', async () => {
    const { id: operation, streamId } = await done('own', 'Sum', [record('acme', '1')]);
    const run = await exportDay('own');
    for (const asOf of [{ operation }, { run }, { run: operation }, { operation: 'x' }]) {
      expect(await askUsage('own', asOf, [], foreignKey)).toMatchObject({ __typename: 'NotFoundError' });
    }
    expect(await recordsError(streamId, { run: encodeGlobalId('Run', innerId(operation)) })).toBe('NOT_FOUND');
  });
});
