import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UserError } from '../../src/errors/errors.ts';
import { ingest } from '../../src/streams/ingest.ts';
import { mergeTotals } from '../../src/streams/totals/merge-totals.ts';
import { findDeletedStreams, findHiddenRecords } from '../../src/streams/purge/find-purgeable.ts';
import { purgeStream } from '../../src/streams/purge/purge.ts';
import { createGroupCommit } from '../../src/streams/group-commit/group-commit.ts';
import { querySql } from '../support/job-steps.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { gatherBehind, ledgerId, writeOverRest } from './gathered-writes.ts';
import { accountIdOf, untilWaiting, within } from './held-transactions.ts';
import { answerOf, Model } from './model.ts';
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

// Small replaces and deletes of many clients share transactions, which no client must notice.

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

const BUCKETS = ['2026-01-25T00:00:00Z', '2026-01-26T00:00:00Z'] as const;
const [BUCKET] = BUCKETS;
const record = (changes: Partial<RecordInput> = {}): RecordInput => ({
  timestamp: BUCKET,
  granularity: 'DAILY',
  elementName: 'hooli',
  value: '1',
  ...changes,
});
const selector = (changes: Partial<RecordInput> = {}): RecordInput => {
  const { value: _, ...rest } = record(changes);
  return rest;
};
const times = <Value>(count: number, make: (index: number) => Value): Value[] =>
  Array.from({ length: count }, (_, index) => make(index));

const gather = (stream: string, send: () => Promise<WriteAnswer>[]): Promise<WriteAnswer[]> =>
  gatherBehind(servers, stream, record({ elementName: 'first', value: '0' }), send);

const send = (index: number, kind: WriteKind, input: WriteInput): Promise<WriteAnswer> =>
  index % 2 === 0 ? write(server(index >> 1), kind, input) : writeOverRest(server(index >> 1), kind, input);

/** Calls `work` while another server holds the stream. */
const whileHeld = (stream: string, work: () => Promise<void>): Promise<void> =>
  servers[0].resources.database.acrossAccounts.transaction(async (tx) => {
    await tx.execute(
      `SELECT pg_advisory_xact_lock(hashtextextended(id::text, 0)) FROM streams WHERE name = '${stream}'`,
    );
    await work();
  });

interface LedgerRow extends Record<string, unknown> {
  readonly id: string;
  readonly kind: string;
  readonly xid: string;
  readonly inserted_records: string;
  readonly hidden_records: string;
  readonly hidden_rows: string;
  readonly inserted_rows: string;
  readonly has_ended: boolean;
}

const ledgerOf = (stream: string): Promise<LedgerRow[]> =>
  querySql<LedgerRow>(
    servers[0],
    `SELECT o.id, o.kind, o.xid::text AS xid, o.inserted_records, o.hidden_records, o.ended_at IS NOT NULL AS has_ended,
       (SELECT count(*) FROM records r WHERE r.hidden_by = o.id) AS hidden_rows,
       (SELECT count(*) FROM records r WHERE r.operation_id = o.id) AS inserted_rows
     FROM operations o JOIN streams s ON s.account_id = o.account_id AND s.id = o.stream_id
     WHERE s.name = $1 ORDER BY o.id`,
    [stream],
  );

/** Operations whose counts are not those of their rows. */
const wrongOperations = (ledger: readonly LedgerRow[]): LedgerRow[] =>
  ledger.filter(
    (one) =>
      one.inserted_records !== one.inserted_rows ||
      one.hidden_records !== one.hidden_rows ||
      one.has_ended !== (one.hidden_records !== '0'),
  );

/** Transactions that wrote replaces and deletes, and how many of these they wrote. */
const sharing = (ledger: readonly LedgerRow[]): { readonly transactions: number; readonly writes: number } => {
  const keyed = ledger.filter(({ kind }) => kind !== 'SUM');
  return { transactions: new Set(keyed.map(({ xid }) => xid)).size, writes: keyed.length };
};

