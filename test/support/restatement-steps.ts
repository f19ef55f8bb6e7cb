import { createHash } from 'node:crypto';
import { sendWakeUps } from '../../src/db/queue.ts';
import { encodeGlobalId } from '../../src/lib/global-ids.ts';
import { newId } from '../../src/lib/ids.ts';
import { endedRun, innerId, querySql, type RunView } from './job-steps.ts';
import type { TestServer } from './server.ts';

export interface RestatementOptions {
  readonly reason?: 'CORRECTION' | 'COMPLETE';
  /** Start of the window, as in the API. Defaults to the only delivery of the job. */
  readonly windowStart?: string;
}

/** Queues a RESTATEMENT of a delivery of the job, with the current settings of the job, and returns the id of the run. */
export async function queueRestatement(
  server: TestServer,
  jobId: string,
  { reason = 'CORRECTION', windowStart }: RestatementOptions = {},
): Promise<string> {
  const id = newId(new Date());
  const inserted = await querySql(
    server,
    `INSERT INTO runs (id, account_id, job_id, trigger, turn, reason, status, scheduled_for, window_start, window_end, settings, bucket,
       manifest_key, created_at)
     SELECT $1::uuid, d.account_id, d.job_id, 'RESTATEMENT', 1, $2, 'QUEUED', d.slot, d.window_start, d.window_end, j.settings, d.bucket,
       d.manifest_key, now()
     FROM deliveries d JOIN jobs j ON j.id = d.job_id WHERE d.job_id = $3 AND ($4::timestamptz IS NULL OR d.window_start = $4)
     RETURNING id`,
    [id, reason, innerId(jobId), windowStart ?? null],
  );
  if (inserted.length !== 1) throw new Error(`The job has ${inserted.length} deliveries.`);
  await server.resources.database.acrossAccounts.transaction((tx) =>
    sendWakeUps(server.resources.queue, tx, [{ jobId: innerId(jobId) }]),
  );
  return encodeGlobalId('Run', id);
}

export async function restate(server: TestServer, jobId: string, options?: RestatementOptions): Promise<RunView> {
  return endedRun(server, await queueRestatement(server, jobId, options));
}

/** Stores an object in the bucket `exports`, with the credentials of the server. */
export async function putManifest(server: TestServer, key: string, body: Buffer): Promise<void> {
  await server.resources.store.put({
    bucket: 'exports',
    bucketOwner: null,
    key,
    body,
    contentType: 'application/json',
    sha256Hex: createHash('sha256').update(body).digest('hex'),
    signal: new AbortController().signal,
  });
}

/**
 * Changes the window of a run to what a version before the underscore would have written, and returns the key of its manifest. The
 * manifest with the current name remains.
 */
export async function nameAsBefore(server: TestServer, { id, manifestKey }: RunView): Promise<string> {
  const current = manifestKey ?? '';
  const former = current.replace(/\/_([^/]*)$/, '/$1');
  await putManifest(server, former, server.s3.object('exports', current)?.body ?? Buffer.alloc(0));
  await querySql(server, 'UPDATE runs SET manifest_key = $2 WHERE id = $1', [innerId(id), former]);
  return former;
}
