import { afterAll, beforeAll, expect, test } from 'vitest';
import { ingest } from '../../src/streams/ingest.ts';
import { deleteStream as hideStream } from '../../src/streams/streams.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { accountIdOf, untilWaiting, within } from './held-transactions.ts';
import {
  deleteStream,
  readRecords,
  readValues,
  type RecordInput,
  verdict,
  write,
  type WriteAnswer,
  type WriteInput,
  type WriteKind,
} from './writes.ts';

// Two servers on one database, as behind a load balancer: a client that sends again may meet the other one.
let database: TestDatabase;
let servers: readonly [TestServer, TestServer];
beforeAll(async () => {
  database = await createTestDatabase();
  servers = [await startTestServer({ database }), await startTestServer({ database })];
});
afterAll(async () => {
  for (const server of servers) await server.stop();
  await database.drop();
});

const BUCKET = '2026-01-25T00:00:00Z';
const record = (changes: Partial<RecordInput> = {}): RecordInput => ({
  timestamp: BUCKET,
  granularity: 'DAILY',
  elementName: 'hooli',
  value: '1',
  ...changes,
});

/** Sends the same request to the two servers alternately, all concurrently. */
const atOnce = (count: number, kind: WriteKind, inputOf: (index: number) => WriteInput): Promise<WriteAnswer[]> =>
  Promise.all(
    Array.from({ length: count }, (_, index) => write(servers[index % 2] as TestServer, kind, inputOf(index))),
  );

const ONE_SPELLING: readonly RecordInput[] = [
  record({
    filter: [
      { dimension: 'region', values: ['eu', 'us'] },
      { dimension: 'team', values: ['a'] },
    ],
    value: '1.0',
  }),
  record({
    filter: [
      { dimension: 'region', values: ['eu'] },
      { dimension: 'team', values: ['b'] },
    ],
    value: 2500,
  }),
];
const OTHER_SPELLING: readonly RecordInput[] = [
  record({
    timestamp: '2026-01-25T23:59:59.999+05:30',
    filter: [
      { dimension: 'team', values: ['a', 'a'] },
      { dimension: 'region', values: ['us', 'eu', 'us'] },
    ],
    value: '+1.00',
  }),
  record({
    timestamp: '2026-01-25t00:00:00.000z',
    filter: [
      { dimension: 'team', values: ['b'] },
      { dimension: 'region', values: ['eu'] },
    ],
    value: '2.5e3',
  }),
];
const withoutValue = ({ value: _, ...selector }: RecordInput): RecordInput => selector;

test.each<WriteKind>(['Sum', 'Replace', 'Delete'])(
  'idempotency key > returns the receipt of a %s in another spelling from the other server',
  async (kind) => {
    const stream = `spelling-${kind}`;
    await write(servers[0], 'Sum', { stream, records: ONE_SPELLING });
    const [one, other] = [ONE_SPELLING, OTHER_SPELLING].map((records) => ({
      stream,
      idempotencyKey: `spelling-${kind}`,
      records: kind === 'Delete' ? records.map(withoutValue) : records,
    })) as [WriteInput, WriteInput];
    const first = await write(servers[0], kind, one);
    expect(first).toMatchObject({ replayed: false, operation: { hiddenRecords: kind === 'Sum' ? 0 : 2 } });
    // Later requests do not change the receipt.
    await write(servers[0], 'Sum', { stream, records: ONE_SPELLING });
    const before = await readRecords(servers[0], stream);
    expect(await write(servers[1], kind, other)).toEqual({ ...first, replayed: true });
    expect(await readRecords(servers[0], stream)).toEqual(before);
  },
);

