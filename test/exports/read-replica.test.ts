import { Writable } from 'node:stream';
import pino, { type Logger } from 'pino';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, createGate } from '../support/faults.ts';
import { addRecords, createJob, endedRun, multiplyRecords, readExport, readRun, runJob } from '../support/job-steps.ts';
import { openClient, urlOfDatabase, withClient } from '../support/postgres-admin.ts';
import { runSluice } from '../support/sluice-process.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { type PrimaryWithStandby, startPrimaryWithStandby } from '../support/standby.ts';

const SLOT = '2026-01-28T02:00:00Z';
/** About 17 MB of CSV: more than the sockets between the database and the server buffer. */
const ROWS = 100_000;
const LEFT_OUT = 'exports read from DATABASE_URL for a minute: the standby is down or behind';

let cluster: PrimaryWithStandby;
let primary: PrimaryWithStandby['primary'];
let standby: PrimaryWithStandby['standby'];
/** URLs of the same database on both servers, with the role of Sluice. */
let url: string;
let readUrl: string;

beforeAll(async () => {
  cluster = await startPrimaryWithStandby();
  ({ primary, standby, url, standbyUrl: readUrl } = cluster);
});
afterAll(() => cluster.stop());

interface LogLine {
  readonly msg: string;
  readonly err: { readonly message: string };
  readonly failure?: { readonly code: string; readonly retryable: boolean };
}

interface ReplicatedServer extends TestServer {
  /** The reasons why the standby was skipped. */
  readonly leftOut: readonly LogLine['err'][];
  /** The errors of failed attempts. */
  readonly failures: readonly LogLine['failure'][];
}

/** A server on the primary that reads from the standby. Stopped after the test, which also resumes the replay. */
const withServer = async (waitMs: number, work: (server: ReplicatedServer) => Promise<void>): Promise<void> => {
  const lines: LogLine[] = [];
  const log: Logger = pino(
    { level: 'warn', serializers: { err: pino.stdSerializers.err } },
    new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        lines.push(JSON.parse(chunk.toString()) as LogLine);
        done();
      },
    }),
  );
  const server = await startTestServer({
    database: { url, drop: async () => {} },
    env: {
      DATABASE_READ_URL: readUrl,
      DATABASE_READ_WAIT_MS: String(waitMs),
      EXPORT_PART_BYTES: '524288',
    },
    resources: { log },
  });
  try {
    await work({
      ...server,
      get leftOut() {
        return lines.filter(({ msg }) => msg === LEFT_OUT).map(({ err }) => err);
      },
      get failures() {
        return lines.filter(({ msg }) => msg === 'attempt failed').map(({ failure }) => failure);
      },
    });
    expect(brokenPromises(server.s3.puts)).toEqual([]);
  } finally {
    await server.stop();
  }
};

const onStandby = <Row>(text: string): Promise<Row[]> =>
  withClient(standby.url, async (admin) => (await admin.query(text)).rows as Row[]);

/** The current statements of export connections on the server. */
const exportsAt = async (at: string): Promise<string[]> =>
  withClient(urlOfDatabase(at, 'sluice'), async (admin) => {
    const { rows } = await admin.query<{ query: string }>(
      `SELECT query FROM pg_stat_activity WHERE datname = 'sluice' AND application_name = 'sluice-export'`,
    );
    return rows.map(({ query }) => query);
  });

const isCopy = (query: string): boolean => query.startsWith('COPY');

/** Pauses the replay while the work runs. */
const withReplayPaused = async (work: () => Promise<void>): Promise<void> => {
  await onStandby('SELECT pg_wal_replay_pause()');
  await eventually(
    () => onStandby<{ state: string }>('SELECT pg_get_wal_replay_pause_state() AS state'),
    ([row]) => row?.state === 'paused',
  );
  try {
    await work();
  } finally {
    await onStandby('SELECT pg_wal_replay_resume()');
  }
};

const settings = (name: string) => ({
  jobName: name,
  s3Url: `exports/${name}`,
  meterApiNames: [name],
  groupBy: ['element'],
});

const usageOf = (elementName: string, value: string) => [{ timestamp: '2026-01-25T00:00:00Z', elementName, value }];

