import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  date,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import { bytea, id64, timestamptz, xid8 } from './columns.ts';
import type { JsonColumns, RunFailure } from './json-columns.ts';
import { ownedBy } from './policies.ts';
import { jobs } from './tables.ts';

// The tables of delivered windows: what is in the S3 buckets, and which corrections of the ledger concern it. Local to the coordinator of
// a distributed database.

/** SQL: since when a delivery whose restatement cannot be queued yet waits. */
export const WAITING_SINCE = sql.raw('(coalesce(stale_since, touched_at))');

/** A window of a job at one place in the S3 bucket, written any number of times. Created with the first run of the window. */
export const deliveries = pgTable(
  'deliveries',
  {
    id: uuid('id').primaryKey(),
    accountId: id64('account_id').notNull(),
    jobId: uuid('job_id')
      .notNull()
      .references(() => jobs.id),
    bucket: text('bucket').notNull(),
    /** The current name of the manifest, with the underscore. */
    manifestKey: text('manifest_key').notNull(),
    /** Slot of the run that delivered, or of the first run. */
    slot: timestamptz('slot').notNull(),
    windowStart: timestamptz('window_start').notNull(),
    windowEnd: timestamptz('window_end').notNull(),
    /** End of the last whole bucket of the window. */
    wholeUntil: timestamptz('whole_until').notNull(),
    /** The delivery is responsible for the buckets before this time; windows that were delivered later own the others. */
    owedUntil: timestamptz('owed_until').notNull(),
    /** The same bounds as calendar dates, with which daily and monthly records are compared. */
    dateStart: date('date_start').notNull(),
    dateWholeUntil: date('date_whole_until').notNull(),
    dateOwedUntil: date('date_owed_until').notNull(),
    /** Whether a run that was not started by hand has the window. */
    bySlot: boolean('by_slot').notNull(),
    /** SHA-256 of the exportFingerprint of the run that delivered, or of the first run. */
    outputSha256: bytea('output_sha256').notNull(),
    /** Greatest revision that a run has taken. */
    lastRevision: integer('last_revision').notNull().default(0),
    /** Revision in the S3 bucket; 0 if the window was never delivered. */
    revision: integer('revision').notNull().default(0),
    /** The run that wrote the revision in the S3 bucket. */
    runId: uuid('run_id'),
    watermark: text('watermark'),
    /** Epoch of the ledger in which the watermark is valid. */
    watermarkEpoch: text('watermark_epoch'),
    watermarkAt: timestamptz('watermark_at'),
    /** Whether the streams were complete for the window as of the watermark; null if no stream declares. */
    complete: boolean('complete'),
    deliveredAt: timestamptz('delivered_at'),
    /** The mark: when the oldest correction was found that no check has judged since. */
    touchedAt: timestamptz('touched_at'),
    /** When the mark is checked. Infinity if the rows differ and the delivery waits until another restatement may be queued. */
    checkAt: timestamptz('check_at'),
    /** Token of the check that is running. The scan clears it if it finds another correction. */
    checking: uuid('checking'),
    /** When the newest check ended that cleared the mark. A run with an earlier watermark marks the delivery again. */
    checkedAt: timestamptz('checked_at'),
    /** When the oldest correction was found that makes the rows differ from the ledger. Null if no check found a difference. */
    staleSince: timestamptz('stale_since'),
    /** Restatements that failed since the last delivery. */
    failures: integer('failures').notNull().default(0),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    uniqueIndex('deliveries_place').on(table.bucket, table.manifestKey, table.jobId),
    index('deliveries_by_job').on(table.jobId, table.windowEnd, table.windowStart),
    index('deliveries_by_account').on(table.accountId, table.windowEnd, table.id),
    index('deliveries_by_end').on(table.accountId, table.wholeUntil),
    index('deliveries_failing')
      .on(table.jobId)
      .where(sql`failures > 0`),
    index('deliveries_to_check')
      .on(table.checkAt)
      .where(sql`check_at IS NOT NULL`),
    index('deliveries_waiting')
      .on(table.accountId, WAITING_SINCE, table.id)
      .where(sql`check_at = 'infinity'`),
    index('deliveries_unchecked')
      .on(table.jobId)
      .where(sql`touched_at IS NOT NULL AND check_at IS NULL`),
    index('deliveries_attention')
      .on(table.accountId, table.windowEnd, table.id)
      .where(sql`(revision = 0 OR stale_since IS NOT NULL)`),
    index('deliveries_stale')
      .on(table.jobId)
      .where(sql`stale_since IS NOT NULL`),
  ],
);