/** Buckets and filters of which the totals differ from the live records. */
const wrongTotals = (stream: string): Promise<unknown[]> =>
  querySql(
    servers[0],
    `SELECT bucket_start, filter_id, sum(value), sum(records) FROM (
       SELECT stream_id, bucket_start, filter_id, value, records FROM totals
       UNION ALL SELECT stream_id, bucket_start, filter_id, -value, -1 FROM records WHERE hidden_by IS NULL) compared
     WHERE stream_id = (SELECT id FROM streams WHERE name = $1 AND deleted_at IS NULL)
     GROUP BY bucket_start, filter_id HAVING sum(value) <> 0 OR sum(records) <> 0`,
    [stream],
  );

const REGIONS = ['eu', 'us'];
const ELEMENTS = ['hooli', 'globex', '{,"\\', 'NULL', 'ß', ...times(5, (index) => `e${index}`)];

const oneKey = fc.record({
  timestamp: fc.constantFrom(...BUCKETS),
  elementName: fc.constantFrom(...ELEMENTS),
  region: fc.constantFrom(...REGIONS),
});

/** A small write of one to three keys; some deletes name no whole key. */
const command = fc
  .record({
    kind: fc.constantFrom<WriteKind>('Sum', 'Replace', 'Replace', 'Replace', 'Delete', 'Delete'),
    keys: fc.uniqueArray(oneKey, { minLength: 1, maxLength: 3, selector: (key) => JSON.stringify(key) }),
    value: fc.nat(99),
    idempotencyKey: fc.constantFrom(null, null, null, null, 'a', 'b', 'c'),
    isWhole: fc.constantFrom(true, true, true, true, false),
  })
  .map(({ kind, keys, value, idempotencyKey, isWhole }) => ({
    kind,
    idempotencyKey,
    records: keys.map(({ timestamp, elementName, region }, index): RecordInput => {
      const whole = { timestamp, elementName, filter: [{ dimension: 'region', values: [region] }] };
      if (kind !== 'Delete') return record({ ...whole, value: String(value + index) });
      if (isWhole) return selector(whole);
      return { timestamp, granularity: 'DAILY', ...(index % 2 === 0 ? { elementName } : { filter: whole.filter }) };
    }),
  }));

test('grouped writes > have the receipts and the result of the order of arrival', async () => {
  const accountId = await accountIdOf(servers[0], 'default');
  const { resources } = servers[0];
  let cases = 0;
  const shared = { transactions: 0, writes: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 40, size: 'max' }), async (commands) => {
      cases += 1;
      const stream = `in-order-${cases}`;
      const context = {
        ...within(servers[0], resources.database.forAccount(accountId)),
        limits: { maxFutureMs: 1e13 },
        groupCommit: createGroupCommit({ clock: resources.clock }),
      };
      const writeInProcess = async (kind: WriteKind, { idempotencyKey, records }: WriteInput): Promise<string> => {
        const request = { accountId, stream, idempotencyKey, path: [] };
        try {
          const { operation, replayed } = await ingest(context, {
            kind: kind.toUpperCase() as 'SUM' | 'REPLACE' | 'DELETE',
            ...request,
            records: records as never,
          });
          return answerOf({ __typename: '', operation: { ...operation, id: String(operation.id) }, replayed });
        } catch (error) {
          if (error instanceof UserError) return error.code;
          throw error;
        }
      };
      const keyOf = (key: string | null) => key && `${stream} ${key}`;
      const model = new Model();
      const seed = {
        stream,
        records: REGIONS.map((region) => record({ filter: [{ dimension: 'region', values: [region] }] })),
      };
      expect(await writeInProcess('Sum', seed)).toBe(model.write('Sum', seed));
      const answers: Promise<string>[] = [];
      const expected: string[] = [];
      await whileHeld(stream, async () => {
        for (const { kind, idempotencyKey, records } of commands) {
          const input = { stream, idempotencyKey: keyOf(idempotencyKey), records };
          answers.push(writeInProcess(kind, input));
          expected.push(model.write(kind, input));
          // It has its place in the queue.
          await setImmediate();
        }
      });
      expect(await Promise.all(answers)).toEqual(expected);
      const live = Map.groupBy(
        (await readRecords(servers[0], stream)) ?? [],
        ({ timestamp, filter, elementName }) => `${timestamp} ${filter[0]?.values[0]} ${elementName}`,
      );
      const values = Map.groupBy(
        model.find(stream)?.live ?? [],
        ({ bucket, filter, element }) => `${bucket} ${filter.get('region')?.[0]} ${element}`,
      );
      expect(new Map([...live].map(([key, [one]]) => [key, Number(one?.value)]))).toEqual(
        new Map(
          [...values].map(([key, all]) => [key, Number(all.reduce((sum, { value }) => sum + value, 0n) / 10n ** 30n)]),
        ),
      );
      const ledger = await ledgerOf(stream);
      expect(wrongOperations(ledger)).toEqual([]);
      expect(await wrongTotals(stream)).toEqual([]);
      const { transactions, writes } = sharing(ledger);
      shared.transactions += transactions;
      shared.writes += writes;
    }),
    { numRuns: 40 },
  );
  // They shared transactions often enough for this to be a test.
  expect(shared.transactions).toBeLessThan(0.9 * shared.writes);
});

