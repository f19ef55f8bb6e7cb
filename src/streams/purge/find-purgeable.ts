import { type SQL, sql } from 'drizzle-orm';
import { formatArray, formatPlainArray } from '../../db/array-text.ts';
import { isSeen, oldestUnseen, OWN_ID, readEpoch, SNAPSHOT } from '../../db/as-of.ts';
import type { Db } from '../../db/client.ts';

// Finds what a purge may remove: records and filters of deleted streams, and hidden records of live streams.

/** Age from which records are removed. */
export interface PurgeAge {
  /** The transaction that hid or deleted them ended before this time. */
  readonly before: Date;
  /** Assumed duration of transactions that did not store their end, in milliseconds. */
  readonly assumedMs: number;
}

/** Records that are removed together: those of a deleted stream, or the hidden ones of a live stream. */
export interface Purgeable {
  readonly accountId: bigint;
  readonly accountName: string;
  readonly streamId: bigint;
  readonly streamName: string;
  /** Null for a live stream, of which only hidden records are removed. */
  readonly deletedAt: Date | null;
  /** Null if the records can be removed. */
  readonly kept: KeptReason | null;
  readonly cutoff: Cutoff;
}

/**
 * Why records are kept. READ: a run that has not ended reads the ledger as of a time before the deletion of the stream. COMPARED: a
 * delivery waits for the check of a correction, or a run computes what changed since an earlier delivery; both read hidden records.
 */
export type KeptReason = 'READ' | 'COMPARED';

/** Transactions that had ended when the records were found. A purge removes only what those hid or deleted. */
export interface Cutoff {
  /** pg_snapshot of the ledger. */
  readonly snapshot: string;
  /** Epoch of the ledger: see db/as-of.ts. */
  readonly epoch: string | undefined;
  /** Transaction id that is newer than every transaction that was open. */
  readonly xid: string;
  /** The same for the tables of runs, which another node has if the database is distributed; null if there is no run. */
  readonly runsXid: string | null;
}

/** States of the ledger that must stay readable. */
export interface NeededStates {
  /** SQL: the watermarks of the runs that have not ended, or whose lease is not released, as an array. */
  readonly watermarks: SQL;
  /**
   * SQL: `c(name, oldest, at)` are the names of streams (null: all), the first transaction that one of the deliveries that are compared
   * with the ledger may not see, and the time of the oldest of their watermarks. No comparison reads records that earlier transactions hid.
   */
  readonly compared: SQL;
  /** SQL: the times of `watermarks`, as an array. */
  readonly times: SQL;
}

export interface PurgedCounts {
  readonly records: number;
  readonly filters: number;
}

/** Finds streams that were deleted before the age and still have records or filters, by account. */
export async function findDeletedStreams(db: Db, { before }: PurgeAge): Promise<Purgeable[]> {
  return findByAccount(
    db,
    ({ accountId, cutoff, needed }) => sql`
      SELECT s.id, s.name, s.deleted_at, ${isUnseen(sql`s.deleted_xid`, needed)} AS still_read,
        ${isCompared(sql`s.deleted_xid`, sql`s.name`, needed)} AS still_compared
      FROM streams s
      WHERE s.account_id = ${accountId} AND s.deleted_at < ${before.toISOString()}::timestamptz
        AND ${isSeen(sql`s.deleted_xid`, sql`${cutoff.snapshot}`)} AND (
        EXISTS (SELECT 1 FROM records r WHERE r.account_id = ${accountId} AND r.stream_id = s.id AND r.hidden_by IS NULL)
        OR EXISTS (SELECT 1 FROM records r WHERE r.account_id = ${accountId} AND r.stream_id = s.id AND r.hidden_by IS NOT NULL)
        OR EXISTS (SELECT 1 FROM filters f WHERE f.account_id = ${accountId} AND f.stream_id = s.id))
      ORDER BY s.id`,
  );
}

/** Finds live streams with records that were hidden before the age, by account. */
export async function findHiddenRecords(db: Db, age: PurgeAge): Promise<Purgeable[]> {
  return findByAccount(db, ({ accountId, cutoff, needed }) => {
    const hasHidden = (condition: SQL): SQL => sql`EXISTS (
        SELECT 1 FROM records r JOIN operations o ON o.account_id = ${accountId} AND o.id = r.hidden_by
        WHERE r.account_id = ${accountId} AND r.stream_id = s.id AND r.hidden_by IS NOT NULL
          AND ${isPurgeableHider(accountId, age, cutoff, needed)} AND ${condition})`;
    return sql`
        SELECT s.id, s.name, s.deleted_at, false AS still_read,
          NOT ${hasHidden(sql`NOT ${isCompared(sql`o.xid`, sql`s.name`, needed)}`)} AS still_compared
        FROM streams s
        WHERE s.account_id = ${accountId} AND s.deleted_at IS NULL AND ${hasHidden(sql`true`)}
        ORDER BY s.id`;
  });
}

