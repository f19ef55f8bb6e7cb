import { sql } from 'drizzle-orm';
import type { Executor } from '../db/client.ts';
import { manifestNames } from '../jobs/destination.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { type DeliveredRun, IS_OVERWRITTEN } from './end-deliveries.ts';

/** The revision in the S3 bucket that a run replaces. */
export interface Superseded {
  readonly jobId: string;
  readonly revision: number;
  readonly runId: string;
  readonly watermark: string | null;
  readonly watermarkEpoch: string | null;
  readonly watermarkAt: Date | null;
  readonly outputSha256: Buffer;
  /** Whether a run that did not succeed may have overwritten it since. */
  readonly isOverwritten: boolean;
  readonly objects: readonly { readonly key: string; readonly sha256: string }[];
}

/** Returns the newest revision at the place of the run; null if the window was never delivered. */
export async function findSuperseded(
  db: Executor,
  { bucket, manifestKey }: Pick<DeliveredRun, 'bucket' | 'manifestKey'>,
): Promise<Superseded | null> {
  const { rows } = await db.execute<{
    job_id: string;
    revision: number;
    run_id: string;
    watermark: string | null;
    watermark_epoch: string | null;
    watermark_at: string | null;
    output_sha256: Buffer;
    is_overwritten: boolean;
    objects: { key: string; sha256: string }[] | null;
  }>(sql`
    SELECT d.job_id, d.revision, d.run_id, d.watermark, d.watermark_epoch, d.output_sha256, ${IS_OVERWRITTEN} AS is_overwritten,
      to_char(d.watermark_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS watermark_at,
      (
      SELECT json_agg(json_build_object('key', o.key, 'sha256', o.sha256) ORDER BY o.ordinal)
      FROM run_objects o WHERE o.run_id = d.run_id AND o.written_at IS NOT NULL) AS objects
    FROM deliveries d WHERE d.bucket = ${bucket} AND d.manifest_key = ${manifestNames(manifestKey).current} AND d.revision > 0
    ORDER BY d.revision DESC LIMIT 1`);
  const [found] = rows;
  if (!found) return null;
  return {
    jobId: found.job_id,
    revision: found.revision,
    runId: found.run_id,
    watermark: found.watermark,
    watermarkEpoch: found.watermark_epoch,
    watermarkAt: found.watermark_at === null ? null : new Date(found.watermark_at),
    outputSha256: found.output_sha256,
    isOverwritten: found.is_overwritten,
    objects: found.objects ?? [],
  };
}

/** Whether the job has another output now than the run, which must not write it any more if it has not started. */
export async function isOutdated(db: Executor, run: DeliveredRun): Promise<boolean> {
  const { rows } = await db.execute(sql`
    SELECT 1 FROM jobs WHERE id = ${run.jobId} AND output_sha256 <> ${hashOutput(run.settings)}::bytea`);
  return rows.length > 0;
}
