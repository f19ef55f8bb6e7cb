import { setTimeout as sleep } from 'node:timers/promises';
import { type Figure, median } from '../support/figures.ts';
import { createJob, runJob } from '../support/jobs.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// A restatement computes what changed since the delivered revision, and exports the window: compared with an export alone, or, if the
// export reads totals instead of records, with PostgreSQL's own sums of the records of the window. A restatement reads them in one
// process: the operations that it looks for are a CTE, which parallel workers cannot read.

const STREAM = 'restated';
const SHAPE = { days: 30, keys: 1_000_000, repeats: 1 };
const LATE = 1000;
const ROUNDS = 3;
/** Long after the bounds, so that a slow server is still measured. */
const PATIENCE_MS = 180_000;
const POLL_MS = 20;

export async function measureRestatements(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  await fillStream(server.url, STREAM, SHAPE);
  const client = await stage.connect();
  await client.query('VACUUM ANALYZE records, totals, filters, operations');
  /** Returns the seconds that the last run of the job with the trigger took, from its start to its end. */
  const secondsOf = async (jobId: string, trigger: string): Promise<number> => {
    const { rows } = await client.query<{ seconds: number | null }>(
      `SELECT extract(epoch FROM finished_at - started_at)::float8 AS seconds FROM runs
       WHERE job_id = $1 AND trigger = $2 AND status = 'SUCCEEDED' ORDER BY created_at DESC LIMIT 1`,
      [jobId, trigger],
    );
    const seconds = rows[0]?.seconds;
    if (seconds == null) throw new Error(`No ${trigger} run has SUCCEEDED.`);
    return seconds;
  };
  const restate = async (jobId: string, revision: number): Promise<void> => {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      // A correction waits for restateAfter before its check.
      await client.query('UPDATE deliveries SET check_at = now() WHERE job_id = $1 AND check_at > now()', [jobId]);
      const { rowCount } = await client.query('SELECT FROM deliveries WHERE job_id = $1 AND revision = $2', [
        jobId,
        revision,
      ]);
      if (rowCount === 1) return;
      if (performance.now() > deadline) throw new Error(`Revision ${revision} was not delivered.`);
      await sleep(POLL_MS);
    }
  };

  await client.query('SET max_parallel_workers_per_gather = 0');
  const sumByRegion = async (): Promise<number> => {
    const begun = performance.now();
    const { rowCount } = await client.query(
      `SELECT f.region, r.bucket_start, sum(r.value) FROM records r
       JOIN (SELECT id, stream_id, dimensions -> 'region' AS region FROM filters) f ON f.stream_id = r.stream_id AND f.id = r.filter_id
       WHERE r.hidden_by IS NULL GROUP BY f.region, r.bucket_start`,
    );
    if (!rowCount) throw new Error('There are no records.');
    return (performance.now() - begun) / 1000;
  };

  const figures: Figure[] = [];
  for (const dimension of ['element', 'region']) {
    const jobId = await createJob(server.url, {
      jobName: `restated by ${dimension}`,
      meterApiNames: [STREAM],
      groupBy: [dimension],
      enabled: true,
      cron: '0 0 1 1 *',
      restatement: 'AUTOMATIC',
    });
    const inner = Buffer.from(jobId, 'base64').toString().replace(/^Job:/, '');
    const rounds: { readonly exported: number; readonly restated: number; readonly summed: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await runJob(server.url, jobId);
      const exported = await secondsOf(inner, 'MANUAL');
      await fillStream(server.url, STREAM, { ...SHAPE, keys: LATE });
      await restate(inner, 2 * (round + 1));
      rounds.push({
        exported,
        restated: await secondsOf(inner, 'RESTATEMENT'),
        summed: dimension === 'region' ? await sumByRegion() : Number.NaN,
      });
    }
    // The corrections of the next dimension concern the deliveries of this job too.
    await client.query('UPDATE jobs SET enabled = false WHERE id = $1', [inner]);
    const exportSeconds = median(rounds.map(({ exported }) => exported));
    const restatementSeconds = median(rounds.map(({ restated }) => restated));
    const sumSeconds = median(rounds.map(({ summed }) => summed));
    const isFromTotals = dimension === 'region';
    figures.push({
      what: `restatement after ${LATE} late records of a window of ${SHAPE.keys} records by ${dimension}`,
      against: isFromTotals ? "PostgreSQL's sums of the same records in one process" : 'an export of the same window',
      value: restatementSeconds / (isFromTotals ? sumSeconds : exportSeconds),
      unit: 'x',
      bound: { atMost: 3 },
      details: { exportSeconds, restatementSeconds, ...(isFromTotals && { sumSeconds }) },
    });
  }
  await server.stop();
  return figures;
}
