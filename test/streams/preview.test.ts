import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createJob, endedRun, multiplyRecords, querySql, runJob } from '../support/job-steps.ts';
import { selectWaiting } from '../support/lock-waits.ts';
import { openClient } from '../support/postgres-admin.ts';
import { startSluice } from '../support/sluice-process.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { readRecords, type RecordInput, write, type WriteInput, type WriteKind } from './writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { PREVIEW_LOCK_MS: '300' } });
});
afterAll(() => server.stop());

interface Preview {
  readonly __typename: string;
  readonly code?: string;
  readonly message?: string;
  readonly limit?: number;
  readonly actual?: number;
  readonly issues?: readonly { readonly path: readonly string[]; readonly code: string }[];
  readonly insertedRecords?: number;
  readonly hiddenRecords?: number;
  readonly changedKeys?: number;
  readonly valueBefore?: string;
  readonly valueAfter?: string;
  readonly staleDeliveries?: number;
  readonly elements?: readonly {
    readonly elementName: string;
    readonly valueBefore: string;
    readonly valueAfter: string;
  }[];
  readonly keys?: readonly {
    readonly stream: string;
    readonly timestamp: string;
    readonly elementName: string;
    readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
    readonly valueBefore: string | null;
    readonly valueAfter: string | null;
  }[];
}

const PREVIEW = `query ($input: CorrectionPreviewInput!) { previewCorrection(input: $input) { __typename
  ... on CorrectionPreview { insertedRecords hiddenRecords changedKeys valueBefore valueAfter staleDeliveries
    elements { elementName valueBefore valueAfter }
    keys { stream timestamp elementName filter { dimension values } valueBefore valueAfter } }
  ... on ValidationError { issues { path code } } ... on LimitExceededError { limit actual } ... on UserError { code message } } }`;

interface PreviewInput {
  readonly sum?: WriteInput;
  readonly replace?: WriteInput;
  readonly delete?: WriteInput;
  readonly revertOperation?: string;
}

const preview = async (input: PreviewInput, key = server.key, asked = server): Promise<Preview> =>
  (await asked.graphql<{ previewCorrection: Preview }>(PREVIEW, { input }, key)).previewCorrection;

const DAY = '2026-01-25T00:00:00Z';
const record = (elementName: string, value?: string, env = 'prod', timestamp = DAY): RecordInput => ({
  timestamp,
  granularity: 'DAILY',
  elementName,
  filter: [{ dimension: 'env', values: [env] }],
  ...(value !== undefined && { value }),
});
const allOf = (timestamp = DAY): RecordInput => ({ timestamp, granularity: 'DAILY' });
const scope = { from: DAY, to: '2026-01-26T00:00:00Z' };

const done = async (kind: WriteKind, input: WriteInput): Promise<string> => {
  const { operation, message } = await write(server, kind, input);
  if (!operation) throw new Error(message);
  return operation.id;
};

/** All rows of the ledger, as text. */
const dump = async (): Promise<string[]> =>
  (
    await querySql<{ row: string }>(
      server,
      ['accounts', 'ledgers', 'streams', 'filters', 'operations', 'records', 'totals']
        .map((table) => `SELECT '${table} ' || t::text AS row FROM ${table} t`)
        .join(' UNION ALL '),
    )
  )
    .map(({ row }) => row)
    .toSorted();

