import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf, untilWaiting } from './held-transactions.ts';
import { answerOf, canonicalFilter, formatValue, keyOf, liveValues, Model } from './model.ts';
import { type Command, history, shapeAt, STREAM_NAMES } from './random-requests.ts';
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

test('concurrent sums > are all stored when the first one creates the stream', async () => {
  const answers = await Promise.all(
    times(40, (index) =>
      write(server(index), 'Sum', {
        stream: 'sums',
        // New filters in other orders, which is where inserts would wait for each other in a circle.
        records: times(12, (at) => {
          const place = index % 2 === 0 ? at : 11 - at;
          const filter = [{ dimension: 'region', values: [`r${Math.floor(index / 4)}-${place}`] }];
          return record({ elementName: `e${place}`, filter, value: `0.${'0'.repeat(11)}1` });
        }),
      }),
    ),
  );
  expect(new Set(answers.map(verdict))).toEqual(new Set(['taken']));
  const byElement = new Map<string, number>();
  for (const live of (await readRecords(server(0), 'sums')) ?? []) {
    byElement.set(live.elementName, (byElement.get(live.elementName) ?? 0) + Number(live.value) * 1e12);
  }
  expect(Object.fromEntries([...byElement].map(([element, value]) => [element, Math.round(value)]))).toEqual(
    Object.fromEntries(times(12, (index) => [`e${index}`, 40])),
  );
});

test('concurrent sums > do not wait for an uncommitted sum of the same stream', async () => {
  await write(server(0), 'Sum', { stream: 'side-by-side', records: [record()] });
  const client = await openClient(database.url);
  try {
    await client.query('BEGIN');
    // The locks of an open sum.
    await client.query(
      `SELECT pg_advisory_xact_lock_shared(hashtextextended(id::text, 0)) FROM streams WHERE name = 'side-by-side'`,
    );
    expect(verdict(await write(server(1), 'Sum', { stream: 'side-by-side', records: [record()] }))).toBe('taken');
    const replace = write(server(1), 'Replace', { stream: 'side-by-side', records: [record({ value: '9' })] });
    await untilWaiting(server(0), 1);
    await client.query('COMMIT');
    expect(await replace).toMatchObject({ operation: { hiddenRecords: 2 } });
  } finally {
    await client.end();
  }
});

test('concurrent replaces of one key > leave one value, and each hides the one before it', async () => {
  for (let round = 0; round < 9; round += 1) {
    const stream = `replaces-${round % 3}`;
    const answers = await Promise.all(
      times(8, (index) =>
        write(server(index), 'Replace', { stream, records: [record({ value: String(1 + round * 8 + index) })] }),
      ),
    );
    expect(new Set(answers.map(verdict))).toEqual(new Set(['taken']));
    // In any serial order each but the first of all hides exactly the record of the one before.
    const hidden = answers.map((answer) => answer.operation?.hiddenRecords ?? 0).toSorted((a, b) => a - b);
    expect(hidden).toEqual(round < 3 ? [0, 1, 1, 1, 1, 1, 1, 1] : times(8, () => 1));
    const value = Number((await readValues(server(0), stream))[`${BUCKET} hooli`]);
    expect(value).toBeGreaterThan(round * 8);
    expect(value).toBeLessThanOrEqual(round * 8 + 8);
  }
});

test('concurrent writes > end without a deadlock when they have the same keys in opposite orders', async () => {
  const keys = times(200, (index) => index);
  for (let round = 0; round < 3; round += 1) {
    const requests: Promise<WriteAnswer>[] = times(8, (index) => {
      const kind = (['Replace', 'Delete', 'Replace', 'Sum'] as const)[index % 4] ?? 'Sum';
      const order = Math.floor(index / 4) % 2 === 0 ? keys : keys.toReversed();
      const records = order.map((key) =>
        record({
          elementName: `e${key}`,
          filter: [{ dimension: 'round', values: [`${round}-${key % 50}`] }],
          value: String(10 ** index),
        }),
      );
      return write(server(index), kind, {
        stream: 'opposite',
        records: kind === 'Delete' ? records.map(({ value: _, ...selector }) => selector) : records,
      });
    });
    const answers = await Promise.all(requests);
    expect(answers.map(verdict).filter((one) => one !== 'taken' && one !== 'NOT_FOUND')).toEqual([]);
    // Each write touches every key, so in any serial order all keys of the round have the same value in the end.
    const records = (await readRecords(server(0), 'opposite')) ?? [];
    const ofRound = records.filter((one) => one.filter[0]?.values[0]?.startsWith(`${round}-`));
    expect(new Set(ofRound.map((one) => one.value)).size).toBeLessThanOrEqual(1);
    expect([0, 200]).toContain(ofRound.length);
  }
});