interface SentWrite {
  readonly kind: WriteKind;
  readonly input: WriteInput;
  readonly sent: number;
  readonly answered: number;
  readonly answer: WriteAnswer;
}

interface RecordRow extends Record<string, unknown> {
  readonly operation_id: string;
  readonly hidden_by: string | null;
  readonly element: string;
}

test('grouped writes > hide each record by the next write of its key when two servers write', async () => {
  const stream = 'many-clients';
  for (const one of servers) {
    await write(one, 'Sum', {
      stream,
      records: times(12, (index) => record({ elementName: `e${index}`, value: '0' })),
    });
  }
  const sentWrites: SentWrite[] = [];
  let tick = 0;
  const client = async (index: number): Promise<void> => {
    for (let round = 0; round < 12; round += 1) {
      const draw = index * 7 + round * 5 + ((index * round) % 3);
      const kind =
        (['Replace', 'Replace', 'Delete', 'Replace', 'Replace', 'Delete', 'Sum'] as const)[draw % 7] ?? 'Sum';
      const elements = times(1 + (draw % 3), (at) => `e${(draw + at * 5) % 12}`);
      const input = {
        stream,
        idempotencyKey: draw % 4 === 0 ? `${stream} ${index} ${round}` : null,
        records: [...new Set(elements)].map((elementName) =>
          kind === 'Delete' ? selector({ elementName }) : record({ elementName, value: String(1 + draw) }),
        ),
      };
      const sent = (tick += 1);
      const answer = await send(index + round, kind, input);
      const answered = (tick += 1);
      sentWrites.push({ kind, input, sent, answered, answer });
      if (draw % 16 !== 0) continue;
      const again = await send(index + round + 3, kind, input);
      expect([again.replayed, ledgerId(again)]).toEqual([true, ledgerId(answer)]);
      expect(again.operation).toMatchObject({
        insertedRecords: answer.operation?.insertedRecords,
        hiddenRecords: answer.operation?.hiddenRecords,
      });
    }
  };
  let writing = true;
  const merging = async (): Promise<void> => {
    while (writing) await mergeTotals(servers[0].resources.database.acrossAccounts, { minOperations: 1 });
  };
  const merged = merging();
  await Promise.all(times(24, client));
  writing = false;
  await merged;

  expect(new Set(sentWrites.map(({ answer }) => verdict(answer)))).toEqual(new Set(['taken']));
  const ledger = await ledgerOf(stream);
  expect(wrongOperations(ledger)).toEqual([]);
  expect(await wrongTotals(stream)).toEqual([]);
  const operations = new Map(ledger.map((one) => [one.id, one]));
  const byId = new Map(sentWrites.map((one) => [ledgerId(one.answer), one]));
  expect(byId.size).toBe(sentWrites.length);
  for (const [id, { kind, answer }] of byId) {
    expect(operations.get(id)).toMatchObject({
      kind: kind.toUpperCase(),
      inserted_records: String(answer.operation?.insertedRecords),
      hidden_records: String(answer.operation?.hiddenRecords),
    });
  }
  const { transactions, writes } = sharing(ledger);
  expect(transactions).toBeLessThan(writes);

  const rows = await querySql<RecordRow>(
    servers[0],
    `SELECT r.operation_id, r.hidden_by, r.element FROM records r
     WHERE r.stream_id = (SELECT id FROM streams WHERE name = $1)`,
    [stream],
  );
  const hides = ({ kind, input }: SentWrite, element: string): boolean =>
    kind !== 'Sum' && input.records.some(({ elementName }) => elementName === element);
  const faults: unknown[] = [];
  const replacedBy = new Set<string>();
  for (const row of rows) {
    const inserter = byId.get(row.operation_id);
    const hider = row.hidden_by === null ? undefined : byId.get(row.hidden_by);
    if (row.hidden_by !== null && !(hider && hides(hider, row.element))) faults.push(['hidden by another key', row]);
    if (!inserter) continue;
    if (hider && (hider === inserter || hider.answered < inserter.sent)) faults.push(['hidden too early', row]);
    // At most one value of a replace is live at a time, so each is hidden by a write of its own.
    if (inserter.kind === 'Replace') {
      const name = `${row.element} ${row.hidden_by}`;
      if (replacedBy.has(name)) faults.push(['two values of replaces at a time', row]);
      replacedBy.add(name);
    }
    const next = sentWrites.find((one) => hides(one, row.element) && one.sent > inserter.answered);
    if (next && !hider) faults.push(['not hidden', row, next]);
  }
  expect(faults).toEqual([]);

  // The live values, and what purge takes of the hidden records.
  const before = await readValues(servers[1], stream);
  const age = { before: new Date(Date.now() + 60_000), assumedMs: 0 };
  const { acrossAccounts } = servers[0].resources.database;
  const hidden = rows.filter(({ hidden_by: hiddenBy }) => hiddenBy !== null).length;
  const found = (await findHiddenRecords(acrossAccounts, age)).filter(({ streamName }) => streamName === stream);
  const purged = await Promise.all(found.map((one) => purgeStream(acrossAccounts, one, age)));
  expect(purged).toEqual([{ records: hidden, filters: 0 }]);
  expect(await readValues(servers[1], stream)).toEqual(before);
  expect(await wrongTotals(stream)).toEqual([]);
});