test('idempotency key > is a conflict with other content in any field', async () => {
  const idempotencyKey = 'content';
  const records = [record(), record({ elementName: 'globex', value: '2' })];
  await write(servers[0], 'Sum', { stream: 'content', records, idempotencyKey });
  const others: Record<string, [WriteKind, Partial<WriteInput>]> = {
    'another kind': ['Replace', {}],
    'another stream': ['Sum', { stream: 'content-2' }],
    'another value': ['Sum', { records: [records[0]!, record({ elementName: 'globex', value: '2.1' })] }],
    'another element': ['Sum', { records: [records[0]!, record({ elementName: 'Globex', value: '2' })] }],
    'another bucket': ['Sum', { records: [records[0]!, { ...records[1]!, timestamp: '2026-01-26T00:00:00Z' }] }],
    'another granularity': ['Sum', { records: records.map((one) => ({ ...one, granularity: 'HOURLY' })) }],
    'one with another granularity': ['Sum', { records: [records[0]!, { ...records[1]!, granularity: 'HOURLY' }] }],
    'another filter': [
      'Sum',
      { records: records.map((one) => ({ ...one, filter: [{ dimension: 'd', values: ['v'] }] })) },
    ],
    'another order of the records': ['Sum', { records: records.toReversed() }],
    'one record less': ['Sum', { records: records.slice(1) }],
    'one that is not valid': ['Sum', { records: [...records, record({ value: '-1' })] }],
  };
  for (const [what, [kind, changes]] of Object.entries(others)) {
    const answer = await write(servers[1], kind, { stream: 'content', records, idempotencyKey, ...changes });
    expect([what, answer.__typename, answer.code]).toEqual([what, 'ConflictError', 'IDEMPOTENCY_MISMATCH']);
  }
  expect(await readRecords(servers[0], 'content')).toHaveLength(2);
  expect(await readRecords(servers[0], 'content-2')).toBeNull();
});

test('idempotency key > is a conflict for a delete with another granularity, element or filter', async () => {
  const stream = 'delete-content';
  await write(servers[0], 'Sum', { stream, records: [record()] });
  const selector = withoutValue(record());
  const input = { stream, idempotencyKey: 'delete-content', records: [selector] };
  expect(verdict(await write(servers[0], 'Delete', input))).toBe('taken');
  const { elementName: _, ...everyElement } = selector;
  for (const other of [
    { ...selector, granularity: 'HOURLY' },
    { ...selector, elementName: '*' },
    { ...selector, filter: [{ dimension: 'd', values: ['*'] }] },
    everyElement,
  ]) {
    expect(verdict(await write(servers[0], 'Delete', { ...input, records: [other] }))).toBe('IDEMPOTENCY_MISMATCH');
  }
  // Null, an empty filter and none are one content.
  for (const filter of [null, []]) {
    const answer = await write(servers[1], 'Delete', { ...input, records: [{ ...selector, filter }] });
    expect(answer.replayed).toBe(true);
  }
});

test('idempotency key > stores one of two concurrent requests to two servers, even if it creates the stream', async () => {
  for (let round = 0; round < 12; round += 1) {
    const stream = `once-${round % 2 === 0 ? 'known' : round}`;
    const before = Number((await readValues(servers[0], stream))[`${BUCKET} hooli`] ?? 0);
    const kind = round % 3 === 2 ? 'Replace' : 'Sum';
    const answers = await atOnce(6, kind, (index) => ({
      stream,
      idempotencyKey: `once-${round}`,
      records: [record({ value: index % 2 === 0 ? '1' : '1.0' })],
    }));
    expect(answers.map(verdict)).toEqual(Array.from({ length: 6 }, () => 'taken'));
    expect(answers.filter((answer) => answer.replayed === false)).toHaveLength(1);
    expect(new Set(answers.map((answer) => answer.operation?.id)).size).toBe(1);
    const after = Number((await readValues(servers[0], stream))[`${BUCKET} hooli`]);
    expect(after).toBe(kind === 'Replace' ? 1 : before + 1);
  }
});

test('idempotency key > stores one of several concurrent contents, and the others are conflicts', async () => {
  for (let round = 0; round < 8; round += 1) {
    // Into one stream, into several, and into several that do not exist yet.
    const streamOf = (index: number) => ['clash', `clash-${index}`, `clash-${round}-${index}`][round % 3] ?? '';
    const answers = await atOnce(6, 'Sum', (index) => ({
      stream: streamOf(index),
      idempotencyKey: `clash-${round}`,
      records: [record({ elementName: `round-${round}`, value: String(index + 1) })],
    }));
    const taken = answers.flatMap((answer, index) => (answer.operation ? [index] : []));
    expect(taken).toHaveLength(1);
    expect(answers.filter((answer) => answer.code === 'IDEMPOTENCY_MISMATCH')).toHaveLength(5);
    const [winner = 0] = taken;
    for (let index = 0; index < 6; index += 1) {
      const records = await readRecords(servers[0], streamOf(index));
      const ofRound = records?.filter((one) => one.elementName === `round-${round}`) ?? [];
      const expected = streamOf(index) === streamOf(winner) ? [String(winner + 1)] : [];
      expect(ofRound.map((one) => one.value)).toEqual(expected);
      if (round % 3 === 2 && index !== winner) expect(records, 'a stream made for nothing').toBeNull();
    }
  }
});

