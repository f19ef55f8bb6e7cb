import { type SQL, sql } from 'drizzle-orm';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEpoch, OLDEST_OPEN } from '../../db/as-of.ts';
import type { Db } from '../../db/client.ts';
import { MovedError } from '../../errors/errors.ts';
import {
  type Cutoff,
  hidAt,
  isCompared,
  isPurgeableHider,
  isUnseen,
  type KeptReason,
  type NeededStates,
  type Purgeable,
  type PurgeAge,
  type PurgedCounts,
  readNeededStates,
} from './find-purgeable.ts';

// Permanently removes records that only reads of the past need. The rows of streams and operations stay: they are the receipts, from
// which a repeated request with an idempotency key gets its response.
//
// A reader fixes the state of the ledger that it reads (its watermark) and reads later, without holding a snapshot. A purge must not
// remove what was hidden after that state:
// - A usage query or checkJob stores no watermark, but ends after REQUEST_TIMEOUT_MS: the minimum age of what is removed protects it.
// - A run stores its watermark, which protects it once the transaction of its claim has committed. The purge finds what to remove,
//   waits until every transaction that was open then has ended, and only then reads the watermarks of the runs.
// - The check of a delivery, and a run that computes what changed since, read records that the delivery's watermark sees and that were
//   hidden since. Those that were hidden before it are removed. A comparison that begins after the watermarks were read finds
//   streams.purged_before, which is committed earlier, and counts the change as unknown.

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
  if (!stream.deletedAt) return purgeHidden(db, stream, age);
  const kept = await findReason(db, stream);
  if (kept) return kept;
  await endHistory(db, stream, age.before.toISOString());
  // A comparison that began since then has found the end of the history.
  const keptNow = await findReason(db, stream);
  if (keptNow) return keptNow;
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

/** Returns why the records of a deleted stream are kept. */
async function findReason(db: Db, { accountId, streamId, cutoff }: Purgeable): Promise<KeptReason | null> {
  // Runs that take their watermark from now on see everything before the cutoff.
  const needed = await readNeededStates(db, accountId, cutoff);
  const { rows } = await db.execute<{ is_read: boolean; is_compared: boolean }>(sql`
    SELECT ${isUnseen(sql`s.deleted_xid`, needed)} AS is_read, ${isCompared(sql`s.deleted_xid`, sql`s.name`, needed)} AS is_compared
    FROM streams s WHERE s.account_id = ${accountId} AND s.id = ${streamId}`);
  if (rows[0]?.is_read) return 'READ';
  return rows[0]?.is_compared ? 'COMPARED' : null;
}

/**
 * Stores that states of the stream before the time cannot be read any more. Committed before the first record is removed, so that a
 * reader of such a state notices: it queries this time after its read.
 */
async function endHistory(db: Db, { accountId, streamId }: Purgeable, until: string): Promise<void> {
  await db.execute(sql`
    UPDATE streams SET purged_before = greatest(purged_before, ${until}::timestamptz)
    WHERE account_id = ${accountId} AND id = ${streamId}`);
}

/** Removes hidden records by the operations that hid them, so that the index finds the rows. */
async function purgeHidden(db: Db, stream: Purgeable, age: PurgeAge): Promise<PurgedCounts | KeptReason> {
  const { accountId, streamId, streamName, cutoff } = stream;
  const isPurgeable = (needed: NeededStates): SQL => sql`o.account_id = ${accountId} AND o.stream_id = ${streamId}
    AND o.hidden_records > 0 AND ${isPurgeableHider(sql`${accountId}`, age, cutoff, needed)}`;
  const isNotCompared = (needed: NeededStates): SQL => sql`NOT ${isCompared(sql`o.xid`, sql`${streamName}`, needed)}`;
  const first = await readNeededStates(db, accountId, cutoff);
  // The states that runs and deliveries need stay readable, so the history ends at most at the oldest of them.
  const { rows: found } = await db.execute<{ hiders: number; last: string | null; until: string }>(sql`
    SELECT h.hiders, h.last::text AS last, greatest(h.last,
      least(${age.before.toISOString()}::timestamptz, (SELECT min(n.at) FROM unnest(${first.times}) AS n(at)),
        (SELECT min(c.at) FROM ${first.compared} WHERE c.name IS NULL OR c.name = ${streamName})))::text AS until
    FROM (
      SELECT count(*)::int AS hiders, max(${hidAt(age.assumedMs)}) FILTER (WHERE ${isNotCompared(first)}) AS last
      FROM operations o WHERE ${isPurgeable(first)}) h`);
  const { hiders, last, until } = found[0] ?? { hiders: 0, last: null, until: '' };
  if (last === null) return hiders === 0 ? 'READ' : 'COMPARED';
  await endHistory(db, stream, until);
  // A comparison that began since then has found the end of the history.
  const needed = await readNeededStates(db, accountId, cutoff);
  let records = 0;
  for (let after = '0'; ;) {
    const { rows } = await db.execute<{ id: string }>(sql`
      SELECT o.id FROM operations o WHERE o.id > ${after}::bigint AND ${hidAt(age.assumedMs)} <= ${last}::timestamptz
        AND ${isPurgeable(first)} AND ${isNotCompared(first)} AND NOT ${isUnseen(sql`o.xid`, needed)} AND ${isNotCompared(needed)}
      ORDER BY o.id LIMIT ${BATCH_OPERATIONS}`);
    const end = rows.at(-1);
    if (!end) return { records, filters: 0 };
    after = end.id;
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
