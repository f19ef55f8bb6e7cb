import { type Figure, median } from '../support/figures.ts';
import { createJobs, runJob } from '../support/jobs.ts';
import { ask } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// The overview of an account with a long history, all of whose operations are of the last 30 days.

const JOBS = 1000;
const RUNS_OF_A_JOB = 1000;
const DELIVERIES_OF_A_JOB = 100;
const OPERATIONS = 1_000_000;
const TRIES = 15;
const AT_MOST_MS = 100;

const QUERY = `{ overview { at failingRuns { id } failingJobCount jobsWithWarnings { id } jobWithWarningsCount attentionDeliveries { id }
  staleDeliveryCount missingDeliveryCount queueLagSeconds runsLast24Hours { count } intake { operations } nextSlots { scheduledFor } } }`;

interface Answer {
  readonly overview: { readonly intake: readonly { readonly operations: number }[] };
}

export async function measureOverview(stage: Stage): Promise<Figure[]> {
  const server = await stage.server({ ROLE: 'all' });
  await fillStream(server.url, 'usage', { days: 1, keys: 1, repeats: 1 });
  const [first = ''] = await createJobs(server.url, JOBS, (number) => ({
    jobName: `job ${number}`,
    s3Url: `bench-bucket/exports/${number}`,
    cron: '15 6 * * *',
    enabled: true,
    range: 'ago(1d)',
  }));
  await runJob(server.url, first);
  await fill(stage);
  const seconds: number[] = [];
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const begun = performance.now();
    const { overview } = await ask<Answer>(server.url, QUERY);
    seconds.push(performance.now() - begun);
    const operations = overview.intake.reduce((sum, day) => sum + day.operations, 0);
    if (operations < OPERATIONS) throw new Error(`${operations} operations, not ${OPERATIONS}.`);
  }
  await server.stop();
  return [
    {
      what: `overview of ${JOBS} jobs, ${JOBS * RUNS_OF_A_JOB} runs, ${JOBS * DELIVERIES_OF_A_JOB} deliveries and ${OPERATIONS} operations of 30 days`,
      against: '',
      value: median(seconds),
      unit: 'ms',
      bound: { atMost: AT_MOST_MS },
      details: { firstMs: seconds[0] ?? 0 },
    },
  ];
}

/** Multiplies the operation, the run and the delivery of the stage. A run of an hour each, and an operation every 2.5 seconds. */
async function fill(stage: Stage): Promise<void> {
  const client = await stage.connect();
  await client.query(`UPDATE jobs SET warnings = '{A warning.}' WHERE name LIKE '%50'`);
  await client.query(
    `INSERT INTO runs SELECT copy.* FROM (SELECT * FROM runs LIMIT 1) r, generate_series($1::int - 1, 0, -1) n, jobs j,
       jsonb_populate_record(NULL::runs, to_jsonb(r) || jsonb_build_object('id', gen_random_uuid(), 'job_id', j.id, 'trigger', 'MANUAL',
         'status', CASE WHEN n = 0 AND j.name LIKE '%20' THEN 'FAILED' ELSE 'SUCCEEDED' END, 'manifest_key', j.name || '/' || n,
         'created_at', now() - n * interval '1 hour', 'finished_at', now() - n * interval '1 hour')) copy`,
    [RUNS_OF_A_JOB],
  );
  await client.query(
    `INSERT INTO deliveries SELECT copy.* FROM (SELECT * FROM deliveries LIMIT 1) d, generate_series(1, $1::int) n, jobs j,
       jsonb_populate_record(NULL::deliveries, to_jsonb(d) || jsonb_build_object('id', gen_random_uuid(), 'job_id', j.id,
         'manifest_key', j.name || '/' || n, 'window_start', d.window_start - n * interval '1 day',
         'window_end', d.window_end - n * interval '1 day', 'owed_until', d.window_end - n * interval '1 day',
         'output_sha256', j.output_sha256, 'revision', (n <> 1)::int, 'stale_since', CASE WHEN n % 20 = 2 THEN now() END)) copy`,
    [DELIVERIES_OF_A_JOB],
  );
  await client.query(
    `INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, inserted_records, hidden_records, content_sha256, totalled)
     SELECT o.account_id, nextval('operation_ids'), o.stream_id, 'SUM', now() - n * interval '2.5 s', pg_current_xact_id(), 100, 0, '', true
     FROM (SELECT * FROM operations ORDER BY id LIMIT 1) o, generate_series($1::int, 1, -1) n`,
    [OPERATIONS],
  );
  await client.query('VACUUM ANALYZE');
}
