import { type SQL, sql } from 'drizzle-orm';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEpoch, OLDEST_OPEN } from '../../db/as-of.ts';
import type { Db } from '../../db/client.ts';
import { MovedError } from '../../errors/errors.ts';
import {
  comparesDeliveries,
  type Cutoff,
  isPurgeableHider,
  isUnseen,
  type KeptReason,
  type Purgeable,
  type PurgeAge,
  type PurgedCounts,
  readWatermarks,
} from './find-purgeable.ts';

// Permanently removes records that only reads of the past need. The rows of streams and operations stay: they are the receipts, from
// which a repeated request with an idempotency key gets its response.
//
// A reader fixes the state of the ledger that it reads (its watermark) and reads later, without holding a snapshot. A purge must not
// remove what was hidden after that state:
// - A usage query or checkJob stores no watermark, but ends after REQUEST_TIMEOUT_MS: the minimum age of what is removed protects it.
// - A run stores its watermark, which protects it once the transaction of its claim has committed. The purge finds what to remove,
//   waits until every transaction that was open then has ended, and only then reads the watermarks of the runs.

/** Each batch is a transaction, so that other transactions need not wait and a purge that is interrupted keeps its progress. */
const BATCH_RECORDS = 10_000;
const BATCH_OPERATIONS = 500;

const POLL_MS = 50;
/** Transactions of most requests take less. */
const NOTIFY_AFTER_MS = 1000;

/**
 * Removes the records. Returns the reason if they are needed meanwhile. No write changes these rows any more, so nothing is locked.
 *
 * @param onWait called if transactions that may still store a watermark stay open for a second
 */
export async function purgeStream(
  db: Db,
  stream: Purgeable,
  age: PurgeAge,
  onWait: () => void = () => undefined,
): Promise<PurgedCounts | KeptReason> {
  const { accountId, streamId, cutoff } = stream;
  await waitForOpenTransactions(db, accountId, cutoff, onWait);
  if (await comparesDeliveries(db, accountId)) return 'COMPARED';
  // Runs that take their watermark from now on see everything before the cutoff.
  const watermarks = await readWatermarks(db, accountId);
  if (!stream.deletedAt) return { records: await purgeHidden(db, stream, age, watermarks), filters: 0 };
  const { rows: read } = await db.execute(sql`
    SELECT 1 FROM streams s WHERE s.account_id = ${accountId} AND s.id = ${streamId}
      AND ${isUnseen(sql`s.deleted_xid`, watermarks)}`);
  if (read.length > 0) return 'READ';
  await endHistory(db, stream, age);
  const records =
    (await deleteInOrder(db, stream, sql`hidden_by IS NULL`, BY_BUCKET)) +
    (await deleteInOrder(db, stream, sql`hidden_by IS NOT NULL`, BY_HIDER));
  await db.execute(sql`DELETE FROM totals WHERE account_id = ${accountId} AND stream_id = ${streamId}`);
  const { rowCount } = await db.execute(
    sql`DELETE FROM filters WHERE account_id = ${accountId} AND stream_id = ${streamId}`,
  );
  return { records, filters: rowCount ?? 0 };
}

/**
 * Resolves when every transaction that was open at the cutoff has ended. Calls `onWait` after a second. Throws MovedError if the
 * account moved to another node meanwhile, where the transaction ids of the cutoff have no meaning.
 */
async function waitForOpenTransactions(db: Db, accountId: bigint, cutoff: Cutoff, onWait: () => void): Promise<void> {
  const hasEnded = async (table: SQL, xid: string): Promise<boolean> => {
    const { rows } = await db.execute<{ ended: boolean }>(sql`
      SELECT ${OLDEST_OPEN}::xid8 > ${xid}::xid8 AS ended
      FROM ${table} WHERE account_id = ${accountId} LIMIT 1`);
    return rows[0]?.ended ?? true;
  };
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const ended =
      (await hasEnded(sql`streams`, cutoff.xid)) &&
      (cutoff.runsXid === null || (await hasEnded(sql`runs`, cutoff.runsXid)));
    if ((await readEpoch(db, accountId)) !== cutoff.epoch) throw new MovedError();
    if (ended) return;
    if (waitedMs === NOTIFY_AFTER_MS) onWait();
    await sleep(POLL_MS);
  }
}

/**
 * Stores that states of the stream before the age cannot be read any more. Committed before the first record is removed, so that a
 * reader of such a state notices: it queries this time after its read.
 */
async function endHistory(db: Db, { accountId, streamId }: Purgeable, { before }: PurgeAge): Promise<void> {
  await db.execute(sql`
    UPDATE streams SET purged_before = greatest(purged_before, ${before.toISOString()}::timestamptz)
    WHERE account_id = ${accountId} AND id = ${streamId}`);
}

/** Removes hidden records by the operations that hid them, so that the index finds the rows. */
async function purgeHidden(db: Db, stream: Purgeable, age: PurgeAge, watermarks: SQL): Promise<number> {
  let records = 0;
  for (let after = '0'; ;) {
    const { rows } = await db.execute<{ id: string }>(sql`
      SELECT o.id FROM operations o
      WHERE o.account_id = ${stream.accountId} AND o.stream_id = ${stream.streamId} AND o.id > ${after}::bigint
        AND o.hidden_records > 0 AND ${isPurgeableHider(sql`${stream.accountId}`, age, stream.cutoff, watermarks)}
      ORDER BY o.id LIMIT ${BATCH_OPERATIONS}`);
    const last = rows.at(-1);
    if (!last) return records;
    if (after === '0') await endHistory(db, stream, age);
    after = last.id;
    const hiders = sql.param(rows.map((row) => row.id));
    records += await deleteInOrder(db, stream, sql`hidden_by = ANY(${hiders}::bigint[])`, BY_HIDER);
  }
}

/** The order of an index. */
interface Order {
  readonly column: SQL;
  readonly type: SQL;
  readonly isBefore: (one: string, other: string) => boolean;
}

const BY_BUCKET: Order = {
  column: sql`bucket_start`,
  type: sql`timestamptz`,
  // In UTC, the time zone of every connection, with four digits of the year.
  isBefore: (one, other) => one < other,
};
const BY_HIDER: Order = {
  column: sql`hidden_by`,
  type: sql`bigint`,
  isBefore: (one, other) => BigInt(one) < BigInt(other),
};

/**
 * Deletes records in batches in the order of an index. Each batch continues at the end of the last one: deleted rows stay in the index
 * until the next vacuum, and a search from the beginning would pass over all of them again.
 */
async function deleteInOrder(
  db: Db,
  { accountId, streamId }: Purgeable,
  which: SQL,
  { column, type, isBefore }: Order,
): Promise<number> {
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
}