/** Counts what purgeStream would remove. */
export async function countPurgeable(db: Db, stream: Purgeable, age: PurgeAge): Promise<PurgedCounts> {
  const { accountId, streamId } = stream;
  if (!stream.deletedAt) {
    const needed = await readNeededStates(db, accountId, stream.cutoff);
    const { rows } = await db.execute<{ records: string }>(sql`
      SELECT count(*) AS records FROM records r
      JOIN operations o ON o.account_id = ${accountId} AND o.id = r.hidden_by
      WHERE r.account_id = ${accountId} AND r.stream_id = ${streamId} AND r.hidden_by IS NOT NULL
        AND ${isPurgeableHider(sql`${accountId}`, age, stream.cutoff, needed)}
        AND NOT ${isCompared(sql`o.xid`, sql`${stream.streamName}`, needed)}`);
    return { records: Number(rows[0]?.records ?? 0), filters: 0 };
  }
  const { rows } = await db.execute<{ records: string; filters: string }>(sql`
    SELECT (SELECT count(*) FROM records WHERE account_id = ${accountId} AND stream_id = ${streamId}) AS records,
      (SELECT count(*) FROM filters WHERE account_id = ${accountId} AND stream_id = ${streamId}) AS filters`);
  return { records: Number(rows[0]?.records ?? 0), filters: Number(rows[0]?.filters ?? 0) };
}

/**
 * Marks older than this keep no records: the check may fail each time, and a restatement may fail for as long as its destination refuses
 * it. If records are removed that the check needs, it counts the delivery as different, because it finds `purged_before`.
 */
const KEPT_FOR = sql.raw(`interval '7 days'`);

/** Returns the states of the ledger that must stay readable. */
export async function readNeededStates(
  db: Db,
  accountId: string | bigint,
  { epoch }: Pick<Cutoff, 'epoch'>,
): Promise<NeededStates> {
  const { rows: runs } = await db.execute<{ watermark: string; at: string | null }>(sql`
    SELECT r.watermark, min(r.watermark_at)::text AS at FROM runs r
    WHERE r.account_id = ${accountId}::bigint AND r.watermark IS NOT NULL
      AND (r.status IN ('QUEUED', 'RUNNING') OR r.lease_token IS NOT NULL)
    GROUP BY r.watermark`);
  // The check of a window that the job no longer owes compares nothing, nor does a mark without a time of its check.
  const { rows: compared } = await db.execute<{ name: string | null; oldest: string; at: string | null }>(sql`
    SELECT n.name, min(${oldestUnseen(sql`c.watermark`)})::text AS oldest, min(c.watermark_at)::text AS at
    FROM (
      SELECT d.watermark, d.watermark_at, j.settings FROM deliveries d
      JOIN jobs j ON j.account_id = d.account_id AND j.id = d.job_id AND j.deleted_at IS NULL AND j.output_sha256 = d.output_sha256
      WHERE d.account_id = ${accountId}::bigint AND d.touched_at IS NOT NULL AND d.check_at IS NOT NULL AND d.revision > 0
        AND d.owed_until > d.window_start AND d.watermark_epoch = ${epoch ?? ''}
        AND least(d.stale_since, d.touched_at) > clock_timestamp() - ${KEPT_FOR}
      UNION ALL
      SELECT d.watermark, d.watermark_at, r.settings FROM runs r
      JOIN deliveries d ON d.account_id = r.account_id AND d.job_id = r.job_id AND d.bucket = r.bucket
        AND r.manifest_key IN (d.manifest_key, regexp_replace(d.manifest_key, '/_([^/]*)$', '/\\1'))
      WHERE r.account_id = ${accountId}::bigint AND r.status IN ('QUEUED', 'RUNNING') AND d.watermark_epoch = ${epoch ?? ''}
    ) c LEFT JOIN LATERAL jsonb_array_elements_text(nullif(c.settings -> 'meterApiNames', 'null')) AS n(name) ON true
    WHERE c.watermark IS NOT NULL
    GROUP BY n.name`);
  return {
    watermarks: sql`${sql.param(runs.map(({ watermark }) => watermark))}::text[]`,
    compared: sql`unnest(${formatArray(compared.map(({ name }) => name))}::text[],
      ${formatPlainArray(compared.map(({ oldest }) => oldest))}::xid8[],
      ${formatArray(compared.map(({ at }) => at))}::timestamptz[]) AS c(name, oldest, at)`,
    times: sql`${formatArray(runs.map(({ at }) => at))}::timestamptz[]`,
  };
}