test('concurrent first requests > create one stream when they have the same shape', async () => {
  for (let round = 0; round < 10; round += 1) {
    const stream = `first-${round}`;
    const answers = await Promise.all(
      times(4, (index) => write(server(index), 'Sum', { stream, records: [record()] })),
    );
    expect(new Set(answers.map((answer) => answer.stream?.id)).size).toBe(1);
    expect(await readValues(server(0), stream)).toEqual({ [`${BUCKET} hooli`]: '4' });
  }
});

test('concurrent first requests > are validated against the first committed one when their shapes differ', async () => {
  for (let round = 0; round < 10; round += 1) {
    const stream = `shapes-${round}`;
    const shapes: readonly Partial<RecordInput>[] = [
      { granularity: 'DAILY' },
      { granularity: 'HOURLY' },
      { granularity: 'DAILY', filter: [{ dimension: 'region', values: ['eu'] }] },
      { granularity: 'DAILY', filter: [{ dimension: 'team', values: ['a'] }] },
    ];
    const answers = await Promise.all(
      shapes.map((shape, index) =>
        write(server(index), index % 2 ? 'Replace' : 'Sum', { stream, records: [record(shape)] }),
      ),
    );
    const winners = answers.flatMap((answer, index) => (answer.operation ? [index] : []));
    expect(winners).toHaveLength(1);
    const [winner = 0] = winners;
    for (const [index, answer] of answers.entries()) {
      if (index === winner) continue;
      const granularity = shapes[index]?.granularity !== shapes[winner]?.granularity;
      const dimensions = shapes[index]?.filter?.[0]?.dimension !== shapes[winner]?.filter?.[0]?.dimension;
      expect(new Set(answer.issues?.map((issue) => issue.code))).toEqual(
        new Set([...(dimensions ? ['DIMENSIONS_DIFFER'] : []), ...(granularity ? ['GRANULARITY_DIFFERS'] : [])]),
      );
    }
    expect(await readRecords(server(0), stream)).toHaveLength(1);
  }
});

test('concurrent sums > are complete in the stream of their receipt when it is deleted repeatedly', async () => {
  const receipts: WriteAnswer[] = [];
  let deletions = 0;
  let writing = true;
  const deleting = async (): Promise<void> => {
    while (writing) if ((await deleteStream(server(0), 'deleted')).deletedId !== undefined) deletions += 1;
  };
  const summing = async (index: number): Promise<void> => {
    for (let i = 0; i < 10; i += 1) {
      const records = [record(), record({ elementName: 'globex' })];
      receipts.push(await write(server(index), 'Sum', { stream: 'deleted', records }));
    }
  };
  const deleter = deleting();
  await Promise.all(times(6, summing));
  writing = false;
  await deleter;
  expect(receipts.map(verdict)).toEqual(times(60, () => 'taken'));
  expect(deletions).toBeGreaterThan(1);
  const countOf = Map.groupBy(receipts, (receipt) => receipt.stream?.id ?? '');
  for (const [id, ofStream] of countOf) {
    const { node } = await server(1).graphql<{ node: StreamAndLedger }>(
      `query ($id: ID!) { node(id: $id) { ... on Stream { deletedAt records { edges { node { value } } }
        operations(first: 100) { edges { node { kind insertedRecords hiddenRecords } } } } } }`,
      { id },
    );
    const ledger = node.operations.edges.map((edge) => edge.node);
    const inserted = ledger.reduce((sum, operation) => sum + operation.insertedRecords, 0);
    expect(inserted).toBe(2 * ofStream.length);
    // Nothing was inserted behind the deletion, which counted all that it hid.
    if (node.deletedAt) expect(ledger[0]).toMatchObject({ kind: 'DELETE_STREAM', hiddenRecords: inserted });
    else expect(node.records.edges.map((edge) => edge.node.value)).toEqual(times(2, () => String(ofStream.length)));
  }
});