test('grouped replaces of one key > leave one value, and each hides the one before', async () => {
  const stream = 'one-key';
  for (const one of servers) await write(one, 'Sum', { stream, records: [record({ value: '0' })] });
  const answers = await gather(stream, () =>
    times(24, (index) => send(index, 'Replace', { stream, records: [record({ value: String(index + 1) })] })),
  );
  // The first one hides the two sums.
  expect(answers.map(({ operation }) => operation?.hiddenRecords ?? 0).toSorted((a, b) => a - b)).toEqual([
    ...times(23, () => 1),
    2,
  ]);
  const live = (await readRecords(servers[0], stream)) ?? [];
  expect(live.filter(({ elementName }) => elementName === 'hooli')).toHaveLength(1);
  const ledger = await ledgerOf(stream);
  expect(wrongOperations(ledger)).toEqual([]);
  expect(await wrongTotals(stream)).toEqual([]);
});

test('grouped writes > wait with one connection when another server holds the stream', async () => {
  const stream = 'one-connection';
  await write(servers[0], 'Sum', { stream, records: [record({ value: '0' })] });
  const answers: Promise<WriteAnswer>[] = [];
  await whileHeld(stream, async () => {
    for (let index = 0; index < 20; index += 1) {
      const isDelete = index % 3 === 0;
      const records = [(isDelete ? selector : record)({ elementName: `e${index}` })];
      answers.push(send(index * 4 + (index % 2), isDelete ? 'Delete' : 'Replace', { stream, records }));
    }
    await untilWaiting(servers[0], 1);
    await servers[0].graphql('{ streams { totalCount } }');
    const { pool } = servers[0].resources.database;
    expect([pool.totalCount - pool.idleCount, pool.waitingCount]).toEqual([1, 0]);
  });
  expect(new Set((await Promise.all(answers)).map(verdict))).toEqual(new Set(['taken']));
  const { transactions, writes } = sharing(await ledgerOf(stream));
  expect(writes).toBe(20);
  // Two, unless a request was slow to arrive.
  expect(transactions).toBeLessThan(20);
});

