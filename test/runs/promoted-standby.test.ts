import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFaults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  endedRun,
  innerId,
  querySql,
  readExport,
  runJob,
  runThat,
  type StepServer,
} from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { scrape } from '../support/scrape.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { type PrimaryWithStandby, startPrimaryWithStandby } from '../support/standby.ts';
import { verdict, write } from '../streams/writes.ts';
import { readUsage } from '../usage/questions.ts';

const DAY = '2026-01-25T00:00:00Z';
const SLOT = '2026-01-28T02:00:00Z';

let cluster: PrimaryWithStandby;
let primary: PrimaryWithStandby['primary'];
let standby: PrimaryWithStandby['standby'];
let url: string;
let standbyUrl: string;
beforeAll(async () => {
  cluster = await startPrimaryWithStandby();
  ({ primary, standby, url, standbyUrl } = cluster);
});
afterAll(() => cluster.stop());

const startOn = (databaseUrl: string, options: { readonly role: string; readonly s3?: TestServer['s3'] }) =>
  startTestServer({
    database: { url: databaseUrl, drop: () => Promise.resolve() },
    env: { ROLE: options.role },
    ...(options.s3 && { s3: options.s3 }),
  });

const record = (elementName: string, value: string) => ({ timestamp: DAY, elementName, value });
const usageOf = (server: TestServer) =>
  readUsage(server, { from: DAY, to: '2026-01-26T00:00:00Z', aggregationBucket: 'DAY', groupBy: ['element'] });

const replace = async (server: TestServer, elementName: string, value: string): Promise<void> => {
  const records = [{ ...record(elementName, value), granularity: 'DAILY' }];
  expect(verdict(await write(server, 'Replace', { stream: 'usage', records }))).toBe('taken');
};

const watermarkOf = async (server: Pick<StepServer, 'database'>, runId: string): Promise<unknown> => {
  const [row] = await querySql<{ watermark: unknown }>(server, 'SELECT watermark FROM runs WHERE id = $1', [
    innerId(runId),
  ]);
  return row?.watermark;
};

/** Resolves when the standby has replayed the WAL of the primary. */
const untilReplayed = async (): Promise<void> => {
  const ask = async (at: string, position: string): Promise<string | undefined> =>
    withClient(at, async (admin) => (await admin.query<{ at: string }>(`SELECT ${position} AS at`)).rows[0]?.at);
  const logged = await ask(primary.url, 'pg_current_wal_lsn()');
  await eventually(
    () => ask(standby.url, `pg_last_wal_replay_lsn() >= '${logged}'::pg_lsn`),
    (isReplayed) => Boolean(isReplayed),
  );
};

test('promoted standby > returns the same results as the primary, finishes a run as of its watermark, and repairs nothing', async () => {
  const before = await startOn(url, { role: 'all' });
  let after: TestServer | undefined;
  try {
    const faults = createFaults(before.s3);
    await addRecords(before, 'usage', 'DAILY', [record('hooli', '5'), record('acme', '1')]);
    await replace(before, 'acme', '2');
    const jobId = await createJob(before, { groupBy: ['element'], s3Url: 'exports/promoted' });
    faults.on('promoted', () => ({ status: 503, code: 'SlowDown' }));
    const runId = await runJob(before, jobId, SLOT);
    await runThat(before, runId, ({ error }) => error !== null);
    // Not exported by the run, whose watermark is fixed.
    await replace(before, 'hooli', '7');
    const watermark = await watermarkOf(before, runId);
    expect(watermark).toMatch(/^\d+:\d+:/);
    const answer = await usageOf(before);
    expect(answer.series.map(({ total }) => total)).toEqual(['2', '7']);

    await before.app.stop();
    await untilReplayed();
    await primary.goAway();
    await withClient(standby.url, (admin) => admin.query('SELECT pg_promote()'));

    const repairs = async (server: TestServer) => (await scrape(server.url)).value('sluice_ledger_repairs_total');
    faults.clear('promoted');
    after = await startOn(standbyUrl, { role: 'all', s3: before.s3 });
    const key = await after.createKey('default', ['ADMIN']);
    expect((await usageOf({ ...after, key })).series).toEqual(answer.series);
    const run = await endedRun(after, runId);
    expect(await watermarkOf({ database: { url: standbyUrl } }, runId)).toBe(watermark);
    const { text, manifest } = readExport(after, run);
    expect(
      text
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((line) => line.replace(/^.*Z,/, '')),
    ).toEqual(['acme,2', 'hooli,5']);
    expect(manifest.watermark.snapshot).toBe(watermark);
    await replace(after, 'acme', '3');
    expect((await usageOf(after)).series.map(({ total }) => total)).toEqual(['3', '7']);
    expect(await repairs(after)).toBe(0);
  } finally {
    await after?.stop();
    await before.stop();
  }
});
