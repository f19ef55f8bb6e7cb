import { toSlug } from '../../src/jobs/destination.ts';
import { hashOutput } from '../../src/jobs/export-fingerprint.ts';
import type { JobSettings } from '../../src/jobs/settings.ts';
import { innerId, querySql, type StepServer } from './job-steps.ts';

/**
 * Copies a job with its deliveries in the database, since thousands of jobs would be created and run for minutes through the API. The
 * copies are named like the job with the numbers from 1 on. Their objects are not stored.
 *
 * @param change returns the settings that differ in the copy with this number
 */
export async function copyJob(
  server: Pick<StepServer, 'database'>,
  jobId: string,
  count: number,
  change: (number: number) => Partial<JobSettings> = () => ({}),
): Promise<void> {
  const id = innerId(jobId);
  const [job] = await querySql<{ settings: JobSettings }>(server, 'SELECT settings FROM jobs WHERE id = $1', [id]);
  if (!job) throw new Error('The job does not exist.');
  const copies = Array.from({ length: count }, (_, index): JobSettings => {
    const jobName = `${job.settings.jobName} ${index + 1}`;
    return { ...job.settings, jobName, ...change(index + 1) };
  });
  await querySql(
    server,
    `INSERT INTO jobs (id, account_id, name, enabled, settings, destination, output_sha256, restates_since, settle_seconds, created_at, updated_at)
     SELECT gen_random_uuid(), account_id, u.settings ->> 'jobName', enabled, u.settings,
       destination || '-' || u.number, u.output, restates_since, settle_seconds, created_at, updated_at
     FROM jobs, unnest($2::jsonb[], $3::bytea[]) WITH ORDINALITY AS u(settings, output, number) WHERE id = $1`,
    [
      id,
      copies.map((settings) => JSON.stringify(settings)),
      copies.map((settings) => `\\x${hashOutput(settings).toString('hex')}`),
    ],
  );
  await querySql(
    server,
    `INSERT INTO deliveries (id, account_id, job_id, bucket, manifest_key, slot, window_start, window_end, whole_until, owed_until,
       date_start, date_whole_until, date_owed_until, by_slot, output_sha256, last_revision, revision, run_id,
       watermark, watermark_epoch, watermark_at, delivered_at)
     SELECT gen_random_uuid(), d.account_id, c.id, d.bucket, replace(d.manifest_key, '/' || s.slug || '/', '/' || s.copied || '/'),
       d.slot, d.window_start, d.window_end, d.whole_until, d.owed_until, d.date_start, d.date_whole_until, d.date_owed_until, true,
       c.output_sha256, d.last_revision, d.revision, d.run_id, d.watermark, d.watermark_epoch, d.watermark_at, d.delivered_at
     FROM deliveries d, jobs c, unnest($2::text[], $3::text[], $4::text[]) AS s(name, slug, copied)
     WHERE d.job_id = $1 AND c.account_id = d.account_id AND c.name = s.name`,
    [
      id,
      copies.map(({ jobName }) => jobName),
      copies.map(() => toSlug(job.settings.jobName)),
      copies.map(({ jobName }) => toSlug(jobName)),
    ],
  );
  await querySql(server, 'ANALYZE jobs, deliveries');
}
