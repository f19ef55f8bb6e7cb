import { createAccountNames } from '../accounts/accounts.ts';
import { createKeyHasher, type KeyHasher } from '../streams/key-hashes/key-hasher.ts';
import { startDeliveryChecker } from '../background/delivery-checker.ts';
import { startDeliverySweeper } from '../background/delivery-sweeper.ts';
import { startLedgerScanner } from '../background/ledger-scanner.ts';
import { startMailer } from '../background/mailer.ts';
import { startReaper } from '../background/reaper.ts';
import { startRunWorker } from '../background/run-worker.ts';
import { startScheduler } from '../background/scheduler.ts';
import { startStagingSweeper } from '../background/staging-sweeper.ts';
import { startTotalsMerger, startTotalsSweep } from '../background/totals-merger.ts';
import { bucketWriter } from '../config/config.ts';
import { isUnavailable } from '../db/failures.ts';
import { createRowReaders } from '../db/row-readers.ts';
import { adoptDeliveries } from '../deliveries/adopt-deliveries.ts';
import { withMetrics } from '../exports/object-store-metrics.ts';
import { createMemoryBudget } from '../exports/memory-budget.ts';
import { createReadReplica } from '../exports/read-replica.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { throttle } from '../lib/throttle.ts';
import { sweepBackfills } from '../runs/backfills/advance.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { StreamQueue } from '../streams/stream-queue.ts';
import type { MergeCandidates } from '../streams/totals/merge-candidates.ts';
import type { AppResources } from './resources.ts';

const ATTEMPT_OUTCOMES = {
  SUCCEED: 'succeeded',
  FAIL: 'failed',
  SKIP: 'skipped',
  RETRY: 'retried',
  STOPPED: 'stopped',
} as const;
const RUN_STATUSES = { SUCCEED: 'SUCCEEDED', FAIL: 'FAILED' } as const;
const SCHEDULE_MS = 1000;
const REAP_MS = 2000;
/** Interval at which each part logs that the database is unavailable. */
const LOG_UNAVAILABLE_MS = 30_000;
const SWEEP_MS = 300_000;
const MERGE_MS = 15_000;
const SCAN_MS = 1000;
const CHECK_MS = 1000;
const DELIVERY_SWEEP_MS = 60_000;
const ADOPT_MS = 3_600_000;
/** Margin beyond the longest time for which a request can still use the records that it staged. */
const SWEEP_MARGIN_MS = 900_000;

/** While the database is unavailable, each attempt of a part fails in the same way, so only one in 30 seconds is logged. */
function logFailures(log: AppResources['log'], part: string): (error: unknown) => void {
  const logError = (error: unknown): void => log.error({ err: error }, `the ${part} failed; retrying`);
  const logUnavailable = throttle(LOG_UNAVAILABLE_MS, logError);
  return (error) => (isUnavailable(error) ? logUnavailable(error) : logError(error));
}

/** Merges the totals of the streams that this server writes. */
export function startMerger({ database, log }: AppResources, mergeCandidates: MergeCandidates): Stoppable {
  return startTotalsMerger({
    db: database.acrossAccounts,
    mergeCandidates,
    everyMs: MERGE_MS,
    onError: logFailures(log, 'merger of totals'),
  });
}

/** Hashes the keys of streams in which this server looks up few keys at a time. */
export function startKeyHasher({ database, log }: AppResources, streamQueue: StreamQueue): KeyHasher {
  return createKeyHasher({
    dbOf: (accountId) => database.forAccount(accountId),
    streamQueue,
    onError: logFailures(log, 'hashing of keys'),
  });
}

