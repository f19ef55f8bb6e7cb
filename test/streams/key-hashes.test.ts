import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hashStreamKeys } from '../../src/streams/key-hashes/hash-stream-keys.ts';
import { StreamBusyError } from '../../src/errors/errors.ts';
import { startBulkIngest } from '../../src/streams/bulk-ingest.ts';
import { ingest } from '../../src/streams/ingest.ts';
import { createIntakeBuffer } from '../../src/streams/pipeline/intake-buffer.ts';
import { listRecords } from '../../src/streams/list-records.ts';
import { findStream } from '../../src/streams/streams.ts';
import { createStreamQueue } from '../../src/streams/stream-queue.ts';
import { NDJSON, type Receipt, recordsOf, send } from '../rest/requests.ts';
import { querySql } from '../support/job-steps.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf, untilWaiting, within } from './held-transactions.ts';
import { hashKeysOf } from './hashed-streams.ts';
import { deleteStream, readRecords, write } from './writes.ts';

// Hashes of keys change how records are found, and nothing else.

let database: TestDatabase;
let server: TestServer;
let other: TestServer;
let accountId: bigint;
beforeAll(async () => {
  database = await createTestDatabase();
  // Records of NDJSON are staged, as those of a large request are.
  server = await startTestServer({ database, env: { INTAKE_HELD_BYTES: '0' } });
  other = await startTestServer({ database });
  accountId = await accountIdOf(server, 'default');
});
afterAll(async () => {
  await server.stop();
  await other.stop();
  await database.drop();
});

const BUCKET = '2026-01-25T00:00:00Z';

const REGION = [{ dimension: 'region', values: ['eu'] }];

const streamOf = async (name: string) => {
  const stream = await findStream(server.resources.database.acrossAccounts, accountId, name);
  if (!stream) throw new Error(`There is no stream ${name}.`);
  return stream;
};

const hash = (name: string): Promise<void> => hashKeysOf(server, accountId, name);

/** Live records of the stream, and those of them without a hash. */
const countLive = async (name: string): Promise<{ live: number; unhashed: number }> => {
  const [counts] = await querySql<{ live: number; unhashed: number }>(
    server,
    `SELECT count(*)::int AS live, count(*) FILTER (WHERE key_hash = 0)::int AS unhashed
     FROM records r JOIN streams s ON s.id = r.stream_id WHERE s.name = $1 AND s.deleted_at IS NULL AND r.hidden_by IS NULL`,
    [name],
  );
  if (!counts) throw new Error('An aggregate without a row.');
  return counts;
};

const isHashed = async (name: string): Promise<boolean> => (await streamOf(name)).keysHashed;

