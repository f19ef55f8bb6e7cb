import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { readRecords, verdict, write, type WriteKind } from '../streams/writes.ts';
import { countStored, issuesOf, type Receipt, type RestFailure, send, type Verb } from './requests.ts';

// One key, one content, one receipt: over GraphQL, JSON and NDJSON.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const WAYS = ['GraphQL', 'JSON', 'NDJSON'] as const;
type Way = (typeof WAYS)[number];

interface Told {
  readonly operationId: string | undefined;
  readonly outcome: string;
}

const VERBS: Readonly<Record<WriteKind, Verb>> = { Sum: 'sum', Replace: 'replace', Delete: 'delete' };

/** `count` records, or selectors for a delete. */
const writeRecords = async (
  way: Way,
  kind: WriteKind,
  { stream, key, count, value = '1' }: { stream: string; key: string; count: number; value?: string },
): Promise<Told> => {
  const places = Array.from({ length: count }, (_, index) => `e${index}`);
  const bucket = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY' };
  if (way === 'GraphQL') {
    const answer = await write(server, kind, {
      stream,
      idempotencyKey: key,
      records: places.map((elementName) => ({ ...bucket, elementName, ...(kind !== 'Delete' && { value }) })),
    });
    const told = answer.replayed === undefined ? verdict(answer) : `replayed ${answer.replayed}`;
    return { operationId: answer.operation?.id, outcome: told };
  }
  const records = places.map((name) =>
    JSON.stringify({ ...bucket, 'element-name': name, ...(kind !== 'Delete' && { value }) }),
  );
  // fetch sends each character of a header as one byte.
  const headers = { 'idempotency-key': Buffer.from(key).toString('latin1') };
  const answer = await send<Receipt & RestFailure>(server, way, [stream, VERBS[kind]], records, { headers });
  if (answer.status > 201) {
    expect(answer.status).toBe(answer.body.error.code === 'IDEMPOTENCY_MISMATCH' ? 409 : 400);
    return { operationId: undefined, outcome: answer.body.error.code };
  }
  return { operationId: answer.body.operationId, outcome: `replayed ${answer.body.replayed}` };
};

describe.each<WriteKind>(['Sum', 'Replace', 'Delete'])('%s', (kind) => {
  test.each(WAYS)('sent first over %s > is replayed over each API, and other content is a conflict', async (first) => {
    const stream = `${kind}-${first}`;
    const key = `${stream} ключ`;
    if (kind === 'Delete') await writeRecords('JSON', 'Sum', { stream, key: `${stream}-before`, count: 3 });
    const original = await writeRecords(first, kind, { stream, key, count: 2 });
    expect(original.outcome).toBe('replayed false');
    const before = await countStored(server);
    const live = await readRecords(server, stream);
    for (const way of WAYS) {
      expect(await writeRecords(way, kind, { stream, key, count: 2 }), way).toEqual({
        ...original,
        outcome: 'replayed true',
      });
      for (const other of [{ count: 3 }, { count: 1 }, ...(kind === 'Delete' ? [] : [{ count: 2, value: '2' }])]) {
        const told = await writeRecords(way, kind, { stream, key, ...other });
        expect([way, other, told.outcome]).toEqual([way, other, 'IDEMPOTENCY_MISMATCH']);
      }
      const elsewhere = await writeRecords(way, kind, { stream: `${stream}-2`, key, count: 2 });
      expect([way, elsewhere.outcome]).toEqual([way, 'IDEMPOTENCY_MISMATCH']);
      const otherKind = await writeRecords(way, kind === 'Sum' ? 'Replace' : 'Sum', { stream, key, count: 2 });
      expect([way, otherKind.outcome]).toEqual([way, 'IDEMPOTENCY_MISMATCH']);
    }
    expect(await countStored(server)).toEqual(before);
    expect(before).toMatchObject({ staged_batches: 0 });
    expect(await readRecords(server, stream)).toEqual(live);
  });
});

test('idempotency > treats NDJSON of several batches and a list of the same records as the same content', async () => {
  const request = { stream: 'long', key: 'long', count: 6001 };
  const original = await writeRecords('NDJSON', 'Sum', request);
  expect(original.outcome).toBe('replayed false');
  for (const way of WAYS) {
    expect(await writeRecords(way, 'Sum', request), way).toEqual({ ...original, outcome: 'replayed true' });
    const shorter = await writeRecords(way, 'Sum', { ...request, count: 6000 });
    expect([way, shorter.outcome]).toEqual([way, 'IDEMPOTENCY_MISMATCH']);
  }
});

test('idempotency > reports a conflict before validation errors if the key was used', async () => {
  await writeRecords('JSON', 'Replace', { stream: 'known', key: 'known', count: 2 });
  const record = '{"timestamp":"2026-01-25","granularity":"DAILY","element-name":"e0","value":"1"}';
  const headers = { 'idempotency-key': 'known' };
  for (const form of ['JSON', 'NDJSON'] as const) {
    for (const records of [[record, record], ['{}'], [record.replace('"1"', '"-1"')]]) {
      const answer = await send<RestFailure>(server, form, ['known', 'replace'], records, { headers });
      expect(answer).toMatchObject({ status: 409, body: { error: { code: 'IDEMPOTENCY_MISMATCH', issues: [] } } });
    }
    // A malformed request is reported as such.
    const answer = await send<RestFailure>(server, form, ['known', 'replace'], [], { headers });
    expect([form, answer.status, ...issuesOf(answer)]).toEqual([form, 400, 'records: NO_RECORDS']);
  }
});

test('idempotency > does not use the key of a rejected request', async () => {
  for (const form of ['JSON', 'NDJSON'] as const) {
    const headers = { 'idempotency-key': `free-${form}` };
    expect((await send(server, form, ['nowhere', 'delete'], ['{}'], { headers })).status).toBe(400);
    expect((await send(server, form, [form, 'sum'], ['{}'], { headers })).status).toBe(400);
    expect((await writeRecords(form, 'Sum', { stream: form, key: `free-${form}`, count: 1 })).outcome).toBe(
      'replayed false',
    );
  }
});

test('idempotency > writes concurrent identical NDJSON requests once', async () => {
  for (let round = 0; round < 4; round += 1) {
    const request = { stream: `once-${round}`, key: `once-${round}`, count: 200 };
    const told = await Promise.all(
      Array.from({ length: 6 }, (_, index) => writeRecords(WAYS[index % 3] as Way, 'Sum', request)),
    );
    expect(told.filter(({ outcome }) => outcome === 'replayed false')).toHaveLength(1);
    expect(told.filter(({ outcome }) => outcome === 'replayed true')).toHaveLength(5);
    expect(new Set(told.map(({ operationId }) => operationId)).size).toBe(1);
    const live = (await readRecords(server, request.stream)) ?? [];
    expect([live.length, ...new Set(live.map(({ value }) => value))]).toEqual([200, '1']);
  }
});
