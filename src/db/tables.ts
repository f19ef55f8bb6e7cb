import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  index,
  integer,
  jsonb,
  pgSequence,
  pgTable,
  primaryKey,
  smallint,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import { bytea, bytewiseText, id64, numeric, timestamptz, xid8 } from './columns.ts';
import type { JsonColumns, RunFailure, StoredScope, StoredChanges } from './json-columns.ts';
import { ownedBy } from './policies.ts';

// Every key of a table with telemetry begins with account_id, so that the database can be distributed by it without a rewrite. Ids
// come from sequences instead of identity columns, and `records` has no foreign keys: two of them made an insert three times as
// slow. test/guards/catalog.test.ts enforces these rules.

export const accountIds = pgSequence('account_ids');
export const streamIds = pgSequence('stream_ids');
export const filterIds = pgSequence('filter_ids', { cache: 32 });
export const operationIds = pgSequence('operation_ids');

export const accounts = pgTable(
  'accounts',
  {
    id: id64('id')
      .primaryKey()
      .default(sql`nextval('account_ids')`),
    name: text('name').notNull(),
    createdAt: timestamptz('created_at').notNull().defaultNow(),
  },
  (table) => [uniqueIndex('accounts_name').on(table.name), ...ownedBy(sql`id`)],
);

export const apiKeys = pgTable(
  'api_keys',
  {
    id: uuid('id').primaryKey(),
    accountId: id64('account_id')
      .notNull()
      .references(() => accounts.id),
    name: text('name').notNull(),
    prefix: text('prefix').notNull(),
    secretSha256: bytea('secret_sha256').notNull(),
    scopes: text('scopes').array().notNull(),
    createdAt: timestamptz('created_at').notNull().defaultNow(),
    /** Written at most once a minute. */
    lastUsedAt: timestamptz('last_used_at'),
    revokedAt: timestamptz('revoked_at'),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    uniqueIndex('api_keys_secret').on(table.secretSha256),
    index('api_keys_by_account').on(table.accountId, table.createdAt, table.id),
  ],
);

export const streams = pgTable(
  'streams',
  {
    accountId: id64('account_id').notNull(),
    id: id64('id')
      .notNull()
      .default(sql`nextval('stream_ids')`),
    name: bytewiseText('name').notNull(),
    granularity: text('granularity').$type<'HOURLY' | 'DAILY' | 'MONTHLY'>().notNull(),
    /** Sorted bytewise. */
    dimensions: text('dimensions').array().notNull(),
    createdAt: timestamptz('created_at').notNull(),
    createdXid: xid8('created_xid').notNull(),
    deletedAt: timestamptz('deleted_at'),
    deletedXid: xid8('deleted_xid'),
    /** States of the ledger before this time cannot be read any more, because a purge has removed their records. */
    purgedBefore: timestamptz('purged_before'),
    /** The totals of all operations before this transaction are merged; null if none are. */
    totalsMergedXid: xid8('totals_merged_xid'),
    /** Whether new records get the hash of their record key. See streams/key-hashes/hash-stream-keys.ts. */
    hashesKeys: boolean('hashes_keys').notNull().default(false),
    /** Whether all live records have the hash. */
    keysHashed: boolean('keys_hashed').notNull().default(false),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    primaryKey({ columns: [table.accountId, table.id] }),
    uniqueIndex('streams_live_name')
      .on(table.accountId, table.name)
      .where(sql`deleted_at IS NULL`),
  ],
);

/** The database cluster that wrote the transaction ids of an account. One row for each account that has a stream. See db/as-of.ts. */
export const ledgers = pgTable(
  'ledgers',
  {
    accountId: id64('account_id').primaryKey(),
    /** The identifier that pg_control_system() returns; null until it is first read. */
    systemIdentifier: id64('system_identifier'),
    /** Encoding and byte order, on which the hashes of record keys depend, when systemIdentifier was read. */
    keyHashing: text('key_hashing'),
    /** Oldest transaction that was open when the epoch of the ledger began. Null if a server of an earlier version began it. */
    epochStart: xid8('epoch_start'),
  },
  () => [...ownedBy(sql`account_id`)],
);

