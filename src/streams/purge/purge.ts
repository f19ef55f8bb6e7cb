import { type SQL, sql } from 'drizzle-orm';
import { setTimeout as sleep } from 'node:timers/promises';
import { epochOf, isSeen, OLDEST_OPEN, OWN_ID, SNAPSHOT } from '../../db/as-of.ts';
import type { Db } from '../../db/client.ts';
import { MovedError } from '../../errors/errors.ts';

// Removes for good what only the past still needs. The rows of streams and operations stay: they are the receipts, and
// a request that comes again with its idempotency key is answered from them, whatever has become of its records.

// A reader fixes the moment of the ledger that it reads (its watermark) and reads later, without a snapshot in between. So a
// purge must not remove what was hidden after that moment:
// - A usage query or checkJob stores no watermark but ends with REQUEST_TIMEOUT_MS: the age of what is removed protects it.
// - A run stores its watermark: it protects itself from when the transaction of its claim has committed. The purge chooses what to
//   remove, waits until every transaction has ended that was open then, and only then reads the watermarks of runs.

/** How old what is removed has to be. */
export interface PurgeAge {
  /** The transaction that hid or deleted it ended before. */
  readonly before: Date;
  /** Assumed duration of transactions that did not store when they ended. */
  readonly assumedMs: number;
}

/** Records that go together: those of a deleted stream, or the hidden ones of a live stream. */
export interface Purgeable {
  readonly accountId: bigint;
  readonly accountName: string;
  readonly streamId: bigint;
  readonly streamName: string;
  /** Null for a live stream, of which hidden records alone go. */
  readonly deletedAt: Date | null;
  /** True if a run that has not ended reads the ledger as of an earlier moment: the stream is kept until then. */
  readonly stillRead: boolean;
  readonly chosen: Choice;
}

/** When something was chosen, in the terms of the database. */
interface Choice {
  /** pg_snapshot of the ledger. */
  readonly snapshot: string;
  /** Of the ledger: see db/as-of.ts. */
  readonly epoch: string | undefined;
  /** A transaction id that is newer than every transaction open then. */
  readonly xid: string;
  /** The same for the tables of runs, which another node has if the database is distributed; null if there is no run. */
  readonly runsXid: string | null;
}

export interface Purged {
  readonly records: number;
  readonly filters: number;
}

/** Each batch is a transaction of its own: the rest of the database never waits, and what is done stays done. */
const BATCH_RECORDS = 10_000;
const BATCH_OPERATIONS = 500;

/** The watermarks of the runs that have not ended, or that a worker has not released, as an array. */
const readWatermarks = async (db: Db, accountId: string | bigint): Promise<SQL> => {
  const { rows } = await db.execute<{ watermark: string }>(sql`
    SELECT DISTINCT r.watermark FROM runs r WHERE r.account_id = ${accountId}::bigint AND r.watermark IS NOT NULL
      AND (r.status IN ('QUEUED', 'RUNNING') OR r.lease_token IS NOT NULL)`);
  return sql`${sql.param(rows.map(({ watermark }) => watermark))}::text[]`;
};

/** Whether one of the watermarks does not see the transaction. */
const isUnseen = (xid: SQL, watermarks: SQL): SQL => sql`EXISTS (
  SELECT 1 FROM unnest(${watermarks}) AS w(watermark) WHERE NOT ${isSeen(xid, sql`w.watermark`)})`;

/** Null if the account has no stream. */
const choose = async (db: Db, accountId: string): Promise<Choice | null> => {
  // Through rows of the account: transaction ids belong to the node that has them.
  const { rows } = await db.execute<{ snapshot: string; xid: string }>(sql`
    SELECT ${SNAPSHOT} AS snapshot, ${OWN_ID} AS xid
    FROM streams WHERE account_id = ${accountId}::bigint LIMIT 1`);
  const { rows: ofRuns } = await db.execute<{ xid: string }>(
    sql`SELECT ${OWN_ID} AS xid FROM runs WHERE account_id = ${accountId}::bigint LIMIT 1`,
  );
  const [ledger] = rows;
  return ledger ? { ...ledger, epoch: await epochOf(db, BigInt(accountId)), runsXid: ofRuns[0]?.xid ?? null } : null;
};

const LOOK_AGAIN_MS = 50;
/** Transactions of most requests take less. */
const TELL_AFTER_MS = 1000;

/**
 * Resolves when every transaction has ended that was open at the choice. Calls `onWait` if that takes a while. Throws MovedError if
 * the account moved to another node meanwhile, where the ids of the choice mean nothing.
 */
const untilOthersEnded = async (db: Db, accountId: bigint, chosen: Choice, onWait: () => void): Promise<void> => {
  const hasEnded = async (table: SQL, xid: string): Promise<boolean> => {
    const { rows } = await db.execute<{ ended: boolean }>(sql`
      SELECT ${OLDEST_OPEN}::xid8 > ${xid}::xid8 AS ended
      FROM ${table} WHERE account_id = ${accountId} LIMIT 1`);
    return rows[0]?.ended ?? true;
  };
  for (let waitedMs = 0; ; waitedMs += LOOK_AGAIN_MS) {
    const ended =
      (await hasEnded(sql`streams`, chosen.xid)) &&
      (chosen.runsXid === null || (await hasEnded(sql`runs`, chosen.runsXid)));
    if ((await epochOf(db, accountId)) !== chosen.epoch) throw new MovedError();
    if (ended) return;
    if (waitedMs === TELL_AFTER_MS) onWait();
    await sleep(LOOK_AGAIN_MS);
  }
};

