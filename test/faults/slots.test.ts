import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { addRecords, createJob, innerId, type Manifest, querySql } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import type { Settings } from '../support/sluice-process.ts';
import type { Put } from '../support/strict-s3.ts';
import { createChance, inForm } from './chance.ts';
import { type Deployment, startDeployment } from './deployment.ts';
import { type SupervisedServers, superviseServers } from './supervised-servers.ts';
import { counted, tally } from './tally.ts';

const JOBS_PER_SLOT = 50;
const SLOTS = inForm({ short: 1, full: 2 });
const MINUTE = 60_000;
const RECORDS = 100;

const withClock = (aheadMs: number): Settings => ({
  NODE_OPTIONS: `--import=${new URL('shifted-clock.ts', import.meta.url).href}`,
  CLOCK_AHEAD_MS: String(aheadMs),
});

let deployment: Deployment;
let servers: SupervisedServers;
beforeAll(async () => {
  deployment = await startDeployment({ RUN_LEASE_SECONDS: '5' });
  servers = await superviseServers(deployment, [{}, withClock(30_000), withClock(-30_000)]);
});
afterAll(async () => {
  await servers?.stop();
  await deployment?.close();
});

interface RunRow {
  readonly job: string;
  readonly slot: Date;
  readonly trigger: string;
  readonly status: string;
  readonly rows: string;
}

const readRuns = (): Promise<RunRow[]> =>
  querySql<RunRow>(
    deployment,
    'SELECT job_id AS job, scheduled_for AS slot, trigger, status, rows_written AS rows FROM runs',
  );

const manifestOf = ({ body }: Put): Manifest => JSON.parse(body.toString()) as Manifest;

test(
  'jobs that are due in the same minute have one run each for the slot, which succeeds, though servers are killed and clocks wrong',
  { timeout: (SLOTS + 5) * MINUTE },
  async () => {
    const chance = createChance('slots');
    // A server with the correct time: for a server whose clock is ahead, the slot may have passed, and the next would be an hour later.
    const server = await deployment.startServer({ ROLE: 'api' });
    const hourAgo = new Date(Date.now() - 60 * MINUTE).toISOString();
    await addRecords(
      server,
      'usage',
      'HOURLY',
      Array.from({ length: RECORDS }, (_, index) => ({ timestamp: hourAgo, elementName: `e${index}`, value: '1' })),
    );
    // Slow enough that servers die in the middle of exports.
    deployment.s3.setFault(() => ({ hold: delay(chance.between(0, 400)) }));

    // Two sets of jobs take turns, so that no slot of a job waits for the one before and is superseded.
    const first = Math.ceil((Date.now() + 25_000) / MINUTE) * MINUTE;
    const slots = Array.from({ length: SLOTS }, (_, index) => new Date(first + index * MINUTE));
    const expected: string[] = [];
    for (const turn of [0, 1].slice(0, SLOTS)) {
      const own = slots.filter((_, index) => index % 2 === turn);
      const cron = `${own.map((slot) => slot.getUTCMinutes()).join(',')} * * * *`;
      const made = Array.from({ length: JOBS_PER_SLOT }, (_, index) =>
        createJob(server, {
          jobName: `turn ${turn} job ${index}`,
          enabled: true,
          cron,
          minimizeFresh: false,
          aggregationBucket: 'HOUR',
          range: 'ago(2h)',
          groupBy: ['element'],
        }),
      );
      for (const id of await Promise.all(made)) {
        expected.push(...own.map((slot) => `${innerId(id)} ${slot.toISOString()}`));
      }
    }
    expect(Date.now()).toBeLessThan(first - 1000);

    for (const slot of slots) {
      await delay(Math.max(0, slot.getTime() - Date.now() - 2000));
      expect((await readRuns()).filter((run) => run.slot.getTime() === slot.getTime())).toEqual([]);
      // While the scheduler works, and while runs do.
      const moments = [chance.between(-100, 600), ...[1, 2, 3].map(() => chance.between(0, 4000))];
      for (const moment of moments.toSorted((a, b) => a - b)) {
        await delay(slot.getTime() + moment - Date.now());
        servers.killOne(chance.pick);
      }
    }

    const runs = await eventually(
      readRuns,
      (all) => all.length >= expected.length && all.every(({ status }) => !['QUEUED', 'RUNNING'].includes(status)),
      2 * MINUTE,
    );
    const seen = Map.groupBy(runs, ({ job, slot }) => `${job} ${slot.toISOString()}`);
    const missing = expected.filter((pair) => !seen.has(pair));
    const twice = [...seen].filter(([pair, all]) => all.length > 1 || !expected.includes(pair)).map(([pair]) => pair);
    expect({ missing, twice }).toEqual({ missing: [], twice: [] });
    expect(
      runs.filter(({ trigger, status, rows }) => `${trigger} ${status} ${rows}` !== `CRON SUCCEEDED ${RECORDS}`),
    ).toEqual([]);
    await expectOneManifestEach(expected.length, first);

    const [taken] = await querySql<{ takeovers: number }>(
      deployment,
      'SELECT count(*)::int AS takeovers FROM runs WHERE attempt > 1',
    );
    expect(servers.endedByThemselves).toEqual([]);
    expect(servers.kills).toBeGreaterThan(SLOTS);
    await tally({
      scenario: 2,
      done: `three servers, one clock 30 s ahead and one 30 s behind; SIGKILL ${counted(servers.kills, 'times')} around the slots of ${JOBS_PER_SLOT} jobs each`,
      tried: `${counted(expected.length, 'slots')}; ${counted(taken?.takeovers ?? 0, 'runs were taken over')}`,
      lost: missing.length,
      twice: twice.length,
    });
  },
);

/** Checks the S3 bucket: no object before its slot, one complete manifest per window, and rewritten objects are identical. */
const expectOneManifestEach = async (count: number, first: number): Promise<void> => {
  const { puts } = deployment.s3;
  expect(puts.filter(({ at }) => at.getTime() < first).map(({ key }) => key)).toEqual([]);
  expect(brokenPromises(puts)).toEqual([]);
  const manifests = deployment.s3.objects().filter(({ key }) => key.endsWith('.manifest.json'));
  expect(manifests.length).toBe(count);
  expect(manifests.filter((put) => manifestOf(put).state !== 'complete').map(({ key }) => key)).toEqual([]);
  const complete = puts.filter((put) => !put.key.endsWith('.manifest.json') || manifestOf(put).state === 'complete');
  const bodies = Map.groupBy(complete, ({ key }) => key);
  const different = [...bodies].filter(([, all]) => new Set(all.map(({ body }) => body.toString())).size > 1);
  expect(different.map(([key]) => key)).toEqual([]);
};