/** Each distinct canonical filter of a stream. Halved the size of `records` and made grouping up to twice as fast. */
export const filters = pgTable(
  'filters',
  {
    accountId: id64('account_id').notNull(),
    streamId: id64('stream_id').notNull(),
    id: id64('id')
      .notNull()
      .default(sql`nextval('filter_ids')`),
    /** SHA-256 of the canonical text: a filter may be longer than an index entry can be. */
    digest: bytea('digest').notNull(),
    dimensions: jsonb('dimensions').$type<Record<string, string[]>>().notNull(),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    primaryKey({ columns: [table.accountId, table.streamId, table.id] }),
    // An expression instead of the stream's id, so that the planner never uses this index to look up an id: until the table
    // is analyzed it estimates the same cost for both indexes, and reading 10,000 filters took 11 s instead of 50 ms.
    uniqueIndex('filters_digest').on(table.accountId, table.digest, sql`(stream_id + 0)`),
  ],
);

/** The ledger: one row for each accepted write, with its idempotency key. */
export const operations = pgTable(
  'operations',
  {
    accountId: id64('account_id').notNull(),
    id: id64('id')
      .notNull()
      .default(sql`nextval('operation_ids')`),
    streamId: id64('stream_id').notNull(),
    kind: text('kind').$type<'SUM' | 'REPLACE' | 'DELETE' | 'DELETE_STREAM' | 'REVERT' | 'COMPLETE'>().notNull(),
    receivedAt: timestamptz('received_at').notNull(),
    /** The transaction that wrote the operation. A watermark decides by it whether a reader sees the operation. */
    xid: xid8('xid').notNull(),
    insertedRecords: bigint('inserted_records', { mode: 'number' }).notNull(),
    hiddenRecords: bigint('hidden_records', { mode: 'number' }).notNull(),
    idempotencyKey: text('idempotency_key'),
    contentSha256: bytea('content_sha256').notNull(),
    /** Whether its totals are written. A server of an older version does not write them; they are added later. */
    totalled: boolean('totalled').notNull().default(false),
    /**
     * A time shortly before COMMIT, which may be long after receivedAt: a reader that started before it may still need the records
     * that the operation hid. Null if it hid none, and for operations of older versions.
     */
    endedAt: timestamptz('ended_at'),
    /** The first and last bucket that the operation may have touched. Null if unknown: every bucket. */
    firstBucket: timestamptz('first_bucket'),
    lastBucket: timestamptz('last_bucket'),
    /** The instant that a COMPLETE declared. */
    completeThrough: timestamptz('complete_through'),
    /** The operation that a REVERT undid. */
    reverts: id64('reverts'),
    /** Scope of a replace; null if it had none. */
    scope: jsonb('scope').$type<StoredScope>(),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    primaryKey({ columns: [table.accountId, table.id] }),
    uniqueIndex('operations_idempotency_key')
      .on(table.accountId, table.idempotencyKey)
      .where(sql`idempotency_key IS NOT NULL`),
    index('operations_by_stream').on(table.accountId, table.streamId, table.id),
    index('operations_by_xid').on(table.accountId, table.xid),
    index('operations_untotalled')
      .on(table.accountId, table.streamId)
      .where(sql`NOT totalled`),
    // For the intake by day: operations are stored in the order of time, so a few bytes for each block are enough.
    index('operations_by_time').using('brin', table.accountId, table.receivedAt),
    // Declarations only, so that it costs other operations nothing. The migration that creates it reads the table once and holds
    // writes meanwhile: 1.7 s for 2 million operations (November 2026). A column of `streams` would avoid that, but a run needs
    // the declarations as of its watermark, and the other indexes would read all operations between two declarations.
    index('operations_complete')
      .on(table.accountId, table.streamId, table.completeThrough)
      .where(sql`complete_through IS NOT NULL`),
  ],
);