/** SQL: whether a run that has not ended does not see the transaction. */
export function isUnseen(xid: SQL, { watermarks }: NeededStates): SQL {
  return sql`EXISTS (
  SELECT 1 FROM unnest(${watermarks}) AS w(watermark) WHERE NOT ${isSeen(xid, sql`w.watermark`)})`;
}

/** SQL: whether a delivery that is compared may not see the transaction, which wrote to the stream with the name. */
export function isCompared(xid: SQL, streamName: SQL, { compared }: NeededStates): SQL {
  return sql`EXISTS (SELECT 1 FROM ${compared} WHERE (c.name IS NULL OR c.name = ${streamName}) AND ${xid} >= c.oldest)`;
}

/**
 * SQL: whether the operation `o` is old enough and had ended at the cutoff, every run that has not ended sees it, and all
 * operations of its stream have totals, which are made from records.
 */
export function isPurgeableHider(
  accountId: SQL,
  { before, assumedMs }: PurgeAge,
  { snapshot }: Cutoff,
  needed: NeededStates,
): SQL {
  return sql`
  ${hidAt(assumedMs)} < ${before.toISOString()}::timestamptz
  AND ${isSeen(sql`o.xid`, sql`${snapshot}`)} AND NOT EXISTS (
    SELECT 1 FROM operations u WHERE u.account_id = ${accountId} AND u.stream_id = o.stream_id AND NOT u.totalled)
  AND NOT ${isUnseen(sql`o.xid`, needed)}`;
}

/** SQL: the time at which the operation `o` ended at the latest. */
export function hidAt(assumedMs: number): SQL {
  return sql`coalesce(o.ended_at, o.received_at + make_interval(secs => ${assumedMs / 1000}))`;
}

interface AccountScope {
  readonly accountId: SQL;
  readonly cutoff: Cutoff;
  readonly needed: NeededStates;
}

async function findByAccount(db: Db, buildQuery: (scope: AccountScope) => SQL): Promise<Purgeable[]> {
  const found: Purgeable[] = [];
  const { rows: accounts } = await db.execute<{ id: string; name: string }>(
    sql`SELECT id, name FROM accounts ORDER BY id`,
  );
  for (const account of accounts) {
    const cutoff = await readCutoff(db, account.id);
    if (!cutoff) continue;
    const needed = await readNeededStates(db, account.id, cutoff);
    const { rows } = await db.execute<{
      id: string;
      name: string;
      deleted_at: string | null;
      still_read: boolean;
      still_compared: boolean;
    }>(buildQuery({ accountId: sql`${account.id}::bigint`, cutoff, needed }));
    for (const row of rows) {
      found.push({
        accountId: BigInt(account.id),
        accountName: account.name,
        streamId: BigInt(row.id),
        streamName: row.name,
        deletedAt: row.deleted_at === null ? null : new Date(row.deleted_at),
        kept: row.still_read ? 'READ' : row.still_compared ? 'COMPARED' : null,
        cutoff,
      });
    }
  }
  return found;
}

/** Returns null if the account has no stream. */
async function readCutoff(db: Db, accountId: string): Promise<Cutoff | null> {
  // Read through rows of the account: transaction ids belong to the node that has the rows.
  const { rows } = await db.execute<{ snapshot: string; xid: string }>(sql`
    SELECT ${SNAPSHOT} AS snapshot, ${OWN_ID} AS xid
    FROM streams WHERE account_id = ${accountId}::bigint LIMIT 1`);
  const { rows: ofRuns } = await db.execute<{ xid: string }>(
    sql`SELECT ${OWN_ID} AS xid FROM runs WHERE account_id = ${accountId}::bigint LIMIT 1`,
  );
  const [ledger] = rows;
  return ledger ? { ...ledger, epoch: await readEpoch(db, BigInt(accountId)), runsXid: ofRuns[0]?.xid ?? null } : null;
}
