import fc from 'fast-check';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeTotals } from '../../src/streams/totals/merge-totals.ts';
import { expectLiveValues, expectUsage, play, type Played } from '../streams/played-histories.ts';
import { type Command, history, question, STREAM_NAMES } from '../streams/random-requests.ts';
import { verdict, write } from '../streams/writes.ts';
import { createFaults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  endedRun,
  forgetTotals,
  innerId,
  querySql,
  readExport,
  runJob,
  runThat,
} from '../support/job-steps.ts';
import { urlOfDatabase, urlOfRole, withClient } from '../support/postgres-admin.ts';
import { type CopiedPostgres, startTestPostgres } from '../support/postgres-server.ts';
import { scrape } from '../support/scrape.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { findPrograms } from './postgres-programs.ts';

// Moves a database to another cluster with the programs of PostgreSQL while a server runs.

const programs = await findPrograms();
const SLOT = '2026-01-28T02:00:00Z';
const ACCOUNTS = 3;
const ASKED_AT_ONCE = 20;
const ROLE = 'sluice';

const untilReady = (server: TestServer): Promise<unknown> =>
  eventually(
    async () => (await fetch(`${server.url}/readyz`)).status,
    (status) => status === 200,
  );

const repairs = async (server: TestServer): Promise<number> =>
  (await scrape(server.url)).value('sluice_ledger_repairs_total') ?? 0;