/** Append-only ledger rows. They are hidden; only the operator's command `purge` removes them. */
export const records = pgTable(
  'records',
  {
    accountId: id64('account_id').notNull(),
    streamId: id64('stream_id').notNull(),
    bucketStart: timestamptz('bucket_start').notNull(),
    filterId: id64('filter_id').notNull(),
    element: bytewiseText('element').notNull(),
    value: numeric('value').notNull(),
    operationId: id64('operation_id').notNull(),
    hiddenBy: id64('hidden_by'),
    /** Hash of filter and element, see streams/key-hashes/key-hash.ts; 0 if the record has none. */
    keyHash: smallint('key_hash').notNull().default(0),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    index('records_live')
      .on(table.accountId, table.streamId, table.bucketStart, table.keyHash)
      .where(sql`hidden_by IS NULL`),
    index('records_hidden')
      .on(table.accountId, table.streamId, table.hiddenBy)
      .where(sql`hidden_by IS NOT NULL`),
  ],
);

/**
 * The amount by which each operation changed the sum of a bucket and filter over all elements, written in its transaction. Usage
 * queries and exports without elements read these few rows instead of `records`. See streams/totals/totals.ts.
 */
export const totals = pgTable(
  'totals',
  {
    accountId: id64('account_id').notNull(),
    streamId: id64('stream_id').notNull(),
    bucketStart: timestamptz('bucket_start').notNull(),
    filterId: id64('filter_id').notNull(),
    /** 0 for the sum of all merged operations. */
    operationId: id64('operation_id').notNull(),
    /** The values of the inserted records minus those of the hidden ones. */
    value: numeric('value').notNull(),
    /** The number of inserted records minus that of hidden ones: a bucket without live records differs from one with the sum 0. */
    records: bigint('records', { mode: 'number' }).notNull(),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    primaryKey({
      name: 'totals_pk',
      columns: [table.accountId, table.streamId, table.bucketStart, table.filterId, table.operationId],
    }),
  ],
);

/**
 * Records of requests whose bodies are still being received, a few thousand per row: single rows would have to be deleted one by
 * one. UNLOGGED and not compressed (by the migration), because rows that a crash loses were never acknowledged, and rows are read
 * once. Rows of a server that died are deleted by their age.
 */
export const stagedBatches = pgTable(
  'staged_batches',
  {
    accountId: id64('account_id').notNull(),
    requestId: uuid('request_id').notNull(),
    number: integer('number').notNull(),
    stagedAt: timestamptz('staged_at')
      .notNull()
      .default(sql`now()`),
    /** Index of the first record in the request. */
    firstIndex: bigint('first_index', { mode: 'number' }).notNull(),
    /** The distinct bucket starts of the batch. */
    bucketStarts: timestamptz('bucket_starts').array().notNull(),
    /** Indexes into bucketStarts, 1-based. */
    bucketIndexes: integer('bucket_places')
      .array()
      .notNull()
      .default(sql`'{}'`),
    /** Indexes into filterDigests, 1-based; null if a selector matches every filter. */
    filterIndexes: integer('filter_places').array().notNull(),
    /** Null if a selector matches every element. */
    elements: text('elements').array().notNull(),
    /** Empty for selectors. */
    amounts: numeric('amounts').array().notNull(),
    /** The distinct filters of the batch. */
    filterDigests: bytea('filter_digests').array().notNull(),
    filterDimensions: jsonb('filter_dimensions').array().notNull(),
  },
  (table) => [primaryKey({ columns: [table.accountId, table.requestId, table.number] }), ...ownedBy(sql`account_id`)],
);

