import { afterAll, beforeAll, expect, test } from 'vitest';
import { ingest } from '../../src/streams/ingest.ts';
import { findDeletedStreams } from '../../src/streams/purge/find-purgeable.ts';
import { purgeStream } from '../../src/streams/purge/purge.ts';
import { withClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { readUsage } from '../usage/questions.ts';
import { accountIdOf, untilWaiting, within } from './held-transactions.ts';
import { gatherBehind, writeOverRest } from './gathered-writes.ts';
import { formatValue, parseValue } from './model.ts';
import {
  deleteStream,
  type FilterEntry,
  readRecords,
  readValues,
  type RecordInput,
  tryWrite,
  verdict,
  write,
  type WriteAnswer,
  type WriteInput,
} from './writes.ts';

// Small sums of many clients share transactions, which no client must notice.

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
/** The two servers in turn. */
const server = (index: number): TestServer => servers[index % 2] as TestServer;

const BUCKET = '2026-01-25T00:00:00Z';
const record = (changes: Partial<RecordInput> = {}): RecordInput => ({
  timestamp: BUCKET,
  granularity: 'DAILY',
  elementName: 'hooli',
  value: '1',
  ...changes,
});
const times = <Value>(count: number, make: (index: number) => Value): Value[] =>
  Array.from({ length: count }, (_, index) => make(index));

const gather = (
  stream: string,
  send: () => Promise<WriteAnswer>[],
  onLetGo?: () => Promise<unknown>,
): Promise<WriteAnswer[]> => gatherBehind(servers, stream, record({ value: '0' }), send, onLetGo);

const ODD_TEXTS = [
  '"',
  '\\',
  '\\"',
  ',',
  '{}',
  '{a,b}',
  'NULL',
  'null',
  "'",
  ' ',
  ' a ',
  'ß',
  '漢字',
  '😀',
  'a\u2028b',
];
const DIGITS = [
  '0.000000000001',
  '99999999999999999999999999.999999999999',
  '0',
  '12345678901234567890',
  '1e3',
  '2.50',
];

test('grouped sums > are each stored once with their own operation', async () => {
  const stream = 'together';
  const filterOf = (index: number): readonly FilterEntry[] => [
    { dimension: 'a "b"', values: [ODD_TEXTS[index % ODD_TEXTS.length] ?? '', `v${index % 3}`] },
  ];
  // Filters that a server remembers, which a sum that is to share a transaction needs.
  for (const one of servers) {
    const records = times(15, (index) => record({ filter: filterOf(index), value: '0', elementName: 'zero' }));
    expect(verdict(await write(one, 'Sum', { stream, records }))).toBe('taken');
  }
  const sums = times(160, (index): WriteInput => ({
    stream,
    idempotencyKey: index % 3 === 0 ? null : `${ODD_TEXTS[index % ODD_TEXTS.length]} ${index}`,
    records: times(1 + (index % 4), (at) =>
      record({
        timestamp: `2026-01-${20 + ((index + at) % 3)}T05:00:00Z`,
        filter: filterOf(((index >> 2) + at) % 15),
        elementName: ODD_TEXTS[(index + at * 7) % ODD_TEXTS.length] ?? '',
        value: DIGITS[(index + at) % DIGITS.length] ?? '',
      }),
    ),
  }));
  const send = (sum: WriteInput, index: number, at: TestServer): Promise<WriteAnswer> =>
    // A header holds Latin-1 only, and no blank at an end.
    index % 2 === 0 || /[^ -~]|^ /.test(sum.idempotencyKey ?? '')
      ? write(at, 'Sum', sum)
      : writeOverRest(at, 'Sum', sum);
  const answers = await Promise.all(sums.map((sum, index) => send(sum, index, server(index >> 1))));
  expect(new Set(answers.map(verdict))).toEqual(new Set(['taken']));
  expect(answers.map((answer) => answer.replayed)).toEqual(sums.map(() => false));
  expect(answers.map((answer) => answer.operation?.insertedRecords)).toEqual(sums.map((sum) => sum.records.length));
  const ids = answers.map((answer) => answer.operation?.id ?? '');
  const idOf = (id: string): string =>
    /^\d+$/.test(id) ? id : (Buffer.from(id, 'base64url').toString().split(':')[1] ?? '');
  expect(new Set(ids.map(idOf)).size).toBe(sums.length);

  // Those with a key again, elsewhere and otherwise: nothing is written twice.
  const again = sums.flatMap((sum, index) => (sum.idempotencyKey == null ? [] : [{ sum, index }]));
  const replayed = await Promise.all(again.map(({ sum, index }) => write(server(1 + (index >> 1)), 'Sum', sum)));
  expect(replayed.map((answer) => [answer.replayed, idOf(answer.operation?.id ?? '')])).toEqual(
    again.map(({ index }) => [true, idOf(ids[index] ?? '')]),
  );

  // Each operation in the ledger has the records of its own request.
  const stored = await withClient(database.url, async (client) => {
    await client.query('BEGIN');
    const { rows } = await client.query<{ id: string; key: string | null; elements: string[] }>(
      `SELECT o.id, o.idempotency_key AS key, array_agg(r.element ORDER BY r.element COLLATE "C") AS elements
       FROM operations o JOIN records r ON r.account_id = o.account_id AND r.operation_id = o.id GROUP BY o.account_id, o.id, o.idempotency_key`,
    );
    return new Map(rows.map((row) => [row.id, row]));
  });
  for (const [index, sum] of sums.entries()) {
    const { key, elements } = stored.get(idOf(ids[index] ?? '')) ?? {};
    expect(key).toBe(sum.idempotencyKey);
    const sent = sum.records.map(({ elementName }) => Buffer.from(elementName ?? ''));
    expect(elements).toEqual(sent.toSorted(Buffer.compare).map(String));
  }

  // Live records, usage by element and totals are equal.
  const add = (values: Map<string, bigint>, name: string, value: bigint) =>
    values.set(name, (values.get(name) ?? 0n) + value);
  const expected = { live: new Map<string, bigint>(), byElement: new Map<string, bigint>(), total: 0n };
  for (const { timestamp, filter, elementName = '', value } of sums.flatMap(({ records }) => records)) {
    const amount = parseValue(String(value));
    const values = [...new Set(filter?.[0]?.values)].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    add(expected.live, JSON.stringify([timestamp.slice(0, 10), values, elementName]), amount);
    add(expected.byElement, elementName ?? '', amount);
    expected.total += amount;
  }
  const texts = (values: ReadonlyMap<string, bigint>) =>
    new Map([...values].map(([name, value]) => [name, formatValue(value)]));
  const live = ((await readRecords(servers[0], stream)) ?? []).filter(({ elementName }) => elementName !== 'zero');
  expect(
    new Map(
      live.map(({ timestamp, filter, elementName, value }) => [
        JSON.stringify([timestamp.slice(0, 10), filter[0]?.values, elementName]),
        value,
      ]),
    ),
  ).toEqual(texts(expected.live));
  const month = {
    meterApiNames: [stream],
    from: '2026-01-01T00:00:00Z',
    to: '2026-02-01T00:00:00Z',
    aggregationBucket: 'MONTH',
  };
  const byElement = await readUsage(servers[0], { ...month, groupBy: ['element'] });
  expect(new Map(byElement.series.map(({ group, total }) => [group[0]?.values[0], total]))).toEqual(
    new Map([...texts(expected.byElement), ['zero', '0']]),
  );
  const whole = await readUsage(servers[1], month);
  expect(whole.series.map(({ total }) => total)).toEqual([formatValue(expected.total)]);
});

test('grouped sums > store one of many concurrent requests with one idempotency key, and reject other content', async () => {
  const stream = 'same-key';
  for (const one of servers) await write(one, 'Sum', { stream, records: [record({ value: '0' })] });
  const answers = await gather(stream, () =>
    times(24, (index) => {
      const idempotencyKey = `same ${index % 3}`;
      // Every fourth brings another value.
      const records = [record({ elementName: idempotencyKey, value: Math.floor(index / 3) % 4 === 3 ? '5' : '7' })];
      return index % 2
        ? write(server(index >> 1), 'Sum', { stream, idempotencyKey, records })
        : writeOverRest(server(index >> 1), 'Sum', { stream, idempotencyKey, records });
    }),
  );
  const values = await readValues(servers[0], stream);
  for (const at of [0, 1, 2]) {
    const ofKey = answers.flatMap((answer, index) =>
      index % 3 === at ? [{ answer, value: Math.floor(index / 3) % 4 === 3 ? '5' : '7' }] : [],
    );
    const [winner] = ofKey.filter(({ answer }) => answer.replayed === false);
    expect(values[`${BUCKET} same ${at}`]).toBe(winner?.value);
    expect(ofKey.map(({ answer, value }) => [value, verdict(answer)])).toEqual(
      ofKey.map(({ value }) => [value, value === winner?.value ? 'taken' : 'IDEMPOTENCY_MISMATCH']),
    );
    expect(ofKey.filter(({ answer }) => answer.replayed === false)).toHaveLength(1);
  }
});

test('grouped sums > do not deadlock when two servers get the same keys in opposite orders', async () => {
  const stream = 'circle';
  for (const one of servers) await write(one, 'Sum', { stream, records: [record({ value: '0' })] });
  await write(servers[0], 'Sum', { stream: 'aside', records: [record()] });
  const accountId = await accountIdOf(servers[0], 'default');
  const keys = times(40, (index) => `circle ${index}`);
  const { promise: letGo, resolve: release } = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  // An open request has the key in the middle: both groups wait for it, each with keys that the other needs.
  const holding = servers[0].resources.database.forAccount(accountId).transaction(async (tx) => {
    const context = { ...within(servers[0], tx), limits: { maxFutureMs: 1e12 } };
    const records = [{ timestamp: BUCKET, granularity: 'DAILY' as const, elementName: 'hooli', value: '1' }];
    await ingest(context, { kind: 'SUM', accountId, stream: 'aside', idempotencyKey: keys[20], records, path: [] });
    held.resolve();
    await letGo;
    throw new Error('given up');
  });
  holding.catch(() => undefined);
  await held.promise;
  const answers = await gather(
    stream,
    () =>
      servers.flatMap((one, index) =>
        (index === 0 ? keys : keys.toReversed()).map((idempotencyKey) =>
          write(one, 'Sum', { stream, idempotencyKey, records: [record({ elementName: idempotencyKey })] }),
        ),
      ),
    async () => {
      await untilWaiting(servers[0], 2);
      release();
      await expect(holding).rejects.toThrow('given up');
    },
  );
  expect(new Set(answers.map(verdict))).toEqual(new Set(['taken']));
  expect(answers.filter(({ replayed }) => replayed === false)).toHaveLength(keys.length);
  expect(await readValues(servers[0], stream)).toEqual({
    [`${BUCKET} hooli`]: '0',
    ...Object.fromEntries(keys.map((key) => [`${BUCKET} ${key}`, '1'])),
  });
});

test('grouped sums > are hidden by a replace if they were acknowledged before it, and only then', async () => {
  const stream = 'replaced';
  for (const one of servers) await write(one, 'Sum', { stream, records: [record({ value: '0' })] });
  let inserted = 2;
  let hidden = 0;
  const senders = times(16, async (index) => {
    for (let round = 0; round < 8; round += 1) {
      const kind = index === 3 && round % 2 === 1 ? 'Replace' : 'Sum';
      const answer = await write(server(index), kind, {
        stream,
        records: [record({ value: kind === 'Sum' ? '1' : '0' })],
      });
      inserted += answer.operation?.insertedRecords ?? NaN;
      hidden += answer.operation?.hiddenRecords ?? NaN;
    }
  });
  await Promise.all(senders);
  // The live records are the zero of the last replace, and a one for each sum behind it.
  const live = inserted - hidden;
  expect(await readValues(servers[1], stream)).toEqual({ [`${BUCKET} hooli`]: String(live - 1) });
  const usage = await readUsage(servers[0], {
    meterApiNames: [stream],
    from: '2026-01-25T00:00:00Z',
    to: '2026-01-26T00:00:00Z',
    aggregationBucket: 'DAY',
  });
  expect(usage.series.map(({ total }) => total)).toEqual([String(live - 1)]);
});

test('grouped sums > go to the new stream when another server deleted, purged and created it again with another shape', async () => {
  const stream = 'anew';
  const old = record({ filter: [{ dimension: 'region', values: ['eu'] }] });
  const anew = record({ granularity: 'HOURLY', filter: [{ dimension: 'team', values: ['a'] }] });
  const shapes = [old, anew];
  for (let round = 0; round < 6; round += 1) {
    const present = shapes[round % 2] as RecordInput;
    const past = shapes[(round + 1) % 2] as RecordInput;
    // The other server remembers the stream and its filter.
    for (let warm = 0; warm < 2; warm += 1) {
      expect(verdict(await write(servers[1], 'Sum', { stream, records: [present] }))).toBe('taken');
    }
    const storm = times(12, () => write(servers[1], 'Sum', { stream, records: [present] }));
    const { deletedId: id } = await deleteStream(servers[0], stream);
    const age = { before: new Date(Date.now() + 60_000), assumedMs: 0 };
    const { acrossAccounts } = servers[0].resources.database;
    const made = write(servers[0], 'Sum', { stream, records: [past] });
    // Each is in the stream that it was written to; if that is the new one, it was validated against it.
    const told = await Promise.all([...storm, made]);
    for (const answer of told) if (!answer.operation) expect(answer.code).toBe('VALIDATION_FAILED');
    const taken = told.slice(0, -1).filter(({ operation, stream: into }) => operation && into?.id !== id);
    const isPast = told.at(-1)?.operation !== undefined;
    const [shape, other] = isPast ? [past, present] : [present, past];
    expect(isPast ? taken : []).toEqual([]);
    for (const deleted of await findDeletedStreams(acrossAccounts, age))
      await purgeStream(acrossAccounts, deleted, age);
    // The server has cached a stream that was purged with its filters.
    expect(verdict(await write(servers[1], 'Sum', { stream, records: [other] }))).toMatch(/DIFFER/);
    for (const one of servers) expect(verdict(await write(one, 'Sum', { stream, records: [shape] }))).toBe('taken');
    const records = (await readRecords(servers[0], stream)) ?? [];
    expect(records.map(({ value }) => Number(value))).toEqual([2 + (isPast ? 1 : taken.length)]);
    await deleteStream(servers[0], stream);
  }
});

test('grouped sums > fail when the connection breaks, and are stored once when they are retried', async () => {
  const stream = 'away';
  for (const one of servers) await write(one, 'Sum', { stream, records: [record({ value: '0' })] });
  let refused = 0;
  let writing = true;
  const sender = async (index: number): Promise<void> => {
    for (let number = 0; number < 12; number += 1) {
      for (;;) {
        const input = {
          stream,
          idempotencyKey: `away ${index} ${number}`,
          records: [record({ elementName: `e${index}` })],
        };
        const { status, data, errors } = await tryWrite(server(index + refused), 'Sum', input);
        if (data?.answer.operation) break;
        expect([status, errors?.[0]?.extensions?.['code']]).toEqual([503, 'UNAVAILABLE']);
        refused += 1;
      }
    }
  };
  const breaking = withClient(database.url, async (client) => {
    while (writing) {
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
         AND (query LIKE '%INTO totals%' OR query LIKE '%INTO operations%' OR query = 'commit')`,
      );
      await client.query('SELECT pg_sleep(0.02)');
      if (refused > 200) return;
    }
  });
  await Promise.all(times(20, sender));
  writing = false;
  await breaking;
  expect(refused).toBeGreaterThan(0);
  expect(await readValues(servers[0], stream)).toEqual({
    [`${BUCKET} hooli`]: '0',
    ...Object.fromEntries(times(20, (index) => [`${BUCKET} e${index}`, '12'])),
  });
  const usage = await readUsage(servers[1], {
    meterApiNames: [stream],
    from: '2026-01-25T00:00:00Z',
    to: '2026-01-26T00:00:00Z',
    aggregationBucket: 'DAY',
  });
  expect(usage.series.map(({ total }) => total)).toEqual(['240']);
});
