import { request as httpRequest } from 'node:http';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ingest } from '../../src/streams/ingest.ts';
import { allocationPath, ask, send } from '../rest/requests.ts';
import { querySql } from '../support/job-steps.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { scrape } from '../support/scrape.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';
import { accountIdOf, untilWaiting, within } from './held-transactions.ts';
import { deleteStream, readValues, type RecordInput, tryWrite, verdict, write, type WriteKind } from './writes.ts';

// Another server holds a stream: the test does, with the same locks.

let database: TestDatabase;
let patient: TestServer;
/** With little time to wait. */
let hasty: TestServer;
beforeAll(async () => {
  database = await createTestDatabase();
  patient = await startTestServer({ database, env: { STREAM_WAIT_MS: '25000' } });
  hasty = await startTestServer({ database, env: { STREAM_WAIT_MS: '300' } });
});
afterAll(async () => {
  await patient.stop();
  await hasty.stop();
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
const SELECTOR = { timestamp: BUCKET, granularity: 'DAILY' };

/** Calls `work` while a transaction of another connection is open, after it has run the statements. */
const whileHeld = async <Value>(statements: readonly string[], work: () => Promise<Value>): Promise<Value> => {
  const client = await patient.resources.database.pool.connect();
  try {
    await client.query("BEGIN READ WRITE; SET LOCAL sluice.all_accounts = 'on'");
    for (const statement of statements) await client.query(statement);
    return await work();
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
};

const lockOf = (stream: string): string =>
  `SELECT pg_advisory_xact_lock(hashtextextended(id::text, 0)) FROM streams WHERE name = '${stream}' AND deleted_at IS NULL`;

const waitingWrites = async (server: TestServer): Promise<number> =>
  (await scrape(server.url)).value('sluice_stream_writes_waiting') ?? Number.NaN;

const untilQueued = (server: TestServer, count: number): Promise<number> =>
  eventually(
    () => waitingWrites(server),
    (waiting) => waiting === count,
  );

const ledgerOf = (stream: string): Promise<{ kind: string; inserted_records: string; hidden_records: string }[]> =>
  querySql(
    patient,
    `SELECT o.kind, o.inserted_records, o.hidden_records FROM operations o JOIN streams s ON s.id = o.stream_id
     WHERE s.name = $1 ORDER BY o.id`,
    [stream],
  );

describe('stream queue when another server holds the stream', () => {
  test('lets writes wait in order of arrival, and all but one without a connection', async () => {
    await write(patient, 'Sum', { stream: 'ordered', records: [record()] });
    const steps: (() => Promise<unknown>)[] = [
      () => write(patient, 'Replace', { stream: 'ordered', records: [record({ value: '2' })] }),
      () => send(patient, 'NDJSON', ['ordered', 'replace'], [JSON.stringify(wireRecord('3'))]),
      () => write(patient, 'Sum', { stream: 'ordered', records: [record({ value: '10' })] }),
      () => send(patient, 'NDJSON', ['ordered', 'sum'], [JSON.stringify(wireRecord('20'))]),
      () => write(patient, 'Delete', { stream: 'ordered', records: [SELECTOR] }),
      () => send(patient, 'JSON', ['ordered', 'sum'], [JSON.stringify(wireRecord('5'))]),
      () => send(patient, 'JSON', ['ordered', 'replace'], [JSON.stringify(wireRecord('7'))]),
      () => deleteStream(patient, 'ordered'),
    ];
    const answers: Promise<unknown>[] = [];
    const seen = await whileHeld([lockOf('ordered')], async () => {
      for (const [index, step] of steps.entries()) {
        answers.push(step());
        await untilQueued(patient, index);
        await untilWaiting(patient, 1);
      }
      const [sessions] = await querySql<{ count: string }>(
        patient,
        `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      const { pool } = patient.resources.database;
      // The held transaction has one connection, the first write another one.
      return [Number(sessions?.count), pool.totalCount - pool.idleCount, pool.waitingCount];
    });
    expect(seen).toEqual([1, 2, 0]);
    await Promise.all(answers);
    const ledger = await ledgerOf('ordered');
    expect(ledger.map((one) => `${one.kind} ${one.inserted_records} ${one.hidden_records}`).filter(notSum)).toEqual([
      'REPLACE 1 1',
      'REPLACE 1 1',
      'DELETE 0 3',
      'REPLACE 1 1',
      'DELETE_STREAM 0 1',
    ]);
    expect(ledger.map(({ kind }) => kind)).toEqual([
      'SUM',
      'REPLACE',
      'REPLACE',
      'SUM',
      'SUM',
      'DELETE',
      'SUM',
      'REPLACE',
      'DELETE_STREAM',
    ]);
    expect(await waitingWrites(patient)).toBe(0);
  });

  test('returns STREAM_BUSY after STREAM_WAIT_MS over GraphQL, JSON and NDJSON, and writes nothing', async () => {
    await write(hasty, 'Sum', { stream: 'busy', records: [record()] });
    const before = await ledgerOf('busy');
    const counted = (await scrape(hasty.url)).value('sluice_stream_busy_total') ?? Number.NaN;
    const overGraphql = async (kind: WriteKind, records: readonly RecordInput[]) => {
      const { status, data, errors } = await tryWrite(hasty, kind, { stream: 'busy', records, idempotencyKey: kind });
      return [status, data?.answer ?? null, errors?.map(({ extensions }) => extensions)];
    };
    const overRest = async (answer: ReturnType<typeof send<{ error: { code: string } }>>) => {
      const { status, headers, body } = await answer;
      return [status, headers.get('retry-after'), body.error.code];
    };
    const line = JSON.stringify(wireRecord('3'));
    const selector = JSON.stringify(SELECTOR);
    await whileHeld([lockOf('busy')], async () => {
      const graphql = await Promise.all([
        overGraphql('Replace', [record({ value: '2' })]),
        overGraphql('Sum', [record({ value: '2' })]),
        overGraphql('Delete', [SELECTOR]),
      ]);
      expect(graphql).toEqual(graphql.map(() => [503, null, [{ code: 'STREAM_BUSY' }]]));
      const rest = await Promise.all([
        overRest(send(hasty, 'JSON', ['busy', 'replace'], [line])),
        overRest(send(hasty, 'NDJSON', ['busy', 'replace'], [line])),
        overRest(send(hasty, 'JSON', ['busy', 'sum'], [line])),
        overRest(send(hasty, 'NDJSON', ['busy', 'sum'], [line])),
        overRest(send(hasty, 'NDJSON', ['busy', 'delete'], [selector])),
        overRest(ask(hasty, 'DELETE /unit-cost/v1/telemetry/busy?force=true')),
      ]);
      expect(rest).toEqual(rest.map(() => [503, '5', 'STREAM_BUSY']));
      const deleting = `mutation { deleteStream(name: "busy") { __typename } }`;
      expect(await hasty.request(deleting)).toMatchObject({
        status: 503,
        data: null,
        errors: [{ extensions: { code: 'STREAM_BUSY' } }],
      });
    });
    expect(await ledgerOf('busy')).toEqual(before);
    expect((await scrape(hasty.url)).value('sluice_stream_busy_total')).toBe(counted + 10);
    // The idempotency keys are free, and the stream is not blocked by anything that gave up.
    const again = await write(hasty, 'Replace', { stream: 'busy', records: [record()], idempotencyKey: 'Replace' });
    expect(again).toMatchObject({ replayed: false, operation: { hiddenRecords: 1 } });
    expect(await querySql(patient, 'SELECT 1 FROM staged_batches')).toEqual([]);
  });

  test('returns STREAM_BUSY to writes that wait for each other too, and writes nothing', async () => {
    await write(hasty, 'Sum', { stream: 'busy-key', records: [record()] });
    const before = await ledgerOf('busy-key');
    await whileHeld([lockOf('busy-key')], async () => {
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          tryWrite(hasty, 'Replace', { stream: 'busy-key', records: [record({ value: String(index) })] }),
        ),
      );
      expect(answers.map(({ status, errors }) => [status, errors?.[0]?.extensions])).toEqual(
        answers.map(() => [503, { code: 'STREAM_BUSY' }]),
      );
    });
    expect(await ledgerOf('busy-key')).toEqual(before);
    expect(verdict(await write(hasty, 'Replace', { stream: 'busy-key', records: [record()] }))).toBe('taken');
  });

  test('lets writes succeed when the other server finishes in time', async () => {
    await write(patient, 'Sum', { stream: 'soon-free', records: [record()] });
    const answers = await whileHeld([lockOf('soon-free')], async () => {
      const begun = [
        write(patient, 'Replace', { stream: 'soon-free', records: [record({ value: '2' })] }),
        write(patient, 'Sum', { stream: 'soon-free', records: [record({ value: '3' })] }),
      ];
      await untilWaiting(patient, 1);
      return begun;
    });
    expect((await Promise.all(answers)).map(verdict)).toEqual(['taken', 'taken']);
    expect(Number((await readValues(patient, 'soon-free'))[`${BUCKET} hooli`])).toBeGreaterThanOrEqual(2);
  });
});

const notSum = (line: string): boolean => !line.startsWith('SUM');

const wireRecord = (value: string) => ({ ...SELECTOR, 'element-name': 'hooli', value });

describe('STREAM_BUSY ends the wait for another server', () => {
  const codeOf = async (kind: WriteKind, input: object): Promise<unknown> =>
    (await tryWrite(hasty, kind, input)).errors?.[0]?.extensions?.['code'];

  test('when it creates the stream', async () => {
    const accountId = await accountIdOf(patient, 'default');
    const code = await whileHeld(
      [
        `INSERT INTO streams (account_id, name, granularity, dimensions, created_at, created_xid)
         VALUES (${accountId}, 'being-made', 'DAILY', '{}', now(), pg_current_xact_id())`,
      ],
      () => codeOf('Sum', { stream: 'being-made', records: [record()] }),
    );
    expect(code).toBe('STREAM_BUSY');
  });

  test('when it uses the idempotency key or inserts the same filter', async () => {
    const accountId = await accountIdOf(patient, 'default');
    const filter = [{ dimension: 'region', values: ['eu'] }];
    for (const stream of ['keyed', 'filtered']) await write(patient, 'Sum', { stream, records: [record({ filter })] });
    const unseen = [{ dimension: 'region', values: ['unseen'] }];
    const codes = await patient.resources.database.forAccount(accountId).transaction(async (tx) => {
      await tx.execute(sql`SELECT 1`);
      await ingest(within(patient, tx), {
        kind: 'SUM',
        accountId,
        stream: 'filtered',
        idempotencyKey: 'taken',
        path: ['input'],
        records: [record({ filter: unseen }) as never],
      });
      return Promise.all([
        codeOf('Sum', { stream: 'keyed', idempotencyKey: 'taken', records: [record({ filter })] }),
        codeOf('Sum', { stream: 'filtered', records: [record({ filter: unseen })] }),
      ]);
    });
    expect(codes).toEqual(['STREAM_BUSY', 'STREAM_BUSY']);
  });

  test('when it holds the lock of the stream name', async () => {
    const accountId = await accountIdOf(patient, 'default');
    await write(patient, 'Sum', { stream: 'named', records: [record()] });
    const { errors } = await whileHeld(
      [`SELECT pg_advisory_xact_lock(hashtextextended('stream ${accountId}/named', 0))`],
      () => hasty.request(`mutation { deleteStream(name: "named") { __typename } }`),
    );
    expect(errors?.[0]?.extensions).toEqual({ code: 'STREAM_BUSY' });
  });
});

describe('request without a waiting client', () => {
  test('leaves the queue when the client disconnects over HTTP or WebSocket, or after REQUEST_TIMEOUT_MS', async () => {
    const timed = await startTestServer({ database, env: { REQUEST_TIMEOUT_MS: '3000', STREAM_WAIT_MS: '25000' } });
    try {
      await write(timed, 'Sum', { stream: 'abandoned', records: [record()] });
      const begun: Promise<unknown>[] = [];
      await whileHeld([lockOf('abandoned')], async () => {
        const first = send(timed, 'NDJSON', ['abandoned', 'replace'], [JSON.stringify(wireRecord('2'))]);
        await untilWaiting(patient, 1);
        const line = JSON.stringify(wireRecord('3'));
        const going = httpRequest(timed.url + allocationPath('abandoned', 'replace'), {
          method: 'POST',
          headers: { 'x-api-key': timed.key, 'content-type': 'application/x-ndjson' },
        });
        going.on('error', () => undefined);
        going.end(line);
        await untilQueued(timed, 1);
        going.destroy();
        await untilQueued(timed, 0);
        const socket = await openSocket(timed.url, { 'x-api-key': timed.key });
        await socket.until(({ type }) => type === 'connection_ack');
        socket.send({
          type: 'subscribe',
          id: 'gone',
          payload: { query: `mutation { deleteStream(name: "abandoned") { __typename } }` },
        });
        await untilQueued(timed, 1);
        socket.close();
        await untilQueued(timed, 0);
        const late = await tryWrite(timed, 'Replace', { stream: 'abandoned', records: [record({ value: '4' })] });
        expect([late.status, late.errors?.[0]?.extensions?.['code']]).toEqual([503, 'TIMEOUT']);
        await untilQueued(timed, 0);
        begun.push(first);
      });
      await Promise.all(begun);
      expect((await ledgerOf('abandoned')).map(({ kind }) => kind)).toEqual(['SUM', 'REPLACE']);
      expect(await readValues(timed, 'abandoned')).toEqual({ [`${BUCKET} hooli`]: '2' });
    } finally {
      await timed.stop();
    }
  });
});
