import { sql } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';

// Keeps the totals of a stream few, however many operations wrote them: those of all operations that every later reader sees
// become one row for each bucket and filter. A reader of an older moment notices (streams.totals_merged_xid) and asks the ledger.

interface StreamKey {
  readonly accountId: string;
  readonly streamId: string;
}

export interface MergeOptions {
  /** So many operations of a stream are let be before its totals are merged. */
  readonly leastOperations: number;
}

/** One statement over all records of a stream may be needed where an older server wrote to it. */
const STATEMENT_TIMEOUT = '1h';

/** Merges the totals of all streams that need it, each in a transaction of its own. */
export const mergeTotals = async (db: Db, options: MergeOptions, signal?: AbortSignal): Promise<void> => {
  const { rows: accounts } = await db.execute<{ id: string }>(sql`SELECT id FROM accounts ORDER BY id`);
  for (const { id } of accounts) {
    for (const stream of await findMergeable(db, id, options)) {
      if (signal?.aborted) return;
      await mergeStream(db, stream);
    }
  }
};

/** By the newest operations of each stream: where even the n-th newest is not merged, n are waiting. */
const findMergeable = async (db: Db, accountId: string, { leastOperations }: MergeOptions): Promise<StreamKey[]> => {
  const nthIsOpen = (place: number) => sql`
    (SELECT o.xid FROM operations o WHERE o.account_id = s.account_id AND o.stream_id = s.id
      ORDER BY o.id DESC OFFSET ${place - 1} LIMIT 1) >= coalesce(s.totals_merged_xid, '0'::xid8)`;
  const { rows } = await db.execute<{ id: string }>(sql`
    SELECT s.id FROM streams s
    WHERE s.account_id = ${accountId}::bigint AND s.deleted_at IS NULL AND (
      CASE WHEN ${nthIsOpen(1)} THEN ${nthIsOpen(leastOperations)} END
      OR EXISTS (SELECT 1 FROM operations o WHERE o.account_id = s.account_id AND o.stream_id = s.id AND NOT o.totalled))
    ORDER BY s.id`);
  return rows.map(({ id }) => ({ accountId, streamId: id }));
};

const mergeStream = (db: Db, stream: StreamKey): Promise<void> =>
  db.transaction(async (tx) => {
    const { accountId, streamId } = stream;
    await tx.execute(sql.raw(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT}'`));
    // Of a stream that is new the planner knows nothing yet, and takes thousands of operations for one: a loop over them, for
    // each of as many totals, took minutes.
    await tx.execute(sql`SET LOCAL enable_nestloop = off`);
    const { rows } = await tx.execute<{ locked: boolean; before: string }>(sql`
      SELECT pg_try_advisory_xact_lock(hashtextextended(${`totals ${streamId}`}::text, 0)) AS locked,
        pg_snapshot_xmin(pg_current_snapshot())::text AS before`);
    // Another server is at it.
    if (!rows[0]?.locked) return;
    const { before } = rows[0];
    await makeUp(tx, stream, before);
    // Transactions before the oldest that is under way have ended, so both statements find the same operations.
    const merged = sql`
      t.account_id = ${accountId}::bigint AND t.stream_id = ${streamId}::bigint AND t.operation_id IN (
        SELECT o.id FROM operations o WHERE o.account_id = ${accountId}::bigint AND o.stream_id = ${streamId}::bigint
          AND o.xid < ${before}::xid8)`;
    await tx.execute(sql`
      INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
      SELECT t.account_id, t.stream_id, t.bucket_start, t.filter_id, 0, sum(t.value), sum(t.records)
      FROM totals t WHERE ${merged}
      GROUP BY t.account_id, t.stream_id, t.bucket_start, t.filter_id
      ON CONFLICT (account_id, stream_id, bucket_start, filter_id, operation_id)
      DO UPDATE SET value = totals.value + EXCLUDED.value, records = totals.records + EXCLUDED.records`);
    await tx.execute(sql`DELETE FROM totals t WHERE ${merged}`);
    // Never back: another server may have looked later and been done before the lock was had here.
    await tx.execute(sql`
      UPDATE streams SET totals_merged_xid = greatest(totals_merged_xid, ${before}::xid8)
      WHERE account_id = ${accountId}::bigint AND id = ${streamId}::bigint`);
  });

/** Makes the totals of operations that a server of an older version wrote. */
const makeUp = async (tx: Transaction, { accountId, streamId }: StreamKey, before: string): Promise<void> => {
  const { rows } = await tx.execute<{ id: string }>(sql`
    SELECT o.id FROM operations o
    WHERE o.account_id = ${accountId}::bigint AND o.stream_id = ${streamId}::bigint AND NOT o.totalled AND o.xid < ${before}::xid8`);
  if (rows.length === 0) return;
  const operations = sql`${sql.param(rows.map(({ id }) => id))}::bigint[]`;
  const ofStream = sql`r.account_id = ${accountId}::bigint AND r.stream_id = ${streamId}::bigint`;
  await tx.execute(sql`
    INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    SELECT c.account_id, c.stream_id, c.bucket_start, c.filter_id, c.operation_id, sum(c.value), sum(c.records)
    FROM (
      SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.operation_id, r.value, 1 AS records
      FROM records r WHERE ${ofStream} AND r.operation_id = ANY(${operations})
      UNION ALL
      SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.hidden_by, -r.value, -1
      FROM records r WHERE ${ofStream} AND r.hidden_by = ANY(${operations})
    ) c
    GROUP BY c.account_id, c.stream_id, c.bucket_start, c.filter_id, c.operation_id`);
  await tx.execute(sql`
    UPDATE operations o SET totalled = true WHERE o.account_id = ${accountId}::bigint AND o.id = ANY(${operations})`);
};
