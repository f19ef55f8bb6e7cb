import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { querySql } from '../support/job-steps.ts';
import { hearStatements } from '../support/sent-statements.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { deleteStream, write } from './writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

let stream = '';
let count = 0;
beforeEach(() => {
  count += 1;
  stream = `declared-${count}`;
});

type Granularity = 'HOURLY' | 'DAILY' | 'MONTHLY';

async function createStream(granularity: Granularity, name = stream): Promise<void> {
  const record = { timestamp: '2026-01-25T00:00:00Z', granularity, elementName: 'acme', value: '1' };
  await write(server, 'Sum', { stream: name, records: [record] });
}

interface Answer {
  readonly __typename: string;
  readonly code?: string;
  readonly message?: string;
  readonly issues?: readonly { readonly path: readonly string[]; readonly code: string }[];
  readonly replayed?: boolean;
  readonly operation?: { readonly id: string; readonly completeThrough: string };
}

async function declare(through: string, idempotencyKey: string | null = null, name = stream): Promise<Answer> {
  const { declareComplete } = await server.graphql<{ declareComplete: Answer }>(
    `mutation ($input: DeclareCompleteInput!) { declareComplete(input: $input) { __typename
      ... on AllocationReceipt { replayed stream { name } operation { id kind insertedRecords hiddenRecords completeThrough
        firstTimestamp lastTimestamp idempotencyKey } }
      ... on UserError { code message } ... on ValidationError { issues { path code } } } }`,
    { input: { stream: name, through, idempotencyKey } },
  );
  return declareComplete;
}

async function completeThrough(name = stream): Promise<string | null> {
  const answer = await server.graphql<{ stream: { completeThrough: string | null } }>(
    'query ($name: String!) { stream(name: $name) { completeThrough } }',
    { name },
  );
  return answer.stream.completeThrough;
}