export const jobs = pgTable(
  'jobs',
  {
    id: uuid('id').primaryKey(),
    accountId: id64('account_id')
      .notNull()
      .references(() => accounts.id),
    name: text('name').notNull(),
    enabled: boolean('enabled').notNull(),
    settings: jsonb('settings').$type<JsonColumns['jobSettings']>().notNull(),
    /** S3 bucket and folder, with placeholders of dates. Jobs of a deployment have no key in common. */
    destination: text('destination').notNull(),
    /** The destination with 0 for each digit, also of placeholders. Equal for destinations that can have a key in common. */
    destinationMask: text('destination_mask')
      .notNull()
      .generatedAlwaysAs(sql`destination_mask(destination)`),
    /** The destination with 0 for each digit outside of placeholders. */
    destinationShape: text('destination_shape')
      .notNull()
      .generatedAlwaysAs(sql`destination_shape(destination)`),
    /** Warnings of the last check of the settings, as sentences for the owner of the job. */
    warnings: text('warnings')
      .array()
      .notNull()
      .default(sql`'{}'`),
    version: integer('version').notNull().default(1),
    /** SHA-256 of the exportFingerprint of the settings. Null in jobs of earlier versions. */
    outputSha256: bytea('output_sha256'),
    /** Since when the restatement is AUTOMATIC: corrections that were found earlier cause no restatement. Null without restatements. */
    restatesSince: timestamptz('restates_since'),
    /** Seconds from the first mark of a delivery to its check: restateAfter, or an hour without restatements. */
    settleSeconds: integer('settle_seconds').notNull().default(3600),
    /** The next slot. Null if the job is disabled or deleted, or its schedule has ended. */
    nextRunAt: timestamptz('next_run_at'),
    createdAt: timestamptz('created_at').notNull(),
    updatedAt: timestamptz('updated_at').notNull(),
    deletedAt: timestamptz('deleted_at'),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    uniqueIndex('jobs_live_name')
      .on(table.accountId, table.name)
      .where(sql`deleted_at IS NULL`),
    uniqueIndex('jobs_live_destination')
      .on(table.destination)
      .where(sql`deleted_at IS NULL`),
    index('jobs_live_mask')
      .on(table.destinationMask, table.destinationShape)
      .where(sql`deleted_at IS NULL`),
    index('jobs_due')
      .on(table.nextRunAt)
      .where(sql`next_run_at IS NOT NULL`),
    index('jobs_by_account').on(table.accountId, table.createdAt, table.id),
  ],
);

/** The destination of the job when the run was queued, computed from columns of `runs`. */
const RUN_DESTINATION = sql.raw(`(bucket || '/' || regexp_replace(manifest_key, '/[^/]*$', ''))`);