describe('previewCorrection', () => {
  test('reports what a delete and a replace with a scope would hide, and stores nothing', async () => {
    const stream = 'twenty-five';
    const values = [...Array.from({ length: 24 }, () => '50'), '34.5'];
    await done('Sum', { stream, records: values.map((value, index) => record(`e${index}`, value)) });
    for (const filter of [null, [{ dimension: 'env', values: ['prod'] }], [{ dimension: 'env', values: ['dev'] }]]) {
      const settings = {
        jobName: `${stream} ${filter?.[0]?.values[0] ?? 'all'}`,
        meterApiNames: [stream],
        enabled: false,
      };
      const jobId = await createJob(server, { ...settings, groupBy: ['element'], filter });
      expect((await endedRun(server, await runJob(server, jobId, '2026-01-26T01:00:00Z'))).status).toBe('SUCCEEDED');
    }
    const before = await dump();
    const expected = {
      __typename: 'CorrectionPreview',
      insertedRecords: 0,
      hiddenRecords: 25,
      changedKeys: 25,
      valueBefore: '1234.5',
      valueAfter: '0',
      // Not that of the job with env=dev.
      staleDeliveries: 2,
    };
    const asked = await preview({ delete: { stream, records: [allOf()] } });
    expect(asked).toMatchObject(expected);
    expect(asked.elements).toHaveLength(25);
    expect(asked.keys?.[0]).toEqual({
      stream,
      timestamp: DAY,
      elementName: 'e0',
      filter: [{ dimension: 'env', values: ['prod'] }],
      valueBefore: '50',
      valueAfter: null,
    });
    expect(await preview({ replace: { stream, records: [], scope } })).toMatchObject(expected);
    // A replace by the same value changes no key.
    expect(await preview({ replace: { stream, records: [record('e24', '34.50')] } })).toMatchObject({
      insertedRecords: 1,
      hiddenRecords: 1,
      changedKeys: 0,
      staleDeliveries: 0,
    });
    expect(await dump()).toEqual(before);
    await done('Sum', { stream, records: [record('e0', '1', 'dev')] });
    expect(await readRecords(server, stream)).toHaveLength(26);
  });

  test('reports the same as the write that follows it', async () => {
    const stream = 'followed';
    const days = ['2026-01-23', '2026-01-24', '2026-01-25'].map((day) => `${day}T00:00:00Z`);
    const live = async () =>
      new Map(
        ((await readRecords(server, stream)) ?? []).map((one) => [
          JSON.stringify([one.timestamp, one.filter, one.elementName]),
          one.value,
        ]),
      );
    for (let step = 0; step < 16; step += 1) {
      const kind = (['Sum', 'Sum', 'Replace', 'Delete'] as const)[step % 4] as WriteKind;
      const records = [0, 1, 2].map((index) => {
        const env = index === 1 ? 'dev' : 'prod';
        const value = kind === 'Delete' ? undefined : String(step + 1);
        return record(`e${(step * 7 + index) % 5}`, value, env, days[(step + index) % 3]);
      });
      const before = await live();
      const expected = await preview({ [kind.toLowerCase()]: { stream, records } });
      const operation = await write(server, kind, { stream, records });
      expect(operation.operation).toMatchObject({
        insertedRecords: expected.insertedRecords,
        hiddenRecords: expected.hiddenRecords,
      });
      const after = await live();
      const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
        (key) => before.get(key) !== after.get(key),
      );
      expect(expected.changedKeys).toBe(changed.length);
      for (const key of expected.keys ?? []) {
        const name = JSON.stringify([key.timestamp, key.filter, key.elementName]);
        expect([key.valueBefore, key.valueAfter]).toEqual([before.get(name) ?? null, after.get(name) ?? null]);
      }
      const undone = await preview({ revertOperation: operation.operation?.id ?? '' });
      expect(undone).toMatchObject({
        insertedRecords: expected.hiddenRecords,
        hiddenRecords: expected.insertedRecords,
        changedKeys: expected.changedKeys,
        valueBefore: expected.valueAfter,
        valueAfter: expected.valueBefore,
      });
    }
  });

  test('sorts the elements by the size of their change, and sums exactly', async () => {
    const stream = 'sorted';
    await done('Sum', {
      stream,
      records: [record('a', '10'), record('b', '0.1'), record('c', '12345678901234567890.123456789')],
    });
    const asked = await preview({
      replace: { stream, records: [record('a', '9'), record('b', '0.3'), record('c', '1'), record('d', '0.5')] },
    });
    expect(asked).toMatchObject({ changedKeys: 4, valueBefore: '12345678901234567900.223456789', valueAfter: '10.8' });
    expect(asked.elements).toEqual([
      { elementName: 'c', valueBefore: '12345678901234567890.123456789', valueAfter: '1' },
      { elementName: 'a', valueBefore: '10', valueAfter: '9' },
      { elementName: 'd', valueBefore: '0', valueAfter: '0.5' },
      { elementName: 'b', valueBefore: '0.1', valueAfter: '0.3' },
    ]);
  });

  test('keeps neither a stream nor a filter that it created', async () => {
    const stream = 'new';
    const input = { stream, records: [record('a', '1', 'new')] };
    const before = await dump();
    for (let round = 0; round < 2; round += 1) {
      expect(await preview({ sum: input })).toMatchObject({ insertedRecords: 1, valueBefore: '0', valueAfter: '1' });
    }
    expect(await dump()).toEqual(before);
    await done('Sum', input);
    const filters = (await dump()).filter((row) => row.startsWith('filters'));
    expect(await preview({ sum: { stream, records: [record('a', '1', 'newer')] } })).toMatchObject({ changedKeys: 1 });
    expect((await dump()).filter((row) => row.startsWith('filters'))).toEqual(filters);
    await Promise.all(['newer', 'newest'].map((env) => done('Sum', { stream, records: [record('a', '2', env)] })));
    expect((await readRecords(server, stream))?.map(({ value }) => value).toSorted()).toEqual(['1', '2', '2']);
  });

  test('never changes sums that share a transaction meanwhile', async () => {
    const stream = 'busy';
    await done('Sum', { stream, records: [record('a', '1')] });
    await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        index % 4 === 0
          ? preview({ sum: { stream, records: [record('a', '1000')] } })
          : done('Sum', { stream, records: [record('a', '1')] }),
      ),
    );
    expect((await readRecords(server, stream))?.map(({ value }) => value)).toEqual(['31']);
  });

  test('leaves nothing when its connection or its server ends in the middle', async () => {
    const stream = 'killed';
    await done('Sum', { stream, records: [record('a', '1'), record('b', '2')] });
    const before = await dump();
    const client = await openClient(server.database.url);
    const killed = startSluice({
      DATABASE_URL: server.database.url,
      API_KEY: server.key,
      PORT: '0',
      ROLE: 'api',
      AWS_REGION: 'us-east-1',
    });
    await killed.said('server started');
    const url = await eventually(
      () => Promise.resolve(/http:\/\/127\.0\.0\.1:\d+/.exec(killed.stderr)?.[0] ?? ''),
      (found) => found !== '',
    );
    try {
      await client.query('BEGIN; LOCK TABLE totals');
      const blocked = () =>
        eventually(
          () => client.query(selectWaiting("relation = 'totals'::regclass")),
          ({ rows }) => rows.length > 0,
        );
      const body = JSON.stringify({ query: PREVIEW, variables: { input: { delete: { stream, records: [allOf()] } } } });
      const sent = fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': server.key },
        body,
      }).catch(() => undefined);
      await blocked();
      killed.kill('SIGKILL');
      await sent;
      await client.query('ROLLBACK');
      await eventually(dump, (rows) => rows.length === before.length);
      expect(await dump()).toEqual(before);
    } finally {
      await client.end();
      await killed.destroy();
    }
  });

  test('counts the records that it would insert and hide before it writes', async () => {
    const stream = 'large';
    await done('Sum', { stream, records: [record('a', '1')] });
    await multiplyRecords(server, stream, 100_000);
    const refused = { __typename: 'LimitExceededError', code: 'LIMIT_EXCEEDED', limit: 100_000, actual: 100_001 };
    expect(await preview({ replace: { stream, records: [], scope } })).toMatchObject(refused);
    expect(await preview({ delete: { stream, records: [allOf()] } })).toMatchObject(refused);
    const one = { stream, records: [record('a', '2')], scope: { ...scope, elementName: 'a' } };
    expect(await preview({ replace: one })).toMatchObject({ hiddenRecords: 1, insertedRecords: 1, changedKeys: 1 });
  });

  test('counts a record once when several selectors match it', async () => {
    const stream = 'overlapping';
    await done('Sum', { stream, records: [record('a', '1'), record('a', '1', 'dev')] });
    await multiplyRecords(server, stream, 30);
    const small = await startTestServer({
      database: server.database,
      s3: server.s3,
      env: { API_KEY: server.key, ROLE: 'api', PREVIEW_MAX_RECORDS: '100' },
    });
    try {
      const ofEnv = { ...allOf(), filter: record('a').filter ?? null };
      const ofElement = { ...allOf(), elementName: 'a 1' };
      const all = { delete: { stream, records: [allOf(), ofElement, ofEnv, record('a')] } };
      expect(await preview(all, server.key, small)).toMatchObject({ hiddenRecords: 62, changedKeys: 62 });
      await multiplyRecords(server, stream, 1);
      const refused = { __typename: 'LimitExceededError', limit: 100, actual: 101 };
      expect(await preview(all, server.key, small)).toMatchObject(refused);
      // The element is in both environments, and has two records in each of them since it was multiplied.
      const some = { delete: { stream, records: [ofElement, ofEnv, record('a', undefined, 'dev')] } };
      expect(await preview(some, server.key, small)).toMatchObject({ hiddenRecords: 65, changedKeys: 63 });
    } finally {
      await small.stop();
    }
  });

  test('reports the errors of the write', async () => {
    const stream = 'errors';
    const first = await done('Sum', { stream, records: [record('a', '1')] });
    expect(await preview({ sum: { stream, records: [record('a', '-1')] } })).toMatchObject({
      issues: [{ path: ['input', 'sum', 'records', '0', 'value'], code: 'NEGATIVE_VALUE' }],
    });
    expect(await preview({ sum: { stream, records: [record('a', '1')], scope } })).toMatchObject({
      issues: [{ path: ['input', 'sum', 'scope'], code: 'SCOPE_FORBIDDEN' }],
    });
    expect(await preview({ delete: { stream: 'absent', records: [allOf()] } })).toMatchObject({ code: 'NOT_FOUND' });
    await done('Sum', { stream, records: [record('b', '1')], idempotencyKey: 'used' });
    expect(await preview({ sum: { stream, records: [record('b', '2')], idempotencyKey: 'used' } })).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
    });
    expect(await preview({ sum: { stream, records: [record('b', '1')], idempotencyKey: 'used' } })).toMatchObject({
      insertedRecords: 0,
      changedKeys: 0,
      valueBefore: '0',
    });
    await done('Delete', { stream, records: [record('a')] });
    const refused = await preview({ revertOperation: first });
    expect(refused).toMatchObject({ __typename: 'ConflictError', code: 'NOT_REVERTIBLE' });
    const foreign = await server.createKey('another', ['ADMIN']);
    expect(await preview({ revertOperation: first }, foreign)).toMatchObject({ code: 'NOT_FOUND' });
    const { errors } = await server.request(PREVIEW, { input: {} });
    expect(errors?.[0]?.extensions?.['code']).toBe('BAD_USER_INPUT');
  });

  test('fails with STREAM_BUSY when other writes take longer than PREVIEW_LOCK_MS', async () => {
    const stream = 'locked';
    await done('Sum', { stream, records: [record('a', '1')] });
    const [row] = await querySql<{ id: string }>(server, `SELECT id FROM streams WHERE name = '${stream}'`);
    const client = await openClient(server.database.url);
    try {
      await client.query('BEGIN');
      await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))', [row?.id]);
      const { errors } = await server.request(PREVIEW, { input: { sum: { stream, records: [record('a', '1')] } } });
      expect(errors?.[0]).toMatchObject({
        extensions: { code: 'STREAM_BUSY' },
        message: expect.stringContaining('300 ms'),
      });
    } finally {
      await client.end();
    }
  });

  test('needs the scopes INGEST and READ', async () => {
    const input = { sum: { stream: 'scoped', records: [record('a', '1')] } };
    for (const [scopes, missing] of [
      [['INGEST'], 'READ'],
      [['READ'], 'INGEST'],
    ] as const) {
      const { errors } = await server.request(PREVIEW, { input }, await server.createKey('default', scopes));
      expect(errors?.[0]).toMatchObject({
        extensions: { code: 'FORBIDDEN' },
        message: expect.stringContaining(missing),
      });
    }
    expect(await preview(input, await server.createKey('default', ['INGEST', 'READ']))).toMatchObject({
      changedKeys: 1,
    });
  });
});
