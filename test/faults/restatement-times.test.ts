import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBackfill } from '../backfills/steps.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import { addRecords, createJob, endedRun, innerId, type Manifest, querySql, runJob } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { tally } from './tally.ts';

// How soon a correction is delivered, and how punctual slots are beside a backfill. The settings of the servers are the defaults, but for
// the interval between scans: it would double until the correction is found.

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** Windows of the backfill: a year. */
const WINDOWS = 365;

let deployment: Deployment;
let faults: Faults;
let api: ServerProcess;
beforeAll(async () => {
  deployment = await startDeployment({ LEDGER_SCAN_IDLE_SECONDS: '5' });
  faults = createFaults(deployment.s3);
  api = await deployment.startServer({ ROLE: 'api' });
  await Promise.all([deployment.startServer({ ROLE: 'worker' }), deployment.startServer({ ROLE: 'worker' })]);
});
afterAll(() => deployment?.close());

const today = (): number => Math.floor(Date.now() / DAY) * DAY;
const iso = (time: number): string => new Date(time).toISOString().replace('.000', '');

function add(stream: string, value: string): Promise<unknown> {
  return addRecords(api, stream, 'DAILY', [{ timestamp: iso(today() - DAY), elementName: 'acme', value }]);
}

/** A job whose window of yesterday is delivered. */
async function createDeliveredJob(stream: string): Promise<string> {
  await add(stream, '1');
  const jobId = await createJob(api, {
    jobName: stream,
    s3Url: `exports/${stream}`,
    range: 'ago(1d)',
    meterApiNames: [stream],
    restateAfter: 'ago(1m)',
    enabled: true,
    // Far from now, so that only the test runs it.
    cron: '0 0 1 1 *',
  });
  expect((await endedRun(api, await runJob(api, jobId, iso(today())))).status).toBe('SUCCEEDED');
  return jobId;
}

/** Returns the seconds until a revision of the only window of a job is complete. */
async function secondsUntil(stream: string, revision: number): Promise<number> {
  const begun = performance.now();
  await eventually(
    () =>
      Promise.resolve(
        deployment.s3.puts
          .filter(({ key }) => key.startsWith(`${stream}/`) && key.endsWith('.manifest.json'))
          .map(({ body }) => JSON.parse(body.toString()) as Manifest & { readonly revision: number })
          .findLast(({ state }) => state === 'complete')?.revision ?? 0,
      ),
    (newest) => newest >= revision,
    3 * MINUTE,
  );
  return (performance.now() - begun) / 1000;
}

test('correction, refused restatement and slot beside a backfill > have their effects in time', async () => {
  const late = async (): Promise<number> => {
    await createDeliveredJob('late');
    await add('late', '40');
    return secondsUntil('late', 2);
  };
  const refused = async (): Promise<number> => {
    const jobId = await createDeliveredJob('refused');
    await querySql(deployment, 'UPDATE jobs SET settle_seconds = 0 WHERE id = $1', [innerId(jobId)]);
    faults.on('refused/', () => ({ status: 403, code: 'AccessDenied' }));
    await add('refused', '40');
    await eventually(
      () =>
        querySql<{ status: string }>(
          deployment,
          `SELECT status FROM runs WHERE job_id = $1 AND trigger = 'RESTATEMENT' AND status = 'FAILED'`,
          [innerId(jobId)],
        ),
      (rows) => rows.length > 0,
      2 * MINUTE,
    );
    faults.clear('refused/');
    // A window of its own, as that of the next slot.
    expect((await endedRun(api, await runJob(api, jobId, iso(today() - DAY)))).status).toBe('SUCCEEDED');
    return secondsUntil('refused', 2);
  };
  const punctual = async (): Promise<number> => {
    await add('punctual', '1');
    const slot = Math.ceil((Date.now() + 5000) / MINUTE) * MINUTE;
    const at = new Date(slot);
    const jobId = await createJob(api, {
      jobName: 'punctual',
      s3Url: 'exports/punctual',
      range: 'ago(1d)',
      meterApiNames: ['punctual'],
      enabled: true,
      cron: `${at.getUTCMinutes()} ${at.getUTCHours()} * * *`,
    });
    await delay(slot - Date.now() - 2000);
    const { id } = await createBackfill(api, {
      jobId,
      from: iso(today() - (WINDOWS + 1) * DAY),
      to: iso(today() - DAY),
    });
    const [run] = await eventually(
      () =>
        querySql<{ seconds: number }>(
          deployment,
          `SELECT extract(epoch FROM started_at - scheduled_for)::float8 AS seconds FROM runs
           WHERE job_id = $1 AND trigger = 'CRON' AND scheduled_for = $2 AND started_at IS NOT NULL`,
          [innerId(jobId), at],
        ),
      (rows) => rows.length > 0,
      2 * MINUTE,
    );
    const [left] = await querySql<{ runs: number }>(
      deployment,
      `SELECT count(*)::int AS runs FROM runs WHERE backfill_id = $1 AND status = 'SUCCEEDED'`,
      [innerId(id)],
    );
    // The slot came while the backfill ran.
    expect(left?.runs).toBeLessThan(WINDOWS);
    return run?.seconds ?? Infinity;
  };
  const [restated, restatedAgain, started] = await Promise.all([late(), refused(), punctual()]);
  expect(restated).toBeLessThan(70);
  expect(restatedAgain).toBeLessThan(60);
  expect(started).toBeLessThan(2);
  await tally({
    scenario: 10,
    done: 'a correction with `restateAfter: ago(1m)`; a restatement that the store refused until its policy was fixed; a slot beside a backfill of 365 windows',
    tried: `restated after ${restated.toFixed(0)} s and ${restatedAgain.toFixed(0)} s; the run of the slot started after ${started.toFixed(1)} s`,
    lost: 0,
    twice: 0,
  });
});