/** Streams deleted before the moment that still have records or filters, account by account. */
export const findDeletedStreams = async (db: Db, { before }: PurgeAge): Promise<Purgeable[]> => {
  const found: Purgeable[] = [];
  for (const account of await readAccounts(db)) {
    const chosen = await choose(db, account.id);
    if (!chosen) continue;
    const watermarks = await readWatermarks(db, account.id);
    const accountId = sql`${account.id}::bigint`;
    const { rows } = await db.execute<StreamLine>(sql`
      SELECT s.id, s.name, s.deleted_at, ${isUnseen(sql`s.deleted_xid`, watermarks)} AS still_read
      FROM streams s
      WHERE s.account_id = ${accountId} AND s.deleted_at < ${before.toISOString()}::timestamptz
        AND ${isSeen(sql`s.deleted_xid`, sql`${chosen.snapshot}`)} AND (
        EXISTS (SELECT 1 FROM records r WHERE r.account_id = ${accountId} AND r.stream_id = s.id AND r.hidden_by IS NULL)
        OR EXISTS (SELECT 1 FROM records r WHERE r.account_id = ${accountId} AND r.stream_id = s.id AND r.hidden_by IS NOT NULL)
        OR EXISTS (SELECT 1 FROM filters f WHERE f.account_id = ${accountId} AND f.stream_id = s.id))
      ORDER BY s.id`);
    found.push(...rows.map((row) => purgeable(account, row, chosen)));
  }
  return found;
};

/** Live streams that have records which were hidden before the moment. */
export const findHiddenRecords = async (db: Db, age: PurgeAge): Promise<Purgeable[]> => {
  const found: Purgeable[] = [];
  for (const account of await readAccounts(db)) {
    const chosen = await choose(db, account.id);
    if (!chosen) continue;
    const watermarks = await readWatermarks(db, account.id);
    const accountId = sql`${account.id}::bigint`;
    const { rows } = await db.execute<StreamLine>(sql`
      SELECT s.id, s.name, s.deleted_at, false AS still_read FROM streams s
      WHERE s.account_id = ${accountId} AND s.deleted_at IS NULL AND EXISTS (
        SELECT 1 FROM records r JOIN operations o ON o.account_id = ${accountId} AND o.id = r.hidden_by
        WHERE r.account_id = ${accountId} AND r.stream_id = s.id AND r.hidden_by IS NOT NULL
          AND ${hiddenBefore(accountId, age, chosen, watermarks)})
      ORDER BY s.id`);
    found.push(...rows.map((row) => purgeable(account, row, chosen)));
  }
  return found;
};

/** How much would go. */
export const countPurgeable = async (db: Db, stream: Purgeable, age: PurgeAge): Promise<Purged> => {
  const { accountId, streamId } = stream;
  if (!stream.deletedAt) {
    const watermarks = await readWatermarks(db, accountId);
    const { rows } = await db.execute<{ records: string }>(sql`
      SELECT count(*) AS records FROM records r
      JOIN operations o ON o.account_id = ${accountId} AND o.id = r.hidden_by
      WHERE r.account_id = ${accountId} AND r.stream_id = ${streamId} AND r.hidden_by IS NOT NULL
        AND ${hiddenBefore(sql`${accountId}`, age, stream.chosen, watermarks)}`);
    return { records: Number(rows[0]?.records ?? 0), filters: 0 };
  }
  const { rows } = await db.execute<{ records: string; filters: string }>(sql`
    SELECT (SELECT count(*) FROM records WHERE account_id = ${accountId} AND stream_id = ${streamId}) AS records,
      (SELECT count(*) FROM filters WHERE account_id = ${accountId} AND stream_id = ${streamId}) AS filters`);
  return { records: Number(rows[0]?.records ?? 0), filters: Number(rows[0]?.filters ?? 0) };
};

/**
 * Removes them; null if a run began meanwhile that reads them. Nobody writes to these rows any more, so nothing has to be
 * locked.
 *
 * @param onWait called if transactions stay open that may still store a watermark
 */