/** Starts everything that a worker does besides requests: schedule, runs, mail and sweeps. */
export async function startBackground(resources: AppResources, metrics: Metrics): Promise<Stoppable[]> {
  const { config, database, queue, log, tracer } = resources;
  const onError = (part: string) => logFailures(log, part);
  const db = database.acrossAccounts;
  const accountName = createAccountNames(db);
  const { isPooled } = database;
  const max = config.exportConcurrency;
  const readers = createRowReaders({ url: database.url, isPooled, max });
  const { databaseReadUrl, databaseReadWaitMs: waitMs } = config;
  const replicaReaders =
    databaseReadUrl === null ? null : createRowReaders({ url: databaseReadUrl, isPooled, max, connectMs: waitMs });
  const replica =
    replicaReaders === null
      ? null
      : createReadReplica({
          readers: replicaReaders,
          waitMs,
          onLeftOut: (error) =>
            log.warn({ err: error }, 'exports read from DATABASE_URL for a minute: the standby is down or behind'),
        });
  const parts: Stoppable[] = [
    startScheduler({
      db: database.schedule,
      queue,
      tracer,
      everyMs: SCHEDULE_MS,
      maxCatchUp: config.maxCatchUp,
      onError: onError('scheduler'),
    }),
    startReaper({
      db: database.schedule,
      queue,
      everyMs: REAP_MS,
      onFailed: (seconds) => metrics.runEnded('FAILED', seconds),
      onError: onError('reaper'),
    }),
    startLedgerScanner({
      db: database.corrections,
      queue,
      everyMs: SCAN_MS,
      seconds: { least: config.ledgerScanSeconds, most: config.ledgerScanIdleSeconds },
      writeSeconds: config.intakeMaxSeconds,
      onError: onError('scan of a ledger'),
    }),
    startDeliveryChecker({
      db: database.corrections,
      queue,
      everyMs: CHECK_MS,
      checkSeconds: config.deliveryCheckSeconds,
      maxChangedKeys: config.maxChangedKeys,
      retentionDays: config.correctionRetentionDays,
      limits: { deployment: config.restatementConcurrency, account: config.restatementsPerAccount },
      onError: onError('check of deliveries'),
    }),
    repeat(() => sweepBackfills(database.schedule, queue, onError('advance of a backfill')), {
      everyMs: SCHEDULE_MS,
      onError: onError('advance of backfills'),
    }),
    startDeliverySweeper({
      db: database.corrections,
      everyMs: DELIVERY_SWEEP_MS,
      retentionDays: config.correctionRetentionDays,
      onError: onError('sweep of deliveries'),
    }),
    // For windows that servers of versions without deliveries delivered, now or in a rolling upgrade.
    repeat(() => adoptDeliveries(db), { everyMs: ADOPT_MS, onError: onError('adoption of deliveries') }),
    startStagingSweeper({
      db,
      everyMs: SWEEP_MS,
      olderThanMs: 2 * config.intakeMaxSeconds * 1000 + SWEEP_MARGIN_MS,
      onError: onError('sweeper of staged records'),
    }),
    startTotalsSweep({ db, everyMs: MERGE_MS, onError: onError('sweep of totals') }),
    await startMailer({
      db,
      queue,
      mail: resources.mail,
      maxCatchUp: config.maxCatchUp,
      log,
      accountName,
      onTried: metrics.mailSent,
    }),
  ];
  const runWorker = await startRunWorker({
    exports: {
      database,
      readers,
      replica,
      store: withMetrics(resources.store, metrics.objectPut),
      memory: createMemoryBudget(config.exportMemory),
      limits: {
        partBytes: config.partBytes,
        maxFilledRows: config.maxFilledRows,
        correctionRetentionDays: config.correctionRetentionDays,
      },
    },
    queue,
    log,
    tracer,
    accountName,
    writer: bucketWriter(config),
    concurrency: config.exportConcurrency,
    leaseMs: config.leaseSeconds * 1000,
    heartbeatMs: config.heartbeatMs,
    graceMs: config.graceSeconds * 1000,
    onEnded: (end, seconds, progress) => {
      metrics.attemptEnded(ATTEMPT_OUTCOMES[end?.event ?? 'STOPPED'], seconds, progress);
      if (end?.event === 'SUCCEED' || end?.event === 'FAIL') metrics.runEnded(RUN_STATUSES[end.event], end.runSeconds);
    },
  });
  return [
    ...parts,
    {
      stop: async () => {
        await runWorker.stop();
        await Promise.all([readers.stop(), replicaReaders?.stop()]);
      },
    },
  ];
}