test('grouped writes > store one write per idempotency key, and other content is a conflict', async () => {
  const stream = 'same-keys';
  for (const one of servers) await write(one, 'Sum', { stream, records: [record({ value: '0' })] });
  const inputOf = (index: number) => {
    const idempotencyKey = `${stream} ${index % 3}`;
    // Every fourth request of a key has other content, with another element, so that it can share a transaction.
    const isOther = Math.floor(index / 3) % 4 === 3;
    const changes = { elementName: `${isOther ? 'other' : 'usual'} ${index % 3}` };
    return index % 3 === 2
      ? { kind: 'Delete' as const, input: { stream, idempotencyKey, records: [selector(changes)] }, isOther }
      : { kind: 'Replace' as const, input: { stream, idempotencyKey, records: [record(changes)] }, isOther };
  };
  const answers = await gather(stream, () =>
    times(24, (index) => send(index, inputOf(index).kind, inputOf(index).input)),
  );
  const values = await readValues(servers[0], stream);
  for (const at of [0, 1, 2]) {
    const ofKey = answers
      .map((answer, index) => ({ answer, isOther: inputOf(index).isOther }))
      .filter((_, index) => index % 3 === at);
    const written = ofKey.filter(({ answer }) => answer.replayed === false);
    expect(written).toHaveLength(1);
    expect(ofKey.map(({ answer }) => verdict(answer))).toEqual(
      ofKey.map(({ isOther }) => (isOther === written[0]?.isOther ? 'taken' : 'IDEMPOTENCY_MISMATCH')),
    );
    const element = `${written[0]?.isOther ? 'other' : 'usual'} ${at}`;
    expect(Object.keys(values).filter((key) => key.endsWith(String(at)))).toEqual(
      at === 2 ? [] : [`${BUCKET} ${element}`],
    );
  }
  expect(wrongOperations(await ledgerOf(stream))).toEqual([]);
});

test('grouped writes > do not use the cached stream when another server deleted, purged and created it again', async () => {
  const stream = 'created-again';
  const shapes = [
    record({ filter: [{ dimension: 'region', values: ['eu'] }] }),
    record({ granularity: 'HOURLY', filter: [{ dimension: 'team', values: ['a'] }] }),
  ] as const;
  for (let round = 0; round < 6; round += 1) {
    const present = shapes[round % 2] as RecordInput;
    const next = shapes[(round + 1) % 2] as RecordInput;
    // The other server remembers the stream and its filter.
    for (const _ of times(2, () => 0)) {
      expect(verdict(await write(servers[1], 'Replace', { stream, records: [present] }))).toBe('taken');
    }
    const storm = times(12, (index) => {
      const element = { ...present, elementName: `e${index}` };
      const { value: _, ...selected } = element;
      return index % 3 === 0
        ? write(servers[1], 'Delete', { stream, records: [selected] })
        : write(servers[1], 'Replace', { stream, records: [element] });
    });
    await deleteStream(servers[0], stream);
    const age = { before: new Date(Date.now() + 60_000), assumedMs: 0 };
    const { acrossAccounts } = servers[0].resources.database;
    const created = write(servers[0], 'Replace', { stream, records: [next] });
    // Each write is in the stream that it arrived at, or is checked against the new one.
    const answers = await Promise.all([...storm, created]);
    for (const answer of answers) {
      if (!answer.operation) expect(['VALIDATION_FAILED', 'NOT_FOUND']).toContain(answer.code);
    }
    for (const deleted of await findDeletedStreams(acrossAccounts, age)) {
      await purgeStream(acrossAccounts, deleted, age);
    }
    const isNext = answers.at(-1)?.operation !== undefined;
    const [shape, other] = isNext ? [next, present] : [present, next];
    expect(verdict(await write(servers[1], 'Replace', { stream, records: [other] }))).toMatch(/DIFFER/);
    for (const one of servers) expect(verdict(await write(one, 'Replace', { stream, records: [shape] }))).toBe('taken');
    expect(await wrongTotals(stream)).toEqual([]);
    const live = (await readRecords(servers[0], stream)) ?? [];
    expect(live.filter(({ elementName }) => elementName === 'hooli').map(({ value }) => value)).toEqual(['1']);
    await deleteStream(servers[0], stream);
  }
});