interface StreamAndLedger {
  readonly deletedAt: string | null;
  readonly records: { readonly edges: readonly { readonly node: { readonly value: string } }[] };
  readonly operations: {
    readonly edges: readonly {
      readonly node: { readonly kind: string; readonly insertedRecords: number; readonly hiddenRecords: number };
    }[];
  };
}

type Write = { readonly kind: WriteKind; readonly input: WriteInput } | { readonly deleted: string };

const permutations = <Item>(items: readonly Item[]): Item[][] =>
  items.length === 0
    ? [[]]
    : items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));

const doInModel = (model: Model, write: Write): string =>
  'deleted' in write
    ? model.deleteStream(write.deleted)
      ? 'DeletedStream'
      : 'NotFoundError'
    : model.write(write.kind, write.input);

const liveOf = (model: Model): string[] =>
  model.streams
    .flatMap((stream) =>
      [...liveValues(stream.live)].map(([key, value]) => `${stream.name} ${key} ${formatValue(value)}`),
    )
    .toSorted();

test('concurrent random writes > have the receipts and the result of some serial order', async () => {
  let cases = 0;
  const sizes = { once: 0, concurrent: 0 };
  await fc.assert(
    fc.asyncProperty(history, async ({ firstShape, commands }) => {
      cases += 1;
      const key = await server(cases).createKey(`serial-${cases}`, ['ADMIN']);
      const shapeOf = (name: string) => shapeAt(firstShape + STREAM_NAMES.findIndex((one) => one === name));
      const writes = commands.flatMap((command): Write[] => toWrite(command, shapeOf));
      let model = new Model();
      for (let at = 0; at < writes.length; at += 4) {
        const together = writes.slice(at, at + 4);
        const answers = await Promise.all(
          together.map(async (one, index) =>
            'deleted' in one
              ? (await deleteStream(server(index), one.deleted, key)).__typename
              : answerOf(await write(server(index), one.kind, one.input, key)),
          ),
        );
        const live = await readAll(key);
        const orders = permutations(together.map((one, index) => ({ one, answer: answers[index] })));
        const after = orders
          .map((order) => {
            const candidate = model.clone();
            return order.every(({ one, answer }) => doInModel(candidate, one) === answer) ? candidate : null;
          })
          .filter((candidate) => candidate !== null);
        const found = after.find((candidate) => JSON.stringify(liveOf(candidate)) === JSON.stringify(live));
        expect(found, JSON.stringify({ together, answers, live, possible: after.map(liveOf) })).toBeDefined();
        model = found ?? model;
        sizes[after.length === orders.length ? 'once' : 'concurrent'] += 1;
      }
    }),
    { numRuns: 30 },
  );
  // The order mattered often enough for this to be a test.
  expect(sizes.concurrent).toBeGreaterThan(10);
});

const toWrite = (command: Command, shapeOf: Parameters<Extract<Command, { input: unknown }>['input']>[0]): Write[] => {
  if (command.do === 'deleteStream') return [{ deleted: command.name }];
  return 'input' in command ? [{ kind: command.do, input: command.input(shapeOf) }] : [];
};

const readAll = async (key: string): Promise<string[]> => {
  const lists = await Promise.all(
    STREAM_NAMES.map(async (name) =>
      ((await readRecords(server(0), name, { key })) ?? []).map(
        ({ timestamp, filter, elementName, value }) =>
          `${name} ${keyOf({ bucket: timestamp, filter: canonicalFilter(filter), element: elementName })} ${value}`,
      ),
    ),
  );
  return lists.flat().toSorted();
};

test('waiting write > does not delay other streams', async () => {
  const accountId = await accountIdOf(server(0), 'default');
  await write(server(0), 'Sum', { stream: 'held', records: [record()] });
  const client = await openClient(database.url);
  try {
    await client.query('BEGIN');
    await client.query(
      `SELECT pg_advisory_xact_lock(hashtextextended(id::text, 0)) FROM streams WHERE account_id = $1 AND name = 'held'`,
      [String(accountId)],
    );
    const waiting = write(server(1), 'Sum', { stream: 'held', records: [record()] });
    await untilWaiting(server(0), 1);
    expect(verdict(await write(server(1), 'Replace', { stream: 'not-held', records: [record()] }))).toBe('taken');
    await client.query('COMMIT');
    expect(verdict(await waiting)).toBe('taken');
  } finally {
    await client.end();
  }
});
