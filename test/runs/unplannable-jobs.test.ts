import { expect, test } from 'vitest';
import { createJob, endedRunsOf, innerId, querySql, readRun, runsOf, updateJob } from '../support/job-steps.ts';
import { createLogLines } from '../support/log-lines.ts';
import { startTestServer } from '../support/server.ts';

/** More jobs than one transaction of the scheduler plans. */
const MANY = 250;
const DUE = new Date('2026-01-28T02:00:00Z');

test('scheduler > reports jobs whose settings are no longer valid, plans the others, and loses no slot', async () => {
  const { log, lines } = createLogLines();
  const server = await startTestServer({ resources: { log } });
  try {
    const cron = '0 2 28 1 *';
    const bad = await createJob(server, { jobName: 'bad', enabled: true, cron });
    const good = await createJob(server, { jobName: 'good', enabled: true, cron });
    // As if stored by a version with other rules for S3 buckets, and many of them, all due before the valid job.
    await querySql(
      server,
      `WITH spoilt AS (UPDATE jobs SET settings = jsonb_set(settings, '{s3Url}', '"arn:aws:s3:::bad"') WHERE id = $1 RETURNING *),
       copied AS (INSERT INTO jobs (id, account_id, name, enabled, settings, destination, version, next_run_at, created_at, updated_at)
         SELECT gen_random_uuid(), account_id, name || n, enabled, settings, destination || n, 1, $2::timestamptz - interval '1 day', created_at, updated_at
         FROM spoilt, generate_series(1, $3::int) n)
       SELECT 1`,
      [innerId(bad), DUE, MANY],
    );
    await querySql(server, `UPDATE jobs SET next_run_at = $1 WHERE name IN ('bad', 'good')`, [DUE]);
    const [run] = await endedRunsOf(server, good, 1);
    expect(run).toMatchObject({ status: 'SUCCEEDED', scheduledFor: '2026-01-28T02:00:00Z' });

    const told = lines().filter(({ msg }) => msg.startsWith('the scheduler failed'));
    expect(new Set(told.map(({ err }) => err?.message)).size).toBe(MANY + 1);
    // By the public id.
    expect(told.some(({ err }) => err?.message.includes(` ${bad} `))).toBe(true);
    expect(told.every(({ err }) => JSON.stringify(err?.cause).includes('ARN'))).toBe(true);
    expect(await runsOf(server, bad)).toEqual([]);
    const waiting = await querySql<{ due: number }>(
      server,
      `SELECT count(*)::int AS due FROM jobs WHERE name LIKE 'bad%' AND next_run_at <= $1`,
      [DUE],
    );
    expect(waiting).toEqual([{ due: MANY + 1 }]);

    // After an update its slot runs, immediately on a server that has not skipped it.
    await updateJob(server, bad, { s3Url: 'exports/good' });
    const other = await startTestServer({ database: server.database, s3: server.s3 });
    try {
      const [late] = await endedRunsOf(server, bad, 1);
      expect(await readRun(server, late?.id ?? '')).toMatchObject({
        status: 'SUCCEEDED',
        scheduledFor: '2026-01-28T02:00:00Z',
      });
    } finally {
      await other.stop();
    }
  } finally {
    await server.stop();
  }
});