describe('export with DATABASE_READ_URL', () => {
  test('reads its rows from the standby, not from the primary', { timeout: 120_000 }, () =>
    withServer(30_000, async (server) => {
      const faults = createFaults(server.s3);
      const gate = createGate();
      faults.on('reads', ({ key }) => (key.includes('-00002') ? { hold: gate.opened } : undefined));
      await addRecords(server, 'reads', 'DAILY', usageOf('customer '.padEnd(100, '-'), '1'));
      await multiplyRecords(server, 'reads', ROWS - 1);
      const id = await runJob(server, await createJob(server, settings('reads')), SLOT);
      try {
        expect(
          await eventually(
            () => exportsAt(standby.url),
            (queries) => queries.some(isCopy),
          ),
        ).toHaveLength(1);
        expect(await exportsAt(primary.url)).toEqual([]);
      } finally {
        gate.open();
      }
      expect(await endedRun(server, id)).toMatchObject({ status: 'SUCCEEDED', attempt: 1, rowsWritten: ROWS });
      expect(server.leftOut).toEqual([]);
    }),
  );

  test('waits for a standby that lags, so that no record before the slot is missing', { timeout: 120_000 }, () =>
    withServer(60_000, async (server) => {
      await addRecords(server, 'waits', 'DAILY', usageOf('before', '1'));
      await addRecords(server, 'waits', 'DAILY', usageOf('hidden meanwhile', '1'));
      const job = await createJob(server, settings('waits'));
      expect(readExport(server, await endedRun(server, await runJob(server, job, SLOT))).text).toContain('hidden');
      let id = '';
      await withReplayPaused(async () => {
        await addRecords(server, 'waits', 'DAILY', usageOf('stored meanwhile', '2'));
        await server.graphql(
          `mutation { allocationDelete(input: { stream: "waits", records: [{ timestamp: "2026-01-25T00:00:00Z", granularity: DAILY,
            elementName: "hidden meanwhile" }] }) { __typename } }`,
        );
        // As VACUUM does when it truncates a table: the replay waits for readers of the table.
        const locker = await openClient(url);
        await locker.query('BEGIN; LOCK TABLE runs IN ACCESS EXCLUSIVE MODE; COMMIT');
        await locker.end();
        id = await runJob(server, job, SLOT);
        await eventually(
          () => exportsAt(standby.url),
          (queries) => queries.some((query) => query.startsWith('SET LOCAL')),
        );
        // Records after the watermark are not exported from either server.
        await addRecords(server, 'waits', 'DAILY', usageOf('after the watermark', '4'));
        expect(await readRun(server, id)).toMatchObject({ status: 'RUNNING', rowsWritten: 0 });
      });
      const { text } = readExport(server, await endedRun(server, id));
      expect(
        text
          .trim()
          .split('\n')
          .slice(1)
          .map((line) => line.split(',').slice(3)),
      ).toEqual([
        ['before', '1'],
        ['stored meanwhile', '2'],
      ]);
      expect(server.leftOut).toEqual([]);
    }),
  );

  test('skips a standby that lags too long for a while, and no record is missing', { timeout: 120_000 }, () =>
    withServer(500, async (server) => {
      await addRecords(server, 'late', 'DAILY', usageOf('before', '1'));
      const job = await createJob(server, settings('late'));
      await withReplayPaused(async () => {
        await addRecords(server, 'late', 'DAILY', usageOf('stored meanwhile', '2'));
        for (let runs = 0; runs < 2; runs += 1) {
          const run = await endedRun(server, await runJob(server, job, SLOT));
          expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 1, rowsWritten: 2 });
          expect(readExport(server, run).text).toContain('stored meanwhile');
        }
      });
      expect(server.leftOut.map(({ message }) => message)).toEqual([
        'The read replica did not have a run within 500 ms of its start.',
      ]);
    }),
  );

  test('continues on the primary and reports a standby that is down', { timeout: 120_000 }, () =>
    withServer(30_000, async (server) => {
      await addRecords(server, 'away', 'DAILY', usageOf('customer', '1'));
      await standby.goAway();
      try {
        const run = await endedRun(server, await runJob(server, await createJob(server, settings('away')), SLOT));
        expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 1, rowsWritten: 1 });
        expect(server.leftOut).toHaveLength(1);
        expect(JSON.stringify(server.leftOut)).toContain('ECONNREFUSED');
      } finally {
        await standby.comeBack();
      }
    }),
  );

  test('restarts on the primary if the standby cancels it because of a replay conflict', { timeout: 120_000 }, () =>
    withServer(30_000, async (server) => {
      const faults = createFaults(server.s3);
      // The first attempt continues when the replay conflicts with its COPY, and the second when the test has detected the conflict.
      const holds = [createGate(), createGate()] as const;
      const isCopying = createGate();
      let attempts = 0;
      faults.on('canceled', ({ key }) => {
        if (!key.includes('-00002')) return undefined;
        isCopying.open();
        attempts += 1;
        return { hold: holds[attempts === 1 ? 0 : 1].opened };
      });
      // Set before the records, so that the replay has read the setting when it has replayed them.
      await onStandby('ALTER SYSTEM SET max_standby_streaming_delay = 0');
      await onStandby('SELECT pg_reload_conf()');
      await addRecords(server, 'canceled', 'DAILY', usageOf('customer '.padEnd(100, '-'), '1'));
      await multiplyRecords(server, 'canceled', ROWS - 1);
      const id = await runJob(server, await createJob(server, settings('canceled')), SLOT);
      try {
        // A COPY that has filled a part holds its locks, and its remaining rows exceed what the sockets hold.
        await isCopying.opened;
        const locker = await openClient(url);
        // As a migration does, and VACUUM when it truncates a table.
        await locker.query('BEGIN; LOCK TABLE records IN ACCESS EXCLUSIVE MODE; COMMIT');
        await locker.end();
        // The replay waits for the lock of the COPY, or has already canceled it: a COPY that is blocked on a
        // full socket notices when it can send again. A counter of conflicts would include those of earlier tests.
        await eventually(
          () =>
            onStandby<{ conflicts: string; copies: string }>(
              `SELECT (SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock') AS conflicts,
                 (SELECT count(*) FROM pg_stat_activity WHERE datname = 'sluice'
                    AND application_name = 'sluice-export' AND state = 'active') AS copies`,
            ),
          ([row]) => Number(row?.conflicts) > 0 || Number(row?.copies) === 0,
        );
        holds[0].open();
        await eventually(
          () => exportsAt(primary.url),
          (queries) => queries.some(isCopy),
        );
        expect(await exportsAt(standby.url)).toEqual([]);
      } finally {
        for (const hold of holds) hold.open();
      }
      expect(await endedRun(server, id)).toMatchObject({ status: 'SUCCEEDED', attempt: 2, rowsWritten: ROWS });
      expect(server.failures).toMatchObject([{ code: 'DATABASE_UNAVAILABLE', retryable: true }]);
    }),
  );

  test(
    'is checked by doctor > which reports reachability, role and lag of the standby',
    { timeout: 120_000 },
    async () => {
      const finding = async (env: Readonly<Record<string, string>>) => {
        const { code, stdout } = await runSluice('cli', ['doctor'], {
          DATABASE_URL: url,
          DATABASE_READ_URL: readUrl,
          ...env,
        });
        expect({ code, stdout }).toEqual({ code: 0, stdout: expect.not.stringContaining('broken') });
        return stdout.split('\n').find((line) => line.startsWith('replica'));
      };
      expect(await finding({})).toMatch(/^replica +ok +sluice on 127\.0\.0\.1:\d+, \d+ (bytes|kB) behind$/);
      await withReplayPaused(async () => {
        expect(await finding({})).toMatch(/^replica +warn +replay is paused on sluice/);
      });
      expect(await finding({ DATABASE_READ_URL: url })).toMatch(
        /^replica +warn .* is not a standby: it accepts writes$/,
      );
      expect(await finding({ DATABASE_READ_URL: inject('postgresAdminUrl') })).toMatch(
        /^replica +warn .* is not a copy of/,
      );
      expect(await finding({ DATABASE_READ_URL: 'postgres://u:hidden-word@127.0.0.1:9/none' })).toMatch(
        /^replica +warn +The database none on 127\.0\.0\.1:9 cannot be reached \(ECONNREFUSED\). Is DATABASE_READ_URL right\?/,
      );
    },
  );
});

test('DATABASE_READ_URL > is rejected in local mode', () => {
  expect(() => loadConfig({ DATABASE_READ_URL: readUrl })).toThrow('DATABASE_READ_URL needs a DATABASE_URL');
});
