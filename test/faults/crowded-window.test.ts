import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { copyJob } from '../support/copied-jobs.ts';
import { addRecords, createJob, endedRun, innerId, querySql, runJob } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import { inForm } from './chance.ts';
import { type ServerProcess, startDeployment } from './deployment.ts';
import { counted, tally } from './tally.ts';

/** Each delivers the same days. */
const JOBS = 5000;
const DAYS = 10;
const OTHERS = 20;
const SLOTS = inForm({ short: 1, full: 3 });
const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MAX_RESTATEMENTS = 8;

const today = Math.floor(Date.now() / DAY) * DAY;
const day = (ago: number): string => new Date(today - ago * DAY).toISOString();

async function createOthers(server: ServerProcess): Promise<void> {
  const timestamp = new Date(Math.floor(Date.now() / HOUR) * HOUR - HOUR).toISOString();
  await addRecords(server, 'other', 'HOURLY', [{ timestamp, elementName: 'acme', value: '1' }]);
  for (let number = 1; number <= OTHERS; number += 1) {
    await createJob(server, {
      jobName: `other ${number}`,
      s3Url: 'exports/other',
      enabled: true,
      cron: '* * * * *',
      aggregationBucket: 'HOUR',
      range: 'ago(2h)',
      minimizeFresh: false,
      meterApiNames: ['other'],
    });
  }
}

test(
  `operation that changes ${JOBS * DAYS} delivered windows > delays no slot of other jobs, and they are restated ${MAX_RESTATEMENTS} at a time`,
  { timeout: (SLOTS + 6) * MINUTE },
  async () => {
    const deployment = await startDeployment({
      LEDGER_SCAN_SECONDS: '1',
      RESTATEMENTS_PER_ACCOUNT: String(MAX_RESTATEMENTS),
    });
    try {
      const api = await deployment.startServer({ ROLE: 'api' });
      await deployment.startServer({ ROLE: 'worker' });
      await deployment.startServer({ ROLE: 'worker' });
      const records = Array.from({ length: DAYS }, (_, index) => ({
        timestamp: day(index + 1),
        elementName: 'acme',
        value: '1',
      }));
      await addRecords(api, 'usage', 'DAILY', records);
      const jobId = await createJob(api, {
        jobName: 'crowd',
        s3Url: 'exports/crowd',
        enabled: true,
        cron: '0 0 1 1 *',
        range: 'ago(1d)',
        meterApiNames: ['usage'],
      });
      for (let ago = DAYS - 1; ago >= 0; ago -= 1) {
        expect((await endedRun(api, await runJob(api, jobId, day(ago)))).status).toBe('SUCCEEDED');
      }
      // The least time of the API is a minute.
      await querySql(deployment, 'UPDATE jobs SET settle_seconds = 0 WHERE id = $1', [innerId(jobId)]);
      await copyJob(deployment, jobId, JOBS - 1);
      await createOthers(api);

      // Marks and checks begin shortly before a slot.
      const first = Math.ceil((Date.now() + 5000) / MINUTE) * MINUTE;
      await delay(first - Date.now() - 2500);
      await addRecords(api, 'usage', 'DAILY', records);
      let most = 0;
      const end = first + (SLOTS - 1) * MINUTE + 25_000;
      while (Date.now() < end) {
        const [row] = await querySql<{ unended: number }>(
          deployment,
          `SELECT count(*)::int AS unended FROM runs WHERE trigger = 'RESTATEMENT' AND status IN ('QUEUED', 'RUNNING')`,
        );
        most = Math.max(most, row?.unended ?? 0);
        await delay(100);
      }
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(MAX_RESTATEMENTS);
      const slots = await querySql<{ runs: number; slowest: number }>(
        deployment,
        `SELECT count(*)::int AS runs, max(extract(epoch FROM coalesce(started_at, clock_timestamp()) - scheduled_for))::float8 AS slowest
         FROM runs WHERE trigger = 'CRON' AND scheduled_for >= $1 AND scheduled_for <= $2 GROUP BY scheduled_for ORDER BY slowest`,
        [new Date(first), new Date(end - 25_000)],
      );
      expect(slots.map(({ runs }) => runs)).toEqual(Array.from({ length: SLOTS }, () => OTHERS));
      // Something else may take the processors during one.
      const slowest = slots[Math.floor(SLOTS / 2)]?.slowest ?? Infinity;
      expect(slowest).toBeLessThan(2);
      // Each was either restated or is marked or STALE.
      const count = await eventually(
        async () => {
          const [row] = await querySql<{ marked: number; restated: number }>(
            deployment,
            `SELECT count(*) FILTER (WHERE d.touched_at IS NOT NULL OR d.stale_since IS NOT NULL OR d.revision > 1)::int AS marked,
               count(*) FILTER (WHERE d.revision > 1)::int AS restated
             FROM deliveries d JOIN jobs j ON j.id = d.job_id WHERE j.name LIKE 'crowd%'`,
          );
          return row ?? { marked: 0, restated: 0 };
        },
        ({ marked }) => marked === JOBS * DAYS,
      );
      expect(count.restated).toBeGreaterThan(MAX_RESTATEMENTS);
      await tally({
        scenario: 10,
        done: `one operation changes ${counted(JOBS * DAYS, 'delivered windows')} of ${counted(JOBS, 'jobs')} shortly before a slot of ${OTHERS} other jobs`,
        tried: `${counted(OTHERS * SLOTS, 'runs')} of ${SLOTS} slots, of which the median started all at most ${slowest.toFixed(1)} s after it; at most ${most} restatements at a time, ${counted(count.restated, 'in all')}`,
        lost: 0,
        twice: 0,
      });
    } finally {
      await deployment.close();
    }
  },
);