export const runs = pgTable(
  'runs',
  {
    id: uuid('id').primaryKey(),
    accountId: id64('account_id')
      .notNull()
      .references(() => accounts.id),
    jobId: uuid('job_id')
      .notNull()
      .references(() => jobs.id),
    trigger: text('trigger')
      .$type<'CRON' | 'ONE_OFF' | 'IMMEDIATE' | 'MANUAL' | 'RESTATEMENT' | 'BACKFILL'>()
      .notNull(),
    /** Order of the waiting runs of a job: 0 for slots and runs by hand, 1 for restatements, 2 for backfills. */
    turn: smallint('turn').notNull().default(0),
    /** Why a RESTATEMENT was queued. */
    reason: text('reason').$type<'CORRECTION' | 'COMPLETE'>(),
    status: text('status').$type<'QUEUED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED'>().notNull(),
    scheduledFor: timestamptz('scheduled_for').notNull(),
    windowStart: timestamptz('window_start').notNull(),
    windowEnd: timestamptz('window_end').notNull(),
    /** The job's settings when the run was queued. Later changes of the job do not affect the run. */
    settings: jsonb('settings').$type<JsonColumns['jobSettings']>().notNull(),
    bucket: text('bucket').notNull(),
    manifestKey: text('manifest_key').notNull(),
    /** The pg_snapshot of the ledger that every attempt reads. Set by the first attempt. */
    watermark: text('watermark'),
    /** Epoch of the ledger when the watermark was taken. The watermark is invalid in another epoch. See db/as-of.ts. */
    watermarkEpoch: text('watermark_epoch'),
    watermarkAt: timestamptz('watermark_at'),
    attempt: integer('attempt').notNull().default(0),
    /** Earliest start of the next attempt. */
    notBefore: timestamptz('not_before'),
    startedAt: timestamptz('started_at'),
    finishedAt: timestamptz('finished_at'),
    rowsWritten: bigint('rows_written', { mode: 'number' }).notNull().default(0),
    bytesWritten: bigint('bytes_written', { mode: 'number' }).notNull().default(0),
    /** Warnings about the export for the owner of the job, such as a dimension that no stream has. */
    warnings: text('warnings')
      .array()
      .notNull()
      .default(sql`'{}'`),
    error: jsonb('error').$type<RunFailure>(),
    /** Increases with each change, so that readers can order states. Not indexed, so that heartbeats are HOT updates. */
    change: integer('change').notNull().default(1),
    /** Revision of the delivery that the run writes. Taken by the first claim; null before. */
    revision: integer('revision'),
    /** Differences from the superseded revision; null for the first one and if they cannot be computed. */
    changes: jsonb('changes').$type<StoredChanges>(),
    /** Whether the streams were complete for the window as of the watermark; null if no stream declares. */
    complete: boolean('complete'),
    /** Until when the run waits for its streams to be complete; null if it does not wait. */
    waitUntil: timestamptz('wait_until'),
    backfillId: uuid('backfill_id'),
    /** Set while a worker has the lease. Remains set after a cancellation until the worker releases the run. */
    leaseToken: uuid('lease_token'),
    leaseUntil: timestamptz('lease_until'),
    createdAt: timestamptz('created_at').notNull(),
  },
  (table) => [
    ...ownedBy(sql`account_id`),
    uniqueIndex('runs_slot')
      .on(table.jobId, table.scheduledFor)
      .where(sql`trigger IN ('CRON', 'ONE_OFF', 'IMMEDIATE')`),
    // Runs of one job never overlap: the claim of a second worker fails here, regardless of the queue's messages.
    uniqueIndex('runs_held')
      .on(table.jobId)
      .where(sql`lease_token IS NOT NULL`),
    index('runs_waiting')
      .on(table.jobId, sql`(started_at IS NULL)`, table.turn, table.scheduledFor, table.id)
      .where(sql`status = 'QUEUED'`),
    // A delivery has at most one restatement that has not ended.
    uniqueIndex('runs_restating')
      .on(table.jobId, table.bucket, table.manifestKey)
      .where(sql`trigger = 'RESTATEMENT' AND status IN ('QUEUED', 'RUNNING')`),
    index('runs_awaited')
      .on(table.accountId)
      .where(sql`wait_until IS NOT NULL AND status = 'QUEUED'`),
    index('runs_by_backfill')
      .on(table.backfillId, table.scheduledFor)
      .where(sql`backfill_id IS NOT NULL`),
    index('runs_active')
      .on(table.accountId)
      .where(sql`status IN ('QUEUED', 'RUNNING')`),
    index('runs_active_destination')
      .on(RUN_DESTINATION)
      .where(sql`status IN ('QUEUED', 'RUNNING')`),
    index('runs_by_account').on(table.accountId, table.createdAt, table.id),
    index('runs_by_job').on(table.jobId, table.createdAt, table.id),
    index('runs_by_manifest').on(table.bucket, table.manifestKey),
    index('runs_by_finish').on(table.finishedAt),
  ],
);

/** The object keys that a run writes. Inserted before the PutObject, so that a later run of the window knows each object that may exist. */
export const runObjects = pgTable(
  'run_objects',
  {
    runId: uuid('run_id')
      .notNull()
      .references(() => runs.id),
    key: text('key').notNull(),
    ordinal: integer('ordinal').notNull(),
    rows: bigint('rows', { mode: 'number' }).notNull(),
    bytes: bigint('bytes', { mode: 'number' }).notNull(),
    sha256: text('sha256').notNull(),
    writtenAt: timestamptz('written_at'),
  },
  (table) => [
    primaryKey({ columns: [table.runId, table.key] }),
    ...ownedBy(sql`(SELECT r.account_id FROM runs r WHERE r.id = run_objects.run_id)`),
  ],
);

/** The account that owns each S3 bucket, for the whole deployment: see jobs/bucket-ownership.ts. */
export const bucketClaims = pgTable(
  'bucket_claims',
  {
    bucket: text('bucket').primaryKey(),
    accountId: id64('account_id')
      .notNull()
      .references(() => accounts.id),
    claimedAt: timestamptz('claimed_at').notNull(),
  },
  () => [...ownedBy(sql`account_id`)],
);