/** Operations that touched a window after its delivery. Kept on the coordinator, next to the deliveries. */
export const corrections = pgTable(
  'corrections',
  {
    accountId: id64('account_id').notNull(),
    streamId: id64('stream_id').notNull(),
    /** The operation; negative for a row that represents all operations of a stream up to it. */
    operationId: id64('operation_id').notNull(),
    /** The transaction of the operation, or the greatest one of those that the row represents. */
    xid: xid8('xid').notNull(),
    /** Null if unknown: every bucket. */
    firstBucket: timestamptz('first_bucket'),
    lastBucket: timestamptz('last_bucket'),
    foundAt: timestamptz('found_at').notNull(),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    primaryKey({ columns: [table.accountId, table.operationId] }),
    index('corrections_by_stream').on(table.accountId, table.streamId, table.lastBucket),
  ],
);

/** How far the ledger of each account was scanned for corrections. */
export const ledgerCursors = pgTable(
  'ledger_cursors',
  {
    accountId: id64('account_id').primaryKey(),
    /** A pg_snapshot: the operations that it sees were scanned. */
    scanned: text('scanned').notNull(),
    /** Epoch of the ledger in which the snapshot is valid. */
    scannedEpoch: text('scanned_epoch').notNull(),
    scannedAt: timestamptz('scanned_at').notNull(),
    /** When the next scan is due. */
    scanAt: timestamptz('scan_at').notNull(),
    everySeconds: integer('every_seconds').notNull().default(5),
    /** Number of times that the cursor was moved back. A scan that began before the last time does not move it on. */
    setbacks: integer('setbacks').notNull().default(0),
    /** States of the ledger before this time cannot be read any more, because the database was restored or the account moved. */
    historyFrom: timestamptz('history_from'),
  },
  (table) => [...ownedBy(sql`account_id`), index('ledger_cursors_due').on(table.scanAt)],
);

/** Snapshots of the ledger by time, for reads as of a time. */
export const ledgerMoments = pgTable(
  'ledger_moments',
  {
    accountId: id64('account_id').notNull(),
    at: timestamptz('at').notNull(),
    snapshot: text('snapshot').notNull(),
    /** Epoch of the ledger in which the snapshot is valid. */
    epoch: text('epoch').notNull(),
  },
  (table) => [...ownedBy(sql`account_id`), primaryKey({ columns: [table.accountId, table.at] })],
);

/** The windows of a span, delivered one after the other. */
export const backfills = pgTable(
  'backfills',
  {
    id: uuid('id').primaryKey(),
    accountId: id64('account_id').notNull(),
    jobId: uuid('job_id')
      .notNull()
      .references(() => jobs.id),
    status: text('status').$type<'RUNNING' | 'PAUSED' | 'SUCCEEDED' | 'FAILED' | 'CANCELED'>().notNull(),
    error: jsonb('error').$type<RunFailure>(),
    spanStart: timestamptz('span_start').notNull(),
    spanEnd: timestamptz('span_end').notNull(),
    newestFirst: boolean('newest_first').notNull(),
    reprocess: text('reprocess').$type<'MISSING' | 'STALE' | 'ALL'>().notNull(),
    /** The job's settings when the backfill was created. */
    settings: jsonb('settings').$type<JsonColumns['jobSettings']>().notNull(),
    /** Latest slot of the next window whose turn comes; null if none is left. Windows are computed from it, see iterateWindows(). */
    nextSlot: timestamptz('next_slot'),
    /** Slot of the failed window that was tried again last; null unless failed windows are tried again. */
    retrySlot: timestamptz('retry_slot'),
    /** Runs whose end is not counted yet. */
    activeRuns: uuid('active_runs')
      .array()
      .notNull()
      .default(sql`'{}'`),
    windows: integer('windows').notNull(),
    delivered: integer('delivered').notNull().default(0),
    /** Windows that needed no run when their turn came. */
    skipped: integer('skipped').notNull().default(0),
    failed: integer('failed').notNull().default(0),
    /** Windows in a row that failed permanently. */
    failedInRow: integer('failed_in_row').notNull().default(0),
    rows: bigint('rows', { mode: 'number' }).notNull().default(0),
    bytes: bigint('bytes', { mode: 'number' }).notNull().default(0),
    /** Increases with each change, so that readers can order states. */
    change: integer('change').notNull().default(1),
    createdAt: timestamptz('created_at').notNull(),
    finishedAt: timestamptz('finished_at'),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    uniqueIndex('backfills_unended')
      .on(table.jobId)
      .where(sql`status IN ('RUNNING', 'PAUSED')`),
    index('backfills_by_account').on(table.accountId, table.createdAt, table.id),
    index('backfills_by_job').on(table.jobId, table.createdAt, table.id),
  ],
);