test('idempotency key > stays free when the request is rejected', async () => {
  const free = { stream: 'free', idempotencyKey: 'free' };
  const selectors = { ...free, records: [withoutValue(record())] };
  expect(verdict(await write(servers[0], 'Delete', selectors))).toBe('NOT_FOUND');
  expect(verdict(await write(servers[0], 'Sum', { ...free, records: [record({ value: 'x' })] }))).toContain(
    'BAD_DECIMAL',
  );
  const tooMany = Array.from({ length: 10_001 }, () => withoutValue(record()));
  expect(verdict(await write(servers[0], 'Delete', { ...free, records: tooMany }))).toBe('LIMIT_EXCEEDED');
  expect(verdict(await write(servers[0], 'Replace', { ...free, records: [record(), record()] }))).toContain(
    'DUPLICATE_KEY',
  );
  expect(await write(servers[1], 'Sum', { ...free, records: [record()] })).toMatchObject({ replayed: false });
  expect(verdict(await write(servers[0], 'Sum', { ...free, stream: 'free-2', records: [record()] }))).toBe(
    'IDEMPOTENCY_MISMATCH',
  );
});

test('idempotency key > returns the receipt of the old stream when the stream was deleted and created again', async () => {
  const input = { stream: 'gone', idempotencyKey: 'gone', records: [record({ value: '5' })] };
  const first = await write(servers[0], 'Sum', input);
  await deleteStream(servers[0], 'gone');
  expect(await write(servers[1], 'Sum', input)).toEqual({ ...first, replayed: true });
  expect(await readRecords(servers[0], 'gone')).toBeNull();
  const hourly = record({ granularity: 'HOURLY', value: '7' });
  const anew = await write(servers[0], 'Sum', { stream: 'gone', records: [hourly] });
  expect(anew.stream?.id).not.toBe(first.stream?.id);
  expect(await write(servers[0], 'Sum', input)).toEqual({ ...first, replayed: true });
  expect(await readValues(servers[0], 'gone')).toEqual({ [`${BUCKET} hooli`]: '7' });
});

test('idempotency key > belongs to one account', async () => {
  const other = await servers[0].createKey('other', ['INGEST', 'READ']);
  const input = { stream: 'mine', idempotencyKey: 'mine', records: [record()] };
  await write(servers[0], 'Sum', input);
  const records = [record({ value: '2' })];
  expect(await write(servers[1], 'Sum', { ...input, records }, other)).toMatchObject({ replayed: false });
  expect((await readRecords(servers[0], 'mine', { key: other }))?.map((one) => one.value)).toEqual(['2']);
});

test('idempotency key > leaves no empty stream when the request that it waited for created a stream that is deleted by then', async () => {
  const [server] = servers;
  const accountId = await accountIdOf(server, 'default');
  const input = { stream: 'twin', idempotencyKey: 'twin', records: [record()] };
  let waiting: Promise<WriteAnswer> | undefined;
  await server.resources.database.acrossAccounts.transaction(async (tx) => {
    const records = [{ timestamp: BUCKET, granularity: 'DAILY' as const, elementName: 'hooli', value: '1' }];
    await ingest(within(server, tx), { kind: 'SUM', ...input, accountId, records, path: ['input'] });
    waiting = write(server, 'Sum', input);
    await untilWaiting(server, 1);
    await hideStream(within(server, tx), accountId, 'twin');
  });
  expect(await waiting).toMatchObject({ replayed: true });
  expect(await readRecords(server, 'twin')).toBeNull();
});