const createEmptyDatabase = async (postgres: Pick<CopiedPostgres, 'url'>, name: string): Promise<string> => {
  await withClient(postgres.url, async (admin) => {
    await admin.query(
      `DO $$ BEGIN CREATE ROLE ${ROLE} LOGIN PASSWORD 'secret'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
    );
    await admin.query(`CREATE DATABASE ${name} OWNER ${ROLE}`);
  });
  return urlOfRole(urlOfDatabase(postgres.url, name), ROLE, 'secret');
};

const startOn = (url: string, s3?: TestServer['s3']): Promise<TestServer> =>
  startTestServer({
    env: { ROLE: 'all' },
    database: { url, drop: () => Promise.resolve() },
    ...(s3 && { s3 }),
  });

/** Fills several accounts with deleted and recreated streams, hidden records, merged totals and hashed keys. */
const fillAccounts = async (server: TestServer): Promise<Played[]> => {
  const played: Played[] = [];
  for (let number = 1; number <= ACCOUNTS; number += 1) {
    const [first, ...others] = fc.sample(history, { numRuns: 3, seed: number });
    const [name, other] = STREAM_NAMES;
    const commands: Command[] = [
      ...(first?.commands ?? []),
      { do: 'mergeTotals' },
      { do: 'hashKeys', name },
      { do: 'deleteStream', name: other },
      ...others.flatMap((one) => one.commands),
    ];
    const stage = {
      server,
      accountName: `account-${number}`,
      forgetTotals: (_: bigint, stream: string) => forgetTotals(server, stream),
    };
    const account = await play(stage, first?.firstShape ?? 0, commands);
    await mergeTotals(server.resources.database.acrossAccounts, { minOperations: 2 });
    played.push(account);
  }
  return played;
};

const QUESTIONS = fc.sample(question, { numRuns: ASKED_AT_ONCE, seed: 1 });

const expectAnswers = async (server: TestServer, played: readonly Played[]): Promise<void> => {
  await Promise.all(
    played.flatMap(({ key, model }) => QUESTIONS.map((asked) => expectUsage(server, model.streams, key, asked))),
  );
  for (const { key, model } of played) await expectLiveValues(server, model.streams, key);
};

const sum = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'hooli' };

/** Starts a run of the account `default` that waits until the store accepts objects of the folder. */
const startUnfinishedRun = async (server: TestServer, folder: string) => {
  const faults = createFaults(server.s3);
  faults.on(folder, () => ({ status: 503, code: 'SlowDown' }));
  await addRecords(server, folder, 'DAILY', [{ ...sum, value: '5' }]);
  const settings = { meterApiNames: [folder], groupBy: ['element'], s3Url: `exports/${folder}` };
  const runId = await runJob(server, await createJob(server, settings), SLOT);
  await runThat(server, runId, ({ error }) => error !== null);
  const readWatermark = async (at: TestServer) =>
    (await querySql<{ watermark: string }>(at, 'SELECT watermark FROM runs WHERE id = $1', [innerId(runId)]))[0]
      ?.watermark;
  const before = await readWatermark(server);
  return {
    /** Lets the run end and returns its rows. */
    finish: async (at: TestServer): Promise<string[]> => {
      faults.clear(folder);
      const { text, manifest } = readExport(at, await endedRun(at, runId, 120_000));
      expect(manifest.watermark.snapshot).not.toBe(before);
      return text
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((line) => line.replace(/^.*Z,/, ''));
    },
  };
};

/** Expects that every account accepts new writes and returns them. */
const expectWrites = async (server: TestServer, played: readonly Played[]): Promise<void> => {
  for (const { key, model } of played) {
    for (const kind of ['Sum', 'Replace'] as const) {
      const input = { stream: 'later', records: [{ ...sum, filter: [], value: '3' }] };
      expect(model.write(kind, input)).toMatch(/^taken/);
      expect(verdict(await write(server, kind, input, key))).toBe('taken');
    }
  }
  await expectAnswers(server, played);
};

describe.skipIf(programs === null)('server whose database moves to another cluster', () => {
  describe('by pg_dump and pg_restore', () => {
    let clusters: readonly [CopiedPostgres, CopiedPostgres];
    let folder: string;
    beforeAll(async () => {
      clusters = await Promise.all([startTestPostgres(programs ?? ''), startTestPostgres(programs ?? '')]);
      folder = await mkdtemp(join(tmpdir(), 'sluice-dumps-'));
      await withClient(clusters[0].url, (client) =>
        client.query('DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$'),
      );
    });
    afterAll(async () => {
      await Promise.all(clusters.map((cluster) => cluster.stop()));
      await rm(folder, { recursive: true });
    });

    test.each([
      ['behind', 0, 1],
      ['ahead', 1, 0],
    ] as const)(
      'returns correct usage immediately, repairs each account once, and exports when transaction ids are %s',
      async (where, from, to) => {
        const source = await createEmptyDatabase(clusters[from], `moved_${where}`);
        const target = await createEmptyDatabase(clusters[to], `moved_${where}`);
        const address = await startSwitch(source);
        const server = await startOn(address.url);
        try {
          const played = await fillAccounts(server);
          const unfinished = await startUnfinishedRun(server, `restored-${where}`);
          await expectAnswers(server, played);
          expect(await featuresOf(server)).toEqual({ deleted: true, hidden: true, merged: true, hashed: true });
          expect(await repairs(server)).toBe(0);

          const dump = join(folder, `${where}.dump`);
          await run('pg_dump', ['--enable-row-security', '--format=custom', `--file=${dump}`, source]);
          await run('pg_restore', ['--exit-on-error', '--no-owner', `--dbname=${target}`, dump]);
          address.switchTo(target);
          await untilReady(server);
          await expectAnswers(server, played);
          expect(await unfinished.finish(server)).toEqual(['hooli,5']);
          await expectWrites(server, played);
          // All filled accounts, and the account of the run.
          expect(await repairs(server)).toBe(ACCOUNTS + 1);
        } finally {
          await server.stop();
          await address.close();
        }
      },
    );
  });

  test('by pg_upgrade > returns correct usage immediately, repairs each account once, and exports', async () => {
    let postgres = await startTestPostgres(programs ?? '', 'durable');
    const started = [postgres];
    const url = await createEmptyDatabase(postgres, 'upgraded');
    let server = await startOn(url);
    const { s3 } = server;
    try {
      const played = await fillAccounts(server);
      const unfinished = await startUnfinishedRun(server, 'upgraded');
      await expectAnswers(server, played);

      started.push((postgres = await postgres.upgrade()));
      await untilReady(server);
      await expectAnswers(server, played);
      expect(await unfinished.finish(server)).toEqual(['hooli,5']);
      await expectWrites(server, played);
      expect(await repairs(server)).toBe(ACCOUNTS + 1);

      // The start of a server repairs all accounts.
      await server.app.stop();
      started.push(await postgres.upgrade());
      const next = await startOn(url, s3);
      const stopped = server;
      server = { ...next, stop: () => next.stop().then(stopped.stop) };
      expect(await repairs(next)).toBe(ACCOUNTS + 1);
      await expectAnswers(next, played);
      expect(await repairs(next)).toBe(ACCOUNTS + 1);
    } finally {
      await server.stop();
      for (const one of started) await one.stop();
    }
  });
});

const run = (program: string, args: readonly string[]) =>
  promisify(execFile)(join(programs ?? '', program), [...args], {
    env: { ...process.env, PGOPTIONS: '-c sluice.all_accounts=on' },
  });

/** Returns whether the accounts have the features that a move could break. */
const featuresOf = async (server: TestServer) => {
  const [found] = await querySql<Record<string, boolean>>(
    server,
    `SELECT EXISTS (SELECT 1 FROM streams s JOIN streams n USING (account_id, name) WHERE s.deleted_at IS NOT NULL AND n.deleted_at IS NULL) AS deleted,
      EXISTS (SELECT 1 FROM records WHERE hidden_by IS NOT NULL) AS hidden,
      EXISTS (SELECT 1 FROM totals WHERE operation_id = 0) AS merged,
      EXISTS (SELECT 1 FROM streams s JOIN records r ON r.account_id = s.account_id AND r.stream_id = s.id
        WHERE s.hashes_keys AND s.keys_hashed AND r.key_hash <> 0) AS hashed`,
  );
  return found;
};

/** A TCP proxy to a database, which can switch to the database with the same name in another cluster. */
const startSwitch = async (first: string) => {
  let { port } = new URL(first);
  const sockets = new Set<Socket>();
  const server = createServer((front) => {
    const back = connect(Number(port), '127.0.0.1');
    for (const [socket, other] of [
      [front, back],
      [back, front],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    front.pipe(back).pipe(front);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const url = new URL(first);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    switchTo: (next: string): void => {
      ({ port } = new URL(next));
      cut();
    },
    close: async (): Promise<void> => {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
};
