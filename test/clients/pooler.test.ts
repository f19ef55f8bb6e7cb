import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allocationPath, ask, NDJSON, send } from '../rest/requests.ts';
import { readRecords, verdict, write } from '../streams/writes.ts';
import { openEventStream } from '../support/event-stream.ts';
import { addRecords, createJob, endedRun, filterOf, readExport, runJob } from '../support/job-steps.ts';
import { openClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice, startSluice } from '../support/sluice-process.ts';
import { readUsage } from '../usage/questions.ts';
import { findPgBouncer, type PgBouncer, startPgBouncer } from './pgbouncer.ts';

// Sluice behind Debian's PgBouncer with its defaults, which reject unknown start-up parameters.

const program = await findPgBouncer();
const DAY = '2026-01-25T00:00:00Z';

const record = (value: string) => ({ timestamp: DAY, granularity: 'DAILY', elementName: 'hooli', value });
const line = (element: string, value: number) => ({
  timestamp: DAY,
  granularity: 'DAILY',
  'element-name': element,
  value,
});
const times = <Value>(count: number, make: (index: number) => Value): Value[] =>
  Array.from({ length: count }, (_, index) => make(index));

describe.skipIf(program === null).each(['session', 'transaction'] as const)(
  'server behind PgBouncer in %s mode',
  (mode) => {
    let database: TestDatabase;
    let pooler: PgBouncer;
    let server: TestServer;
    const settings = () => ({
      DATABASE_URL: pooler.urlOf(database.url),
      DATABASE_DIRECT_URL: database.url,
    });
    beforeAll(async () => {
      database = await createTestDatabase();
      // In transaction mode PgBouncer has fewer connections to PostgreSQL than Sluice has to PgBouncer.
      pooler = await startPgBouncer(program ?? '', database.url, { mode, poolSize: mode === 'session' ? 40 : 3 });
      server = await startTestServer({ database, env: settings() });
    });
    afterAll(async () => {
      await server?.stop();
      await pooler?.stop();
      await database?.drop();
    });

    test('keeps one value after concurrent replaces of one record key, and loses no concurrent sum', async () => {
      await Promise.all(times(20, () => write(server, 'Sum', { stream: 'sums', records: [record('1')] })));
      expect(await readRecords(server, 'sums')).toMatchObject([{ value: '20' }]);
      const answers = await Promise.all(
        times(12, (index) => write(server, 'Replace', { stream: 'replaced', records: [record(String(index + 1))] })),
      );
      expect(new Set(answers.map(verdict))).toEqual(new Set(['taken']));
      expect(await readRecords(server, 'replaced')).toHaveLength(1);
    });

    test('stores NDJSON from the staging table once per idempotency key', async () => {
      const records = times(9000, (index) => JSON.stringify(line(`e${index}`, 1)));
      for (const replayed of [false, true]) {
        const headers = { 'idempotency-key': 'lines' };
        expect(await send(server, 'NDJSON', ['lines', 'replace'], records, { headers })).toMatchObject({
          status: 200,
          body: { insertedRecords: 9000, replayed },
        });
      }
      const deleted = await ask(server, `POST ${allocationPath('lines', 'delete')}`, {
        body: `${JSON.stringify({ timestamp: DAY, granularity: 'DAILY' })}\n`,
        headers: NDJSON,
      });
      expect(deleted).toMatchObject({ status: 201, body: { hiddenRecords: 9000 } });
    });

    test('exports and queries written records, and sends run events', async () => {
      await addRecords(server, 'exported', 'DAILY', [
        { timestamp: DAY, elementName: 'hooli', value: '2.5', filter: filterOf({ region: 'eu' }) },
        { timestamp: DAY, elementName: 'acme', value: '1', filter: filterOf({ region: 'eu' }) },
      ]);
      const job = await createJob(server, { meterApiNames: ['exported'], groupBy: ['region'] });
      const stream = await openEventStream<{ runUpdated: { status: string } }>({
        url: server.url,
        key: server.key,
        query: 'subscription ($id: ID!) { runUpdated(jobId: $id) { status } }',
        variables: { id: job },
      });
      const run = await endedRun(server, await runJob(server, job, '2026-01-28T02:00:00Z'));
      expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 1, rowsWritten: 1 });
      expect(readExport(server, run).text).toContain('exported,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,eu,3.5');
      await stream.until(({ data }) => data?.runUpdated.status === 'SUCCEEDED');
      stream.close();
      const usage = await readUsage(server, {
        meterApiNames: ['exported'],
        from: '2026-01-20T00:00:00Z',
        to: '2026-01-28T00:00:00Z',
        aggregationBucket: 'DAY',
      });
      expect(usage.series).toMatchObject([{ total: '3.5' }]);
    });

    test('cancels a statement that exceeds STATEMENT_TIMEOUT_MS', async () => {
      const impatient = await startTestServer({
        database,
        env: { ...settings(), ROLE: 'api', STATEMENT_TIMEOUT_MS: '1000' },
      });
      await write(server, 'Sum', { stream: 'slow', records: [record('1')] });
      const locker = await openClient(database.url);
      try {
        await locker.query('BEGIN');
        await locker.query('LOCK TABLE records IN ACCESS EXCLUSIVE MODE');
        const answer = await impatient.request(
          '{ stream(name: "slow") { records(first: 1) { edges { node { value } } } } }',
        );
        expect(answer.errors).toMatchObject([{ extensions: { code: 'TIMEOUT' } }]);
      } finally {
        await locker.end();
        await impatient.stop();
      }
      expect(await readRecords(server, 'slow')).toMatchObject([{ value: '1' }]);
    });

    test('shows both addresses in doctor', async () => {
      const { stdout } = await runSluice('cli', ['doctor'], {
        DATABASE_URL: pooler.urlOf(database.url),
        DATABASE_DIRECT_URL: database.url,
      });
      const name = new URL(database.url).pathname.slice(1);
      expect(stdout).toContain(`database    ok       ${name} on ${new URL(pooler.urlOf(database.url)).host}`);
      expect(stdout).toContain(`direct      ok       ${name} on ${new URL(database.url).host}, for LISTEN`);
      expect(stdout).not.toContain('broken');
    });

    test('names DATABASE_DIRECT_URL in one line of start, doctor and commands when it is missing', async () => {
      const settings = { DATABASE_URL: pooler.urlOf(database.url), PORT: '0' };
      const start = startSluice(settings);
      expect(await start.ended).toBe(1);
      expect(start.stderr.trim().split('\n')).toEqual([expect.stringContaining('Set DATABASE_DIRECT_URL')]);
      const { code, stderr } = await runSluice('cli', ['account', 'list'], settings);
      expect([code, stderr.trim().split('\n')]).toEqual([1, [expect.stringContaining('Set DATABASE_DIRECT_URL')]]);
      const doctor = await runSluice('cli', ['doctor'], settings);
      expect(doctor).toMatchObject({ code: 1, stdout: expect.stringMatching(/broken .*Set DATABASE_DIRECT_URL/) });
    });
  },
);

test.skipIf(program === null)(
  'server behind PgBouncer > recognizes a pooler that drops start-up parameters',
  async () => {
    const database = await createTestDatabase();
    const lines = ['ignore_startup_parameters = options, extra_float_digits'];
    const pooler = await startPgBouncer(program ?? '', database.url, { mode: 'transaction', poolSize: 3, lines });
    try {
      const start = startSluice({ DATABASE_URL: pooler.urlOf(database.url), PORT: '0' });
      expect(await start.ended).toBe(1);
      expect(start.stderr.trim().split('\n')).toEqual([expect.stringContaining('Set DATABASE_DIRECT_URL')]);
    } finally {
      await pooler.stop();
      await database.drop();
    }
  },
);
