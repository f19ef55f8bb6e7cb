import { type Context, type Span, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import pLimit from 'p-limit';
import type { Logger } from 'pino';
import { encodeGlobalId } from '../lib/global-ids.ts';
import { consume, RUN_QUEUE, type RunMessage, formatWakeUpKey, type Queue } from '../db/queue.ts';
import type { Progress } from '../exports/object-writer.ts';
import { type ExportContext, writeExport } from '../exports/write-export.ts';
import type { BucketWriter } from '../exports/bucket-policy.ts';
import { toRunFailure } from '../exports/run-failure.ts';
import { parseDestination } from '../jobs/destination.ts';
import { readSetting } from '../jobs/settings.ts';
import type { Stoppable } from '../lib/lifecycle.ts';
import { withSpan } from '../lib/spans.ts';
import { claimRun } from '../runs/claim.ts';
import {
  type AttemptEnd,
  endAttempt,
  requeueOnShutdown,
  type LeasedRun,
  LeaseLostError,
  releaseLease,
  type Outcome,
} from '../runs/lease.ts';
import { startHeartbeat } from '../runs/heartbeat.ts';
import { statusAfter } from '../runs/run-status.ts';
import { type EndedStatus, recordRunEnd, traceAttempt } from '../runs/run-traces.ts';

export interface RunWorkerOptions {
  readonly exports: ExportContext;
  readonly queue: Queue;
  readonly log: Logger;
  readonly tracer: Tracer;
  /** Returns the name of an account for the log; null if it cannot be read. */
  readonly accountName: (id: bigint) => Promise<string | null>;
  /** Named in the bucket policy that the message of ACCESS_DENIED contains. */
  readonly writer: BucketWriter;
  /** Maximum number of concurrent runs. */
  readonly concurrency: number;
  readonly leaseMs: number;
  /** Interval at which the lease is renewed and the progress stored. */
  readonly heartbeatMs: number;
  /** How long active exports may continue after stop() before their runs are requeued. */
  readonly graceMs: number;
  /** @param end null if the attempt was stopped: the run was canceled, taken over or requeued */
  readonly onEnded: (end: AttemptEnd | null, seconds: number, progress: Readonly<Progress>) => void;
}

/** Maximum delay of a retry. The first pause between attempts is about 1 s. */
const POLLING_SECONDS = 1;

/** Takes messages from the queue, claims runs and executes them. */
export async function startRunWorker(options: RunWorkerOptions): Promise<Stoppable> {
  const { queue, log } = options;
  /** Aborted when the grace period after stop() has ended. */
  const shutdown = new AbortController();
  const active = new Set<Promise<void>>();
  let stopping = false;

  // pg-boss gives up a message after a while and delivers the next one, although the export of the first continues.
  const limit = pLimit(options.concurrency);

  const handleJob = async (jobId: string): Promise<void> => {
    try {
      // Returned to the queue, so that another server takes it immediately instead of when the reaper finds it stale.
      if (stopping) await queue.send(RUN_QUEUE, { jobId }, { singletonKey: jobId });
      else await claimAndExecute(options, jobId, shutdown.signal);
    } catch (error) {
      log.error(
        { err: error, jobId: encodeGlobalId('Job', jobId) },
        'a run could not be started or ended; it is retried when its lease expires',
      );
    }
  };

  const handle = async (jobId: string): Promise<void> => {
    const work = limit(handleJob, jobId);
    active.add(work);
    await work;
    active.delete(work);
  };

  await consume<RunMessage>(
    queue,
    RUN_QUEUE,
    { workers: options.concurrency, pollingSeconds: POLLING_SECONDS },
    (message) => handle(message.jobId),
  );

  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping = true;
    await queue.offWork(RUN_QUEUE, { wait: false });
    const grace = setTimeout(() => shutdown.abort(new Shutdown()), options.graceMs);
    while (active.size > 0) await Promise.allSettled(active);
    clearTimeout(grace);
  };
  return { stop: () => (stopped ??= stop()) };
}

/** Abort reason of runs that are stopped because the process shuts down. */
class Shutdown extends Error {}