const post = (name: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${server.url}/unit-cost/v1/telemetry/${name}/complete`, {
    method: 'POST',
    headers: { 'x-api-key': server.key, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

describe('declareComplete', () => {
  test('writes an operation without records, which no bucket can be touched by', async () => {
    await createStream('HOURLY');
    expect(await completeThrough()).toBeNull();
    expect(await declare('2026-01-25T05:00:00Z')).toEqual({
      __typename: 'AllocationReceipt',
      replayed: false,
      stream: { name: stream },
      operation: {
        id: expect.any(String),
        kind: 'COMPLETE',
        insertedRecords: 0,
        hiddenRecords: 0,
        completeThrough: '2026-01-25T05:00:00Z',
        firstTimestamp: null,
        lastTimestamp: null,
        idempotencyKey: null,
      },
    });
    expect(await completeThrough()).toBe('2026-01-25T05:00:00Z');
  });

  test.each([
    ['HOURLY', '2026-01-25T05:59:00+02:00', '2026-01-25T03:00:00Z'],
    ['DAILY', '2026-01-25T23:59:00+02:00', '2026-01-25T00:00:00Z'],
    ['DAILY', '2026-01-25T00:00:00+02:00', '2026-01-24T00:00:00Z'],
    ['DAILY', '2026-01-24T20:00:00-05:00', '2026-01-25T00:00:00Z'],
    ['MONTHLY', '2026-01-25T00:00:00+02:00', '2026-01-01T00:00:00Z'],
    ['MONTHLY', '2026-01-01T00:00:00+02:00', '2025-12-01T00:00:00Z'],
    ['MONTHLY', '2025-12-31T20:00:00-05:00', '2026-01-01T00:00:00Z'],
  ] as const)(
    'moves the instant back to the start of a bucket in UTC of a stream that is %s, when it is %s',
    async (granularity, sent, stored) => {
      await createStream(granularity);
      expect((await declare(sent)).operation?.completeThrough).toBe(stored);
      expect(await completeThrough()).toBe(stored);
    },
  );

  test('before an earlier declaration is stored and has no effect', async () => {
    await createStream('DAILY');
    await declare('2026-01-25T00:00:00Z');
    expect(await declare('2026-01-20T00:00:00Z')).toMatchObject({ __typename: 'AllocationReceipt', replayed: false });
    expect(await completeThrough()).toBe('2026-01-25T00:00:00Z');
  });

  test('is rejected for a stream that does not exist, and forgotten when the stream is deleted', async () => {
    expect(await declare('2026-01-25T00:00:00Z')).toMatchObject({ __typename: 'NotFoundError' });
    await createStream('DAILY');
    await declare('2026-01-25T00:00:00Z');
    await deleteStream(server, stream);
    expect(await declare('2026-01-26T00:00:00Z')).toMatchObject({ __typename: 'NotFoundError' });
    await createStream('DAILY');
    expect(await completeThrough()).toBeNull();
  });

  test('is rejected if the instant is not a timestamp, or more than MAX_FUTURE_HOURS in the future', async () => {
    await createStream('HOURLY');
    const inHours = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString();
    expect(await declare('2026-01-25')).toMatchObject({
      issues: [{ path: ['input', 'through'], code: 'BAD_TIMESTAMP' }],
    });
    expect(await declare(inHours(26))).toMatchObject({
      issues: [{ path: ['input', 'through'], code: 'FUTURE_TIMESTAMP' }],
    });
    expect(await declare(inHours(23))).toMatchObject({ __typename: 'AllocationReceipt' });
  });

  test('returns the stored receipt for the same idempotency key and instant, and a conflict for another content', async () => {
    await createStream('HOURLY');
    const key = `key of ${stream}`;
    const first = await declare('2026-01-25T05:00:00Z', key);
    expect(await declare('2026-01-25T06:30:00+01:00', key)).toEqual({ ...first, replayed: true });
    expect(await declare('2026-01-25T06:00:00Z', key)).toMatchObject({
      __typename: 'ConflictError',
      code: 'IDEMPOTENCY_MISMATCH',
    });
    expect(await declare('2026-01-25T05:00:00Z', key, 'another')).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' });
    const both = await Promise.all([1, 2].map(() => declare('2026-01-25T07:00:00Z', `${key} twice`)));
    expect(both.filter(({ replayed }) => replayed === true)).toHaveLength(1);
    // The key of a sum.
    const record = { timestamp: '2026-01-25T00:00:00Z', granularity: 'HOURLY', elementName: 'a', value: '1' } as const;
    await write(server, 'Sum', { stream, records: [record], idempotencyKey: `${key} of a sum` });
    expect(await declare('2026-01-25T05:00:00Z', `${key} of a sum`)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' });
  });

  test('cannot be reverted, and leaves records, totals and later writes as they are', async () => {
    await createStream('DAILY');
    const { operation } = await declare('2026-01-25T00:00:00Z');
    const { revertOperation } = await server.graphql<{ revertOperation: Answer }>(
      `mutation ($input: RevertOperationInput!) { revertOperation(input: $input) { __typename ... on UserError { code message } } }`,
      { input: { operationId: operation?.id } },
    );
    expect(revertOperation).toMatchObject({
      code: 'NOT_REVERTIBLE',
      message: 'The operation cannot be reverted. A declaration of completeness is final. Nothing was written.',
    });
    const { usage } = await server.graphql<{ usage: { series: { total: string }[] } }>(
      `query ($input: UsageInput!) { usage(input: $input) { ... on Usage { series { total } } ... on UserError { message } } }`,
      {
        input: {
          from: '2026-01-25T00:00:00Z',
          to: '2026-01-26T00:00:00Z',
          aggregationBucket: 'DAY',
          meterApiNames: [stream],
        },
      },
    );
    expect(usage.series).toEqual([{ total: '1' }]);
  });

  test('is accepted over REST, with an idempotency key in the header', async () => {
    await createStream('HOURLY');
    const headers = { 'idempotency-key': `"rest ${stream}"` };
    const response = await post(stream, { through: '2026-01-25T05:30:00Z' }, headers);
    expect(response.status).toBe(200);
    const body = await response.json();
    expect(body).toMatchObject({ insertedRecords: 0, hiddenRecords: 0, replayed: false });
    expect(await declare('2026-01-25T05:00:00Z', `rest ${stream}`)).toMatchObject({
      replayed: true,
      operation: { id: (body as { operationId: string }).operationId },
    });
    expect((await post(stream, { through: '2026-01-25T06:00:00Z' }, headers)).status).toBe(409);
    expect((await post('missing', { through: '2026-01-25T06:00:00Z' })).status).toBe(400);
    expect((await post(stream, {})).status).toBe(400);
    expect((await post(stream, { through: 'soon' })).status).toBe(400);
  });
});

describe('Stream', () => {
  test('returns the greatest declaration and the time of the newest operation of 50 streams with one statement', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `${stream}-${String(index).padStart(2, '0')}`);
    await Promise.all(names.map((name) => createStream('DAILY', name)));
    await declare('2026-01-25T00:00:00Z', null, names[7]);
    const heard = hearStatements();
    const { streams } = await server.graphql<{
      streams: { edges: { node: { name: string; completeThrough: string | null; lastOperationAt: string } }[] };
    }>(
      `query ($search: String) { streams(first: 50, search: $search) { edges { node { name completeThrough lastOperationAt
        operations(first: 1) { edges { node { receivedAt } } } } } } }`,
      { search: `${stream}-` },
    );
    heard.stop();
    expect(heard.heard.filter(({ text }) => text.includes('complete_through IS NOT NULL'))).toHaveLength(1);
    const nodes = streams.edges.map(({ node }) => node);
    expect(nodes.map(({ name }) => name)).toEqual(names);
    expect(nodes.filter(({ completeThrough: through }) => through !== null)).toMatchObject([
      { name: names[7], completeThrough: '2026-01-25T00:00:00Z' },
    ]);
    for (const node of nodes) {
      expect(node).toMatchObject({ operations: { edges: [{ node: { receivedAt: node.lastOperationAt } }] } });
    }
  });

  test('reads one entry of the index of declarations for any number of operations', async () => {
    await createStream('HOURLY');
    await querySql(
      server,
      `INSERT INTO operations (account_id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256, complete_through)
       SELECT account_id, id, 'SUM', now(), '3', true, 0, 0, '', CASE WHEN i % 10 = 0 THEN timestamptz '2020-01-01' + i * interval '1 hour' END
       FROM streams, generate_series(1, 20000) i WHERE name = $1`,
      [stream],
    );
    const plan = await querySql<{ 'QUERY PLAN': [{ Plan: object }] }>(
      server,
      `EXPLAIN (ANALYZE, FORMAT JSON) SELECT s.id, (SELECT o.complete_through FROM operations o
         WHERE o.account_id = 1 AND o.stream_id = s.id AND o.complete_through IS NOT NULL AND pg_visible_in_snapshot(o.xid, '100:100:'::pg_snapshot)
         ORDER BY o.complete_through DESC LIMIT 1) FROM streams s WHERE s.account_id = 1 AND s.name = $1`,
      [stream],
    );
    const text = JSON.stringify(plan);
    expect(text).toContain('"operations_complete"');
    expect(text).not.toContain('"Sort"');
  });
});
