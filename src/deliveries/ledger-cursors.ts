import { type SQL, sql } from 'drizzle-orm';
import { formatPlainArray } from '../db/array-text.ts';
import { lowerSnapshot, tryTakeWatermark, type Watermark } from '../db/as-of.ts';
import type { Db, Executor, Transaction } from '../db/client.ts';
import { findOldestUnseen, formatSnapshotBefore } from '../db/snapshots.ts';

// How far the ledger of each account was scanned. Invariant: every operation that a watermark of a delivery does not see is unseen by the
// cursor too, or the scan has compared it with the delivery. So a cursor is committed with the first delivery of its account, and is
// moved back if a delivery with an older watermark is added.

/** Epoch of a cursor that has no snapshot of the ledger: the next scan begins with the epoch of the ledger. */
const UNKNOWN: Watermark = { snapshot: formatSnapshotBefore('4'), epoch: '' };

/** Creates the cursors of accounts that have none, at the current watermark. In the transaction that inserts their first deliveries. */
export async function createCursors(tx: Transaction, accountIds: readonly bigint[]): Promise<void> {
  if (accountIds.length === 0) return;
  const { rows } = await tx.execute<{ id: string }>(sql`
    SELECT DISTINCT a.id FROM unnest(${formatPlainArray(accountIds.map(String))}::bigint[]) AS a(id)
    WHERE NOT EXISTS (SELECT 1 FROM ledger_cursors c WHERE c.account_id = a.id) ORDER BY a.id`);
  for (const { id } of rows) {
    const accountId = BigInt(id);
    // Null for an account that was never read or written, and for one whose ledger has to be repaired.
    const { snapshot, epoch } = (await tryTakeWatermark(tx, accountId)) ?? UNKNOWN;
    await tx.execute(sql`
      INSERT INTO ledger_cursors (account_id, scanned, scanned_epoch, scanned_at, scan_at)
      VALUES (${accountId}, ${snapshot}, ${epoch}, clock_timestamp(), clock_timestamp()) ON CONFLICT (account_id) DO NOTHING`);
  }
}

/**
 * Moves the cursor of the account back, so that the next scan finds every operation that the watermark does not see. In the transaction
 * that inserts the delivery with the watermark.
 */
export async function lowerCursor(tx: Transaction, accountId: bigint, { snapshot, epoch }: Watermark): Promise<void> {
  const lowered = formatSnapshotBefore(findOldestUnseen(snapshot));
  // A cursor of another epoch is moved to the start of the ledger's epoch anyway.
  await tx.execute(sql`
    INSERT INTO ledger_cursors AS c (account_id, scanned, scanned_epoch, scanned_at, scan_at)
    VALUES (${accountId}, ${lowered}, ${epoch}, clock_timestamp(), clock_timestamp())
    ON CONFLICT (account_id) DO UPDATE SET scanned = ${lowerSnapshot(sql`c.scanned`, sql`EXCLUDED.scanned`)}, scan_at = EXCLUDED.scan_at,
      setbacks = c.setbacks + 1
    WHERE c.scanned_epoch = EXCLUDED.scanned_epoch`);
}

/** Makes the next scan of the account begin with the epoch of its ledger, as after a restore. */
export async function forgetCursor(tx: Transaction, accountId: bigint): Promise<void> {
  await tx.execute(sql`
    INSERT INTO ledger_cursors AS c (account_id, scanned, scanned_epoch, scanned_at, scan_at)
    VALUES (${accountId}, ${UNKNOWN.snapshot}, ${UNKNOWN.epoch}, clock_timestamp(), clock_timestamp())
    ON CONFLICT (account_id) DO UPDATE SET scanned = EXCLUDED.scanned, scanned_epoch = EXCLUDED.scanned_epoch, scan_at = EXCLUDED.scan_at,
      setbacks = c.setbacks + 1`);
}

/** Makes a scan of the account due immediately. */
export async function hurryScan(db: Executor, accountId: bigint): Promise<void> {
  await db.execute(sql`
    UPDATE ledger_cursors SET scan_at = clock_timestamp() WHERE account_id = ${accountId} AND scan_at > clock_timestamp()`);
}

/** A cursor that this server scans. Times are texts, since a Date would lose their microseconds. */
export interface LeasedCursor {
  readonly accountId: bigint;
  readonly scanned: Watermark;
  readonly scannedAt: string;
  readonly everySeconds: number;
  /** Number of times that the cursor had been moved back when the scan began. */
  readonly setbacks: number;
  /** Value of scan_at that the lease has set. */
  readonly leasedUntil: string;
  /** Time of the database at which the lease was taken. */
  readonly at: string;
}

export function isUnknown({ scanned }: LeasedCursor): boolean {
  return scanned.epoch === UNKNOWN.epoch;
}

/** If a server dies during a scan, another one repeats it after this time. */
const LEASE_SECONDS = 60;

/** Takes the cursors that have been due for the longest time. A lease and no lock, because a scan reads other nodes. */
export async function leaseCursors(db: Db, limit: number): Promise<LeasedCursor[]> {
  const { rows } = await db.execute<{
    account_id: string;
    scanned: string;
    scanned_epoch: string;
    scanned_at: string;
    every_seconds: number;
    setbacks: number;
    leased_until: string;
    at: string;
  }>(sql`
    WITH due AS MATERIALIZED (
      SELECT account_id FROM ledger_cursors WHERE scan_at <= clock_timestamp() ORDER BY scan_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
    UPDATE ledger_cursors c SET scan_at = now() + ${LEASE_SECONDS} * interval '1 second'
    FROM due WHERE c.account_id = due.account_id
    RETURNING c.account_id, c.scanned, c.scanned_epoch, c.scanned_at::text, c.every_seconds, c.setbacks, c.scan_at::text AS leased_until, now()::text AS at`);
  return rows.map((row) => ({
    accountId: BigInt(row.account_id),
    scanned: { snapshot: row.scanned, epoch: row.scanned_epoch },
    scannedAt: row.scanned_at,
    everySeconds: row.every_seconds,
    setbacks: row.setbacks,
    leasedUntil: row.leased_until,
    at: row.at,
  }));
}

/**
 * SQL: the cursor is as the scan found it. The snapshot alone does not show that a delivery with an older watermark, which the scan did
 * not see, was added meanwhile: the cursor may have been before that watermark already.
 */
export function isAsLeased({ accountId, scanned, setbacks }: LeasedCursor): SQL {
  return sql`account_id = ${accountId} AND scanned = ${scanned.snapshot} AND scanned_epoch = ${scanned.epoch} AND setbacks = ${setbacks}`;
}

/** Moves a cursor after all other effects of its scan are committed. Changes nothing if it was moved meanwhile. */
export async function moveCursor(
  db: Executor,
  cursor: LeasedCursor,
  to: Watermark,
  everySeconds: number,
): Promise<void> {
  // If a write has made another scan due meanwhile, scan_at stays.
  await db.execute(sql`
    UPDATE ledger_cursors SET scanned = ${to.snapshot}, scanned_epoch = ${to.epoch}, scanned_at = ${cursor.at}::timestamptz,
      every_seconds = ${everySeconds},
      scan_at = CASE WHEN scan_at = ${cursor.leasedUntil}::timestamptz THEN clock_timestamp() + ${everySeconds} * interval '1 second' ELSE scan_at END
    WHERE ${isAsLeased(cursor)}`);
}
