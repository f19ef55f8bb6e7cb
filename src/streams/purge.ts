import { type SQL, sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';

// Removes for good what only the past still needs. The rows of streams and operations stay: they are the receipts, and
// a request that comes again with its idempotency key is answered from them, whatever has become of its records.

/** Records that go together: those of a deleted stream, or the hidden ones of a live stream. */
export interface Purgeable {
  readonly accountId: bigint;
  readonly accountName: string;
  readonly streamId: bigint;
  readonly streamName: string;
  /** Null for a live stream, of which hidden records alone go. */
  readonly deletedAt: Date | null;
  /** True where a run that has not ended reads the ledger as of a moment before: it is kept until then. */
  readonly stillRead: boolean;
}

export interface Purged {
  readonly records: number;
  readonly filters: number;
}

/** Each batch is a transaction of its own: the rest of the database never waits, and what is done stays done. */
const BATCH_RECORDS = 10_000;
const BATCH_OPERATIONS = 500;

/** What a run reads that has not ended, or that a worker has not let go of. */
const READING = sql`r.watermark IS NOT NULL AND (r.status IN ('QUEUED', 'RUNNING') OR r.lease_token IS NOT NULL)`;

/** Streams deleted before the moment that still have records or filters, account by account. */
export const findDeletedStreams = async (db: Db, before: Date): Promise<Purgeable[]> => {
  const found: Purgeable[] = [];
  for (const account of await readAccounts(db)) {
    const { rows } = await db.execute<StreamLine>(sql`
      SELECT s.id, s.name, s.deleted_at, EXISTS (
        SELECT 1 FROM runs r WHERE r.account_id = s.account_id AND ${READING}
          AND NOT pg_visible_in_snapshot(s.deleted_xid, r.watermark::pg_snapshot)) AS still_read
      FROM streams s
      WHERE s.account_id = ${account.id}::bigint AND s.deleted_at < ${before.toISOString()}::timestamptz AND (
        EXISTS (SELECT 1 FROM records r WHERE r.account_id = s.account_id AND r.stream_id = s.id AND r.hidden_by IS NULL)
        OR EXISTS (SELECT 1 FROM records r WHERE r.account_id = s.account_id AND r.stream_id = s.id AND r.hidden_by IS NOT NULL)
        OR EXISTS (SELECT 1 FROM filters f WHERE f.account_id = s.account_id AND f.stream_id = s.id))
      ORDER BY s.id`);
    found.push(...rows.map((row) => purgeable(account, row)));
  }
  return found;
};

/** Live streams that have records which were hidden before the moment. */
export const findHiddenRecords = async (db: Db, before: Date): Promise<Purgeable[]> => {
  const found: Purgeable[] = [];
  for (const account of await readAccounts(db)) {
    const { rows } = await db.execute<StreamLine>(sql`
      SELECT s.id, s.name, s.deleted_at, false AS still_read FROM streams s
      WHERE s.account_id = ${account.id}::bigint AND s.deleted_at IS NULL AND EXISTS (
        SELECT 1 FROM records r JOIN operations o ON o.account_id = r.account_id AND o.id = r.hidden_by
        WHERE r.account_id = s.account_id AND r.stream_id = s.id AND r.hidden_by IS NOT NULL AND ${hiddenBefore(before)})
      ORDER BY s.id`);
    found.push(...rows.map((row) => purgeable(account, row)));
  }
  return found;
};

/** How much would go. */
export const countPurgeable = async (db: Db, stream: Purgeable, before: Date): Promise<Purged> => {
  const { accountId, streamId } = stream;
  if (!stream.deletedAt) {
    const { rows } = await db.execute<{ records: string }>(sql`
      SELECT count(*) AS records FROM records r
      JOIN operations o ON o.account_id = r.account_id AND o.id = r.hidden_by
      WHERE r.account_id = ${accountId} AND r.stream_id = ${streamId} AND r.hidden_by IS NOT NULL
        AND ${hiddenBefore(before)}`);
    return { records: Number(rows[0]?.records ?? 0), filters: 0 };
  }
  const { rows } = await db.execute<{ records: string; filters: string }>(sql`
    SELECT (SELECT count(*) FROM records WHERE account_id = ${accountId} AND stream_id = ${streamId}) AS records,
      (SELECT count(*) FROM filters WHERE account_id = ${accountId} AND stream_id = ${streamId}) AS filters`);
  return { records: Number(rows[0]?.records ?? 0), filters: Number(rows[0]?.filters ?? 0) };
};

/** Removes them. Nobody writes to these rows any more, so nothing has to be locked. */
export const purgeStream = async (db: Db, stream: Purgeable, before: Date): Promise<Purged> => {
  if (!stream.deletedAt) return { records: await purgeHidden(db, stream, before), filters: 0 };
  const { accountId, streamId } = stream;
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
const purgeHidden = async (db: Db, stream: Purgeable, before: Date): Promise<number> => {
  let records = 0;
  for (let after = '0'; ;) {
    const { rows } = await db.execute<{ id: string }>(sql`
      SELECT o.id FROM operations o
      WHERE o.account_id = ${stream.accountId} AND o.stream_id = ${stream.streamId} AND o.id > ${after}::bigint
        AND o.hidden_records > 0 AND ${hiddenBefore(before)}
      ORDER BY o.id LIMIT ${BATCH_OPERATIONS}`);
    const last = rows.at(-1);
    if (!last) return records;
    after = last.id;
    const hiders = sql.param(rows.map((row) => row.id));
    records += await purgeBy(db, stream, sql`hidden_by = ANY(${hiders}::bigint[])`, BY_HIDER);
  }
};

/** The order of an index, and the same as a whole number that JavaScript can compare. */
const BY_BUCKET: Order = {
  column: sql`bucket_start`,
  // Buckets begin at whole hours.
  number: sql`extract(epoch FROM bucket_start)::bigint`,
  from: (number) => sql`to_timestamp(${number}::bigint)`,
};
const BY_HIDER: Order = { column: sql`hidden_by`, number: sql`hidden_by`, from: (number) => sql`${number}::bigint` };

interface Order {
  readonly column: SQL;
  readonly number: SQL;
  readonly from: (number: string) => SQL;
}

/**
 * Batch by batch in the order of an index, each from where the last one ended: what was removed stays in the index until
 * the next vacuum, and a search from the beginning would pass over all of it again.
 */
const purgeBy = async (
  db: Db,
  { accountId, streamId }: Purgeable,
  which: SQL,
  { column, number, from }: Order,
): Promise<number> => {
  let records = 0;
  let reached: bigint | null = null;
  for (;;) {
    const beyond: SQL = reached === null ? sql`true` : sql`${column} >= ${from(String(reached))}`;
    const { rows }: { rows: { at: string }[] } = await db.execute<{ at: string }>(sql`
      DELETE FROM records WHERE account_id = ${accountId} AND stream_id = ${streamId} AND ctid = ANY(ARRAY(
        SELECT ctid FROM records WHERE account_id = ${accountId} AND stream_id = ${streamId} AND ${which} AND ${beyond}
        ORDER BY ${column} LIMIT ${BATCH_RECORDS}))
      RETURNING ${number} AS at`);
    records += rows.length;
    if (rows.length < BATCH_RECORDS) return records;
    for (const row of rows) if (reached === null || BigInt(row.at) > reached) reached = BigInt(row.at);
  }
};

/**
 * The operation `o` came before the moment, no run that has not ended reads the ledger as of a moment before it, and no totals
 * are still to be made from the records of its stream.
 */
const hiddenBefore = (before: Date) => sql`o.received_at < ${before.toISOString()}::timestamptz AND NOT EXISTS (
  SELECT 1 FROM operations u WHERE u.account_id = o.account_id AND u.stream_id = o.stream_id AND NOT u.totalled) AND NOT EXISTS (
  SELECT 1 FROM runs r WHERE r.account_id = o.account_id AND ${READING}
    AND NOT pg_visible_in_snapshot(o.xid, r.watermark::pg_snapshot))`;

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

const purgeable = (account: AccountLine, row: StreamLine): Purgeable => ({
  accountId: BigInt(account.id),
  accountName: account.name,
  streamId: BigInt(row.id),
  streamName: row.name,
  deletedAt: row.deleted_at === null ? null : new Date(row.deleted_at),
  stillRead: row.still_read,
});