/** Claims the next run of the job and executes one attempt. Sends another message for later if the run has to wait. */
async function claimAndExecute(options: RunWorkerOptions, jobId: string, shutdown: AbortSignal): Promise<void> {
  const { queue, leaseMs } = options;
  const db = options.exports.database.runs;
  // Taken before the claim is sent: the lease starts while the claim is in flight.
  const claimSentAt = performance.now();
  const askedAt = new Date();
  const claim = await claimRun(db, jobId, leaseMs);
  if (!claim) return;
  if ('pausedUntil' in claim) {
    const { pausedUntil } = claim;
    await queue.sendAfter(RUN_QUEUE, { jobId }, { singletonKey: formatWakeUpKey(jobId, pausedUntil) }, pausedUntil);
    return;
  }
  const { run } = claim;
  const { tracer } = options;
  await traceAttempt(tracer, run, askedAt, { 'sluice.run.attempt': run.attempt }, (span, context) => {
    tracer.startSpan('claim', { startTime: askedAt }, context).end();
    return executeAttempt(options, run, claimSentAt, shutdown, { span, context });
  });
}

/** @param claimSentAt on this process's monotonic clock */
async function executeAttempt(
  options: RunWorkerOptions,
  run: LeasedRun,
  claimSentAt: number,
  shutdown: AbortSignal,
  { span, context }: { readonly span: Span; readonly context: Context },
): Promise<void> {
  const { queue, tracer } = options;
  const db = options.exports.database.runs;
  const log = options.log.child({
    runId: encodeGlobalId('Run', run.id),
    jobId: encodeGlobalId('Job', run.jobId),
    jobName: run.settings.jobName,
    account: await options.accountName(run.accountId),
    accountId: String(run.accountId),
    attempt: run.attempt,
    ...(span.isRecording() && { traceId: span.spanContext().traceId }),
  });
  log.info('run started');
  const begun = performance.now();
  const progress: Progress = { rows: 0, bytes: 0, isRewriting: false, warnings: [...run.warnings] };
  const heartbeat = startHeartbeat({
    db: options.exports.database.leases,
    run,
    leaseMs: options.leaseMs,
    heartbeatMs: options.heartbeatMs,
    claimSentAt,
    progress,
    onError: (error) => log.warn({ err: error }, 'lease renewal failed; retrying'),
  });
  const signal = AbortSignal.any([heartbeat.lost, shutdown]);
  const attempt = async (): Promise<Outcome | null> => {
    try {
      return await withSpan(tracer, 'export', {}, context, (_span, traceContext) =>
        writeExport(options.exports, run, progress, {
          signal,
          assertLeaseCurrent: () => heartbeat.assertLeaseCurrent(),
          tracer,
          traceContext,
        }),
      );
    } catch (error) {
      // If the signal was aborted, its reason decides, not the error that the abort caused.
      if (signal.aborted || error instanceof LeaseLostError) return null;
      const encryption = readSetting(run.settings, 'encryption');
      const failure = {
        ...toRunFailure(error, { ...parseDestination(run.settings), ...options.writer, encryption }),
        // An attempt that ended with its server is not counted.
        ...((progress.isRewriting || run.isResumed) && { mayHaveWritten: true }),
      };
      log.warn({ err: error, failure }, 'attempt failed');
      span.setStatus({ code: SpanStatusCode.ERROR, message: failure.code });
      return { event: 'FAIL', failure };
    }
  };
  const outcome = await attempt();
  await heartbeat.stop();
  const seconds = (performance.now() - begun) / 1000;
  let end: AttemptEnd | null = null;
  if (outcome) {
    end = await withSpan(tracer, 'end', {}, context, () =>
      endAttempt(db, queue, run, outcome, progress.warnings, Math.random()),
    );
    log.info(
      {
        event: outcome.event,
        status: end && statusAfter(end.event),
        seconds,
        rows: progress.rows,
        bytes: progress.bytes,
        ...(outcome.event === 'FAIL' && { failure: outcome.failure }),
        ...(outcome.event === 'SKIP' && { reason: outcome.reason.code }),
      },
      'attempt ended',
    );
    const warnings = progress.warnings.filter((warning) => !run.warnings.includes(warning));
    // Those that an earlier attempt stored were logged with it.
    if (end && warnings.length > 0) log.warn({ warnings }, 'the run has warnings');
  } else if (signal.reason instanceof Shutdown) {
    await requeueOnShutdown(db, queue, run);
    log.info({ seconds }, 'run released on shutdown; another worker will resume it');
  } else {
    await releaseLease(db, queue, run);
    log.info({ seconds }, 'run released: it was canceled or its lease was lost');
  }
  const written = { 'sluice.export.rows': progress.rows, 'sluice.export.bytes': progress.bytes };
  span.setAttributes(written);
  if (end && end.event !== 'RETRY') recordRunEnd(tracer, run, statusAfter(end.event) as EndedStatus, written);
  options.onEnded(end, seconds, progress);
}