export const purgeStream = async (
  db: Db,
  stream: Purgeable,
  age: PurgeAge,
  onWait: () => void = () => undefined,
): Promise<Purged | null> => {
  const { accountId, streamId, chosen } = stream;
  await untilOthersEnded(db, accountId, chosen, onWait);
  // Runs that take their watermark from now on see all that was chosen.
  const watermarks = await readWatermarks(db, accountId);
  if (!stream.deletedAt) return { records: await purgeHidden(db, stream, age, watermarks), filters: 0 };
  const { rows: read } = await db.execute(sql`
    SELECT 1 FROM streams s WHERE s.account_id = ${accountId} AND s.id = ${streamId}
      AND ${isUnseen(sql`s.deleted_xid`, watermarks)}`);
  if (read.length > 0) return null;
  const records =
    (await purgeBy(db, stream, sql`hidden_by IS NULL`, BY_BUCKET)) +
    (await purgeBy(db, stream, sql`hidden_by IS NOT NULL`, BY_HIDER));
  await db.execute(sql`DELETE FROM totals WHERE account_id = ${accountId} AND stream_id = ${streamId}`);
  const { rowCount } = await db.execute(
    sql`DELETE FROM filters WHERE account_id = ${accountId} AND stream_id = ${streamId}`,
  );
  return { records, filters: rowCount ?? 0 };
};

/** Hidden records go by the operations that hid them, so that each look-up finds its rows in the index. */
const purgeHidden = async (db: Db, stream: Purgeable, age: PurgeAge, watermarks: SQL): Promise<number> => {
  let records = 0;
  for (let after = '0'; ;) {
    const { rows } = await db.execute<{ id: string }>(sql`
      SELECT o.id FROM operations o
      WHERE o.account_id = ${stream.accountId} AND o.stream_id = ${stream.streamId} AND o.id > ${after}::bigint
        AND o.hidden_records > 0 AND ${hiddenBefore(sql`${stream.accountId}`, age, stream.chosen, watermarks)}
      ORDER BY o.id LIMIT ${BATCH_OPERATIONS}`);
    const last = rows.at(-1);
    if (!last) return records;
    after = last.id;
    const hiders = sql.param(rows.map((row) => row.id));
    records += await purgeBy(db, stream, sql`hidden_by = ANY(${hiders}::bigint[])`, BY_HIDER);
  }
};

/** The order of an index. */
interface Order {
  readonly column: SQL;
  readonly type: SQL;
  readonly isBefore: (one: string, other: string) => boolean;
}

const BY_BUCKET: Order = {
  column: sql`bucket_start`,
  type: sql`timestamptz`,
  // In UTC, as every connection has it, with four digits of the year.
  isBefore: (one, other) => one < other,
};
const BY_HIDER: Order = {
  column: sql`hidden_by`,
  type: sql`bigint`,
  isBefore: (one, other) => BigInt(one) < BigInt(other),
};

/**
 * Batch by batch in the order of an index, each from where the last one ended: what was removed stays in the index until
 * the next vacuum, and a search from the beginning would pass over all of it again.
 */
const purgeBy = async (
  db: Db,
  { accountId, streamId }: Purgeable,
  which: SQL,
  { column, type, isBefore }: Order,
): Promise<number> => {
  let records = 0;
  let reached: string | null = null;
  for (;;) {
    const beyond: SQL = reached === null ? sql`true` : sql`${column} >= ${reached}::${type}`;
    const { rows }: { rows: { at: string }[] } = await db.execute<{ at: string }>(sql`
      DELETE FROM records WHERE account_id = ${accountId} AND stream_id = ${streamId} AND ctid = ANY(ARRAY(
        SELECT ctid FROM records WHERE account_id = ${accountId} AND stream_id = ${streamId} AND ${which} AND ${beyond}
        ORDER BY ${column} LIMIT ${BATCH_RECORDS}))
      RETURNING ${column} AS at`);
    records += rows.length;
    if (rows.length < BATCH_RECORDS) return records;
    for (const { at } of rows) if (reached === null || isBefore(reached, at)) reached = at;
  }
};

/**
 * The operation `o` is old enough and was there at the choice, each run that has not ended sees it, and no totals are still to
 * be made from the records of its stream.
 */
const hiddenBefore = (
  accountId: SQL,
  { before, assumedMs }: PurgeAge,
  { snapshot }: Choice,
  watermarks: SQL,
): SQL => sql`
  coalesce(o.ended_at, o.received_at + make_interval(secs => ${assumedMs / 1000})) < ${before.toISOString()}::timestamptz
  AND ${isSeen(sql`o.xid`, sql`${snapshot}`)} AND NOT EXISTS (
    SELECT 1 FROM operations u WHERE u.account_id = ${accountId} AND u.stream_id = o.stream_id AND NOT u.totalled)
  AND NOT ${isUnseen(sql`o.xid`, watermarks)}`;

interface StreamLine extends Record<string, unknown> {
  readonly id: string;
  readonly name: string;
  readonly deleted_at: string | null;
  readonly still_read: boolean;
}

interface AccountLine extends Record<string, unknown> {
  readonly id: string;
  readonly name: string;
}

const readAccounts = async (db: Db): Promise<AccountLine[]> => {
  const { rows } = await db.execute<AccountLine>(sql`SELECT id, name FROM accounts ORDER BY id`);
  return rows;
};

const purgeable = (account: AccountLine, row: StreamLine, chosen: Choice): Purgeable => ({
  chosen,
  accountId: BigInt(account.id),
  accountName: account.name,
  streamId: BigInt(row.id),
  streamName: row.name,
  deletedAt: row.deleted_at === null ? null : new Date(row.deleted_at),
  stillRead: row.still_read,
});