describe('key hashes and random writes', () => {
  const DAYS = ['2026-01-25T00:00:00Z', '2026-01-26T00:00:00Z'];
  const REGIONS = ['eu', 'us'];
  const ELEMENTS = ['hooli', 'initech', 'umbrella "corp"'];
  const key = fc.record({
    day: fc.constantFrom(...DAYS),
    region: fc.constantFrom(...REGIONS),
    element: fc.constantFrom(...ELEMENTS),
  });
  const keys = fc.uniqueArray(key, { minLength: 1, maxLength: 4, selector: (one) => JSON.stringify(one) });
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        verb: fc.constantFrom('sum' as const, 'replace' as const, 'delete' as const),
        form: fc.constantFrom('JSON' as const, 'NDJSON' as const),
        keys,
        value: fc.integer({ min: 1, max: 9 }),
      }),
    },
    { weight: 2, arbitrary: fc.constant('hash' as const) },
  );
  const nameOf = (one: { day: string; region: string; element: string }) => `${one.day} ${one.region} ${one.element}`;

  let cases = 0;
  test('find the same records with and without hashes from lists, NDJSON and staged records', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 12, size: 'max' }), async (steps) => {
        const stream = `random-${(cases += 1)}`;
        const live = new Map<string, { sum: number; records: number }>();
        let hashed = false;
        for (const one of steps) {
          if (one === 'hash') {
            if (live.size === 0) continue;
            await hash(stream);
            hashed = true;
            continue;
          }
          if (one.verb === 'delete' && live.size === 0) continue;
          let hidden = 0;
          for (const each of one.keys) {
            const was = live.get(nameOf(each));
            if (one.verb !== 'sum') {
              hidden += was?.records ?? 0;
              live.delete(nameOf(each));
            }
            if (one.verb === 'delete') continue;
            const kept = live.get(nameOf(each)) ?? { sum: 0, records: 0 };
            live.set(nameOf(each), { sum: kept.sum + one.value, records: kept.records + 1 });
          }
          const lines = one.keys.map((each) =>
            JSON.stringify({
              timestamp: each.day,
              granularity: 'DAILY',
              filter: { region: [each.region] },
              'element-name': each.element,
              ...(one.verb !== 'delete' && { value: String(one.value) }),
            }),
          );
          const { status, body } = await send<Receipt>(server, one.form, [stream, one.verb], lines);
          expect(status, JSON.stringify(body)).toBeLessThan(300);
          expect(body.hiddenRecords).toBe(hidden);
          // A stream that lost its last record is still there, and a delete needs one that is.
          if (live.size === 0) break;
        }
        if (live.size === 0) return;
        const listed = (await readRecords(server, stream, { pageSize: 2 })) ?? [];
        expect(
          listed
            .map((one) => `${one.timestamp} ${one.filter[0]?.values[0]} ${one.elementName} ${one.value}`)
            .toSorted(),
        ).toEqual([...live].map(([name, { sum }]) => `${name} ${sum}`).toSorted());
        if (hashed) expect((await countLive(stream)).unhashed).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test('key hashes > find a record without a hash, which an older server inserted', async () => {
    const record = { timestamp: BUCKET, granularity: 'DAILY', elementName: 'hooli', value: '1' };
    await write(server, 'Sum', { stream: 'mixed', records: [record, { ...record, elementName: 'initech' }] });
    await hash('mixed');
    await querySql(
      server,
      `UPDATE records r SET key_hash = 0 FROM streams s WHERE s.id = r.stream_id AND s.name = 'mixed' AND r.element = 'hooli'`,
    );
    const answer = await write(server, 'Replace', { stream: 'mixed', records: [{ ...record, value: '5' }] });
    expect(answer.operation).toMatchObject({ hiddenRecords: 1, insertedRecords: 1 });
    const { body } = await send<Receipt>(
      server,
      'NDJSON',
      ['mixed', 'delete'],
      [JSON.stringify({ timestamp: BUCKET, granularity: 'DAILY', 'element-name': 'initech' })],
    );
    expect(body.hiddenRecords).toBe(1);
    expect((await recordsOf(server, 'mixed')).map((one) => [one['element-name'], one.value])).toEqual([['hooli', '5']]);
  });
});

describe('hashStreamKeys', () => {
  const record = (index: number, value = '1') => ({
    timestamp: BUCKET,
    granularity: 'DAILY' as const,
    elementName: `e${index}`,
    filter: REGION,
    value,
  });
  const fill = async (stream: string, count: number): Promise<void> => {
    const lines = Array.from({ length: count }, (_, index) => {
      const { timestamp, granularity, elementName, value } = record(index);
      return JSON.stringify({ timestamp, granularity, filter: { region: ['eu'] }, 'element-name': elementName, value });
    });
    const { status } = await send(server, 'NDJSON', [stream, 'sum'], lines, { headers: NDJSON });
    expect(status).toBe(200);
  };

  test('leaves no record without a hash during concurrent writes', async () => {
    await fill('written', 12_000);
    let isDone = false;
    const hashing = hash('written').then(() => (isDone = true));
    let sums = 0;
    let replaces = 0;
    const writing = async (at: TestServer, first: number): Promise<void> => {
      for (let index = first; !isDone; index += 2) {
        await write(at, 'Sum', { stream: 'written', records: [record(index % 12_000)] });
        sums += 1;
        await write(at, 'Replace', { stream: 'written', records: [record(100_000 + first)] });
        replaces += 1;
      }
    };
    await Promise.all([hashing, writing(server, 0), writing(other, 1)]);
    expect(replaces).toBeGreaterThan(1);
    expect(await countLive('written')).toEqual({ live: 12_000 + sums + 2, unhashed: 0 });
    expect(await isHashed('written')).toBe(true);
  });

  test('waits for an open sum, whose records have no hashes', async () => {
    await fill('awaited', 10);
    let hashing: Promise<void> | undefined;
    await server.resources.database.acrossAccounts.transaction(async (tx) => {
      await ingest(within(server, tx), {
        kind: 'SUM',
        accountId,
        stream: 'awaited',
        path: ['input'],
        records: [record(11)],
      });
      hashing = hash('awaited');
      await untilWaiting(server, 1);
    });
    await hashing;
    expect(await countLive('awaited')).toEqual({ live: 11, unhashed: 0 });
  });

  test('gives up before writes have waited long', async () => {
    await fill('used', 10);
    const stream = await streamOf('used');
    const streamQueue = createStreamQueue({ waitMs: 60_000, onBusy: () => undefined });
    const db = server.resources.database.forAccount(accountId);
    const context = { db, streamQueue, signal: new AbortController().signal, waitMs: 100 };
    await server.resources.database.acrossAccounts.transaction(async (tx) => {
      await ingest(within(server, tx), {
        kind: 'SUM',
        accountId,
        stream: 'used',
        path: ['input'],
        records: [record(11)],
      });
      await expect(hashStreamKeys(context, stream, 'LARGE')).rejects.toThrow(StreamBusyError);
    });
    expect(await isHashed('used')).toBe(false);
  });

  test('changes nothing when the stream is deleted', async () => {
    await fill('deleted', 10);
    const stream = await streamOf('deleted');
    expect(await deleteStream(server, 'deleted')).toMatchObject({ __typename: 'DeletedStream' });
    const streamQueue = createStreamQueue({ waitMs: 60_000, onBusy: () => undefined });
    const db = server.resources.database.forAccount(accountId);
    const context = { db, streamQueue, signal: new AbortController().signal, waitMs: 60_000 };
    await hashStreamKeys(context, stream, 'LARGE');
    const [row] = await querySql(server, 'SELECT hashes_keys, keys_hashed FROM streams WHERE id = $1', [
      String(stream.id),
    ]);
    expect(row).toEqual({ hashes_keys: false, keys_hashed: false });
  });

  test('list of records > rejects a cursor that is out of range', async () => {
    await fill('ranged', 10);
    await hash('ranged');
    const db = server.resources.database.forAccount(accountId);
    for (const hashed of ['16385', '99999', '-1', '1e3']) {
      const after = Buffer.from(JSON.stringify([BUCKET, hashed, '1', 'e1'])).toString('base64url');
      await expect(listRecords(db, await streamOf('ranged'), { after })).rejects.toThrow(
        'after is not a valid cursor of this list',
      );
    }
  });

  test('list of records > keeps its order from page to page when the keys are hashed meanwhile', async () => {
    const filters = ['eu', 'us', 'ap'];
    const records = Array.from({ length: 60 }, (_, index) => ({
      ...record(index, String(index)),
      timestamp: `2026-01-2${index % 3}T00:00:00Z`,
      filter: [{ dimension: 'region', values: [filters[index % 3] ?? ''] }],
    }));
    await write(server, 'Sum', { stream: 'walked', records });
    const unhashed = await streamOf('walked');
    const db = server.resources.database.forAccount(accountId);
    const first = await listRecords(db, unhashed, { first: 25 });
    await hash('walked');
    const hashed = await streamOf('walked');
    const cursorOf = (key: readonly string[] | undefined) => Buffer.from(JSON.stringify(key)).toString('base64url');
    const elements = ({ rows }: Awaited<ReturnType<typeof listRecords>>) => rows.map((row) => row.element);
    const rest = await listRecords(db, hashed, { first: 100, after: cursorOf(first.rows.at(-1)?.key) });
    expect([...elements(first), ...elements(rest)].toSorted()).toEqual(
      records.map((one) => one.elementName).toSorted(),
    );

    const all = elements(await listRecords(db, hashed, { first: 100 }));
    expect(all.toSorted()).toEqual(records.map((one) => one.elementName).toSorted());
    let before: string | null = null;
    const backward: string[] = [];
    for (;;) {
      const page: Awaited<ReturnType<typeof listRecords>> = await listRecords(db, hashed, { last: 7, before });
      backward.unshift(...elements(page));
      if (!page.hasPreviousPage) break;
      before = cursorOf(page.rows[0]?.key);
    }
    expect(backward).toEqual(all);
    expect(all).not.toEqual([...elements(first), ...elements(rest)]);
  });

  test('starts when few keys of a large bucket are looked up, and not before', async () => {
    await fill('large', 20_001);
    await fill('summed', 20_000);
    await fill('small', 100);
    await write(server, 'Replace', { stream: 'small', records: [record(1)] });
    await write(server, 'Sum', { stream: 'summed', records: [record(1)] });
    const { value: _, ...selector } = record(2);
    await write(server, 'Delete', { stream: 'large', records: [selector] });
    await eventually(
      () => isHashed('large'),
      (hashed) => hashed,
    );
    expect(await countLive('large')).toEqual({ live: 20_000, unhashed: 0 });
    // Streams are looked at in turn, so these would have been before.
    expect([await isHashed('small'), await isHashed('summed')]).toEqual([false, false]);
  });

  test('lets writes and pages read few records of a large bucket', async () => {
    await fill('read', 30_000);
    await hash('read');
    const stream = await streamOf('read');
    const readBy = (work: (context: ReturnType<typeof within>) => Promise<unknown>): Promise<number> =>
      server.resources.database.acrossAccounts.transaction(async (tx) => {
        await work(within(server, tx));
        const { rows } = await tx.execute<{ read: number }>(sql`
          SELECT (seq_tup_read + idx_tup_fetch)::int AS read FROM pg_stat_xact_user_tables WHERE schemaname = 'public' AND relname = 'records'`);
        return rows[0]?.read ?? Infinity;
      });
    const request = { accountId, stream: 'read', path: ['input'] };
    const selector = (index: number) => ({
      timestamp: BUCKET,
      granularity: 'DAILY' as const,
      elementName: `e${index}`,
    });
    const whole = (index: number) => ({ ...selector(index), filter: REGION });
    const inLines = async (
      context: ReturnType<typeof within>,
      kind: 'REPLACE' | 'DELETE',
      one: object,
    ): Promise<void> => {
      const intakeBuffer = createIntakeBuffer(0);
      const bulk = await startBulkIngest({ ...context, intakeBuffer }, { ...request, kind, maxMs: 60_000 });
      bulk.add(one as Parameters<typeof bulk.add>[0]);
      expect((await bulk.finish()).operation.hiddenRecords).toBe(1);
    };
    const read = {
      replace: await readBy((context) => ingest(context, { kind: 'REPLACE', ...request, records: [record(7, '2')] })),
      delete: await readBy((context) => ingest(context, { kind: 'DELETE', ...request, records: [whole(11)] })),
      deleteOfElement: await readBy((context) =>
        ingest(context, { kind: 'DELETE', ...request, records: [selector(12)] }),
      ),
      replaceInLines: await readBy((context) => inLines(context, 'REPLACE', record(8, '2'))),
      deleteInLines: await readBy((context) => inLines(context, 'DELETE', whole(13))),
      deleteOfElementInLines: await readBy((context) => inLines(context, 'DELETE', selector(14))),
      page: await readBy(({ db }) => listRecords(db, stream, { first: 20 })),
    };
    // Each of the 16,384 hashes has about two records, and a page of 20 reads those of a few hashes.
    expect(Math.max(...Object.values(read)), JSON.stringify(read)).toBeLessThan(150);
    expect(Math.min(...Object.values(read))).toBeGreaterThan(0);
    const db = server.resources.database.forAccount(accountId);
    const valuesOf = async (elementName: string) =>
      (await listRecords(db, stream, { elementName })).rows.map((row) => row.value);
    expect([await valuesOf('e7'), await valuesOf('e8'), await valuesOf('e11'), await valuesOf('e12')]).toEqual([
      ['2'],
      ['2'],
      [],
      [],
    ]);
  });
});
