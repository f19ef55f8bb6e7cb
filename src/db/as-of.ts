// Reads "as of" a watermark: a watermark is a snapshot of the ledger, and each operation and stream stores the id of the transaction
// that wrote it, so PostgreSQL can decide what the watermark sees.
//
// Transaction ids belong to one database cluster. They are invalid in the cluster that a dump was restored into, and on the node of a
// distributed database that an account was moved to. So each id is read by a SELECT FROM a table of the account, which runs on the
// account's node, and then sent as a value: in an INSERT or UPDATE of a distributed table the coordinator would use an id of its
// own. Each account stores which cluster wrote its ids (ledgers.system_identifier). If that is not this cluster, the ids are repaired
// before a watermark is taken.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm';
import { channel } from 'node:diagnostics_channel';
import { MovedError } from '../errors/errors.ts';
import { SYSTEM_IDENTIFIER as SYSTEM_IDENTIFIER_TEXT } from './as-of-text.ts';
import type { Db, Executor, Transaction } from './client.ts';
import { formatSnapshotBefore } from './snapshots.ts';

/** Id of this transaction as text. Use it only in a SELECT FROM a table of the account. */
export const OWN_ID = sql.raw('pg_current_xact_id()::text');
/** Id of the oldest transaction that has not ended, as text. Use it only in a SELECT FROM a table of the account. */
export const OLDEST_OPEN = sql.raw('pg_snapshot_xmin(pg_current_snapshot())::text');
/** Current snapshot as text. Use it only in a SELECT FROM a table of the account. */
export const SNAPSHOT = sql.raw('pg_current_snapshot()::text');

/** Whether the watermark sees what the transaction wrote. */
export function isSeen(id: SQLWrapper, watermark: SQLWrapper): SQL {
  return sql`pg_visible_in_snapshot(${id}, ${watermark}::pg_snapshot)`;
}

/** SQL: the first transaction that the watermark may not see. It sees every earlier one. */
export function oldestUnseen(watermark: SQLWrapper): SQL {
  return sql`pg_snapshot_xmin(${watermark}::pg_snapshot)`;
}

/** SQL: a snapshot that sees every transaction before both of them, and no other. */
export function lowerSnapshot(watermark: SQLWrapper, other: SQLWrapper): SQL {
  const first = sql`least(${oldestUnseen(watermark)}, ${oldestUnseen(other)})`;
  return sql`${first} || ':' || ${first} || ':'`;
}

const SYSTEM_IDENTIFIER = sql.raw(SYSTEM_IDENTIFIER_TEXT);

/** Returns the database of the connection and its cluster. A standby returns the same as its primary. */
export const DATABASE_IDENTITY_SQL =
  'SELECT system_identifier::text AS cluster, current_database() AS database FROM pg_control_system()';

/** Properties that the hash of a record key depends on besides the key. A restored dump may have another encoding or byte order. */
const KEY_HASHING = sql.raw(`getdatabaseencoding() || ' ' || hashtextextended('Sluice', 14)`);

/** More transactions than usually commit while one is open. */
const NEWEST_IDS = 1000;

/**
 * Whether another cluster than this one wrote ids of the ledger `l`. An account that returns to a node may have been written to on
 * another node, with ids that this node has not reached or that belong to its open transactions. In the cluster that wrote it, the
 * id of each visible row is visible too. The LIMIT makes the planner read the index by id, backward, even if the statistics still
 * count ids that were repaired since. Without it each statement took 0.4 s for a table of a million operations.
 */
function isForeign(accountId: SQL): SQL {
  return sql`
  (coalesce(l.system_identifier <> ${SYSTEM_IDENTIFIER}, false) OR EXISTS (
    SELECT 1 FROM (
      SELECT pg_visible_in_snapshot(o.xid, pg_current_snapshot()) AS is_seen
      FROM operations o WHERE o.account_id = ${accountId} AND o.xid >= pg_snapshot_xmin(pg_current_snapshot())
      ORDER BY o.xid DESC LIMIT ${sql.raw(String(NEWEST_IDS))}) newest
    WHERE NOT newest.is_seen))`;
}

/** Whether this cluster wrote all ids of the ledger `l`. False for an account that was never read, since that is unknown. */
const isOwn = (accountId: SQL): SQL => sql`(l.system_identifier IS NOT NULL AND NOT ${isForeign(accountId)})`;

/** Changes when the account moves to another cluster, and when a repair of its ids updates the row of the ledger `l`. */
const EPOCH = sql`${SYSTEM_IDENTIFIER} || ' ' || l.xmin`;

/** State of an account's ledger that a run or query reads. */
export interface Watermark {
  /** A pg_snapshot in text form. */
  readonly snapshot: string;
  /** The epoch of the ledger in which the snapshot is valid. */
  readonly epoch: string;
}

/**
 * Returns a watermark of the current state of the account's ledger. If another cluster wrote transaction ids of the account, they
 * are repaired first. Throws MovedError if the account moves meanwhile.
 */
export async function takeWatermark(db: Db, accountId: bigint): Promise<Watermark> {
  const watermark = await tryTakeWatermark(db, accountId);
  if (watermark !== null) return watermark;
  await repairLedger(db, accountId);
  const repaired = await tryTakeWatermark(db, accountId);
  if (repaired === null) throw new MovedError();
  return repaired;
}

/** Returns null if the ledger has to be repaired: a transaction that holds locks of other tables cannot wait for that. */
export async function tryTakeWatermark(db: Executor, accountId: bigint): Promise<Watermark | null> {
  const { rows } = await db.execute<{ now: string; epoch: string; is_own: boolean }>(sql`
    SELECT ${SNAPSHOT} AS now, ${EPOCH} AS epoch, ${isOwn(sql`${accountId}::bigint`)} AS is_own
    FROM ledgers l WHERE l.account_id = ${accountId}`);
  const [ledger] = rows;
  return ledger?.is_own ? { snapshot: ledger.now, epoch: ledger.epoch } : null;
}

/**
 * Returns the epoch of the ledger. Compare it after a read with the epoch of the watermark: if they differ, the account moved or was
 * repaired meanwhile, and the result of the read is not consistent.
 */
export async function readEpoch(db: Executor, accountId: bigint): Promise<string | undefined> {
  const { rows } = await db.execute<{ epoch: string }>(
    sql`SELECT ${EPOCH} AS epoch FROM ledgers l WHERE l.account_id = ${accountId}`,
  );
  return rows[0]?.epoch;
}

/**
 * Returns a snapshot that no watermark of the ledger's epoch is older than: every operation that a watermark of the epoch does not see is
 * unseen by it too.
 */
export async function readEpochStart(db: Executor, accountId: bigint): Promise<string> {
  const { rows } = await db.execute<{ start: string }>(sql`
    SELECT coalesce(l.epoch_start, ${FIRST_OWN_XID}) AS start FROM ledgers l WHERE l.account_id = ${accountId}`);
  return formatSnapshotBefore(rows[0]?.start ?? '');
}

/** Reads of an account that moves meanwhile, before readAsOfNow() throws. */
const MAX_READS = 3;

/**
 * Reads as of now, in one transaction, and repeats the read if the account moved or was repaired meanwhile. Throws MovedError if
 * that happens MAX_READS times.
 * @param read receives the snapshot and the epoch of the watermark
 */
export async function readAsOfNow<Value>(
  db: Db,
  accountId: bigint,
  read: (tx: Transaction, snapshot: string, epoch: string) => Promise<Value>,
): Promise<Value> {
  for (let reads = 1; reads <= MAX_READS; reads += 1) {
    const answer = await db.transaction(async (tx) => {
      const watermark = await tryTakeWatermark(tx, accountId);
      if (!watermark) return null;
      const value = await read(tx, watermark.snapshot, watermark.epoch);
      // Not awaited here, so that COMMIT is pipelined with it.
      const readIn = readEpoch(tx, accountId);
      readIn.catch(() => undefined);
      return { value, readIn, epoch: watermark.epoch };
    });
    if (answer && (await answer.readIn) === answer.epoch) return answer.value;
    await repairLedger(db, accountId);
  }
  throw new MovedError();
}

/** Inserts the account's row of `ledgers`, from which its ids are read, unless it exists. Returns whether it did not exist. */
async function ensureLedger(db: Executor, accountId: bigint): Promise<boolean> {
  const { rowCount } = await db.execute(
    sql`INSERT INTO ledgers (account_id) VALUES (${accountId}) ON CONFLICT (account_id) DO NOTHING`,
  );
  return rowCount === 1;
}

/**
 * Returns the id of this transaction on the node of the account. A ledger that begins here stores the cluster that writes its ids;
 * otherwise its first read would repair it, and ids of operations that are newer than an open transaction would be lost.
 */
export async function openLedger(tx: Transaction, accountId: bigint): Promise<string> {
  const [isNew, { rows }] = await Promise.all([
    ensureLedger(tx, accountId),
    // Read through the ledger, because the account may have no stream yet whose row would give the transaction id of its node.
    tx.execute<{ xid: string; system_identifier: string; key_hashing: string }>(sql`
      SELECT ${OWN_ID} AS xid, ${SYSTEM_IDENTIFIER}::text AS system_identifier, ${KEY_HASHING} AS key_hashing
      FROM ledgers WHERE account_id = ${accountId}`),
  ]);
  const [own] = rows;
  if (!own) throw new Error(`The account ${accountId} has no ledger.`);
  if (isNew) {
    await tx.execute(sql`
      UPDATE ledgers SET system_identifier = ${own.system_identifier}::bigint, key_hashing = ${own.key_hashing}
      WHERE account_id = ${accountId} AND NOT EXISTS (SELECT 1 FROM streams s WHERE s.account_id = ${accountId})`);
  }
  return own.xid;
}

const LEDGER_LOCK = sql.raw(`hashtextextended('ledger ' || account_id, 0)`);

/**
 * Takes a lock that prevents repairs of the account's ids until the transaction ends, for statements that must find the same
 * operations. False while a repair is running. Use it only in a SELECT FROM a table of the account.
 */
export const TRY_LOCK_IDS = sql`pg_try_advisory_xact_lock_shared(${LEDGER_LOCK})`;

const LEDGER_REPAIRED = channel('sluice.ledger-repaired');

/** Counts the accounts that this process repairs, beginning at `before`, and calls `onRepaired` after each repair. */
export function watchRepairs(
  before: number,
  onRepaired: (accountId: bigint) => void,
): { readonly count: number; stop(): void } {
  let count = before;
  const listener = (accountId: unknown): void => {
    count += 1;
    onRepaired(accountId as bigint);
  };
  LEDGER_REPAIRED.subscribe(listener);
  return {
    get count() {
      return count;
    },
    stop: () => {
      LEDGER_REPAIRED.unsubscribe(listener);
    },
  };
}

/** An id that every snapshot of every cluster sees as committed: initdb itself uses later ones. */
const FROZEN_XID = sql.raw(`'3'::xid8`);
/** Earlier than the id of every transaction that can be open in a running cluster. */
const FIRST_OWN_XID = sql.raw(`'4'::xid8`);

/** Timeout of a repair, which updates every operation of the account: there may be millions. */
const STATEMENT_TIMEOUT = '1h';

/**
 * Replaces the foreign ids of the account by one that every snapshot sees, once, under a lock. That is correct, because what is
 * stored was committed before. In the new epoch unfinished runs take a new watermark: a run that had started announces that it
 * rewrites its window. Returns whether there were ids of another cluster.
 */
export async function repairLedger(db: Db, accountId: bigint): Promise<boolean> {
  const isRepaired = await db.transaction((tx) => repair(tx, accountId));
  if (isRepaired) LEDGER_REPAIRED.publish(accountId);
  return isRepaired;
}

async function repair(tx: Transaction, accountId: bigint): Promise<boolean> {
  await ensureLedger(tx, accountId);
  await tx.execute(sql.raw(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT}'`));
  await tx.execute(sql`SELECT pg_advisory_xact_lock(${LEDGER_LOCK}) FROM ledgers WHERE account_id = ${accountId}`);
  const { rows } = await tx.execute<LedgerState>(sql`
    SELECT ${isOwn(sql`${accountId}::bigint`)} AS is_own, ${isForeign(sql`${accountId}::bigint`)} AS is_foreign,
      ${SYSTEM_IDENTIFIER} AS system_identifier,
      l.key_hashing AS hashed_by, ${KEY_HASHING} AS key_hashing, ${OLDEST_OPEN} AS oldest_open
    FROM ledgers l WHERE l.account_id = ${accountId}`);
  const [found] = rows;
  // Another request has repaired them.
  if (!found || found.is_own) return false;
  // Before the updates below: a writer that holds the lock of a stream may wait for the rows that they update.
  if (found.hashed_by !== null && found.hashed_by !== found.key_hashing) await forgetHashes(tx, accountId);
  // From the oldest open transaction, not from the end of the snapshot: an id between them can be that of another active
  // transaction.
  await tx.execute(sql`
    UPDATE operations SET xid = ${FROZEN_XID} WHERE account_id = ${accountId} AND xid >= ${found.oldest_open}::xid8`);
  await tx.execute(sql`
    UPDATE streams SET created_xid = least(created_xid, ${FROZEN_XID}),
      deleted_xid = CASE WHEN deleted_xid IS NOT NULL THEN ${FROZEN_XID} END,
      totals_merged_xid = CASE WHEN totals_merged_xid IS NOT NULL THEN ${FROZEN_XID} END
    WHERE account_id = ${accountId} AND greatest(created_xid, deleted_xid, totals_merged_xid) >= ${found.oldest_open}::xid8`);
  await tx.execute(sql`
    UPDATE ledgers SET system_identifier = ${found.system_identifier}::bigint, key_hashing = ${found.key_hashing},
      epoch_start = ${found.oldest_open}::xid8
    WHERE account_id = ${accountId}`);
  return found.is_foreign;
}

interface LedgerState extends Record<string, unknown> {
  readonly is_own: boolean;
  readonly is_foreign: boolean;
  readonly system_identifier: string;
  readonly hashed_by: string | null;
  readonly key_hashing: string;
  readonly oldest_open: string;
}

/** Removes the hashes of record keys, with which a look-up would miss records. Streams are hashed again when they need it. */
async function forgetHashes(tx: Transaction, accountId: bigint): Promise<void> {
  await tx.execute(sql`
    SELECT pg_advisory_xact_lock(hashtextextended(id::text, 0)) FROM streams
    WHERE account_id = ${accountId} AND hashes_keys ORDER BY id`);
  await tx.execute(sql`
    UPDATE streams SET hashes_keys = false, keys_hashed = false WHERE account_id = ${accountId} AND hashes_keys`);
  await tx.execute(sql`UPDATE records SET key_hash = 0 WHERE account_id = ${accountId} AND key_hash <> 0`);
}

/** Account of which another cluster wrote transaction ids. */
export interface ForeignLedger {
  readonly accountId: bigint;
  readonly accountName: string;
}

/** Finds the accounts that need a repair, on every node of a distributed database. */
export async function findForeignLedgers(db: Db): Promise<ForeignLedger[]> {
  const { rows } = await db.execute<{ id: string; name: string }>(sql`
    SELECT a.id, a.name FROM ledgers l JOIN accounts a ON a.id = l.account_id
    WHERE ${isForeign(sql`l.account_id`)} ORDER BY a.id`);
  return rows.map(({ id, name }) => ({ accountId: BigInt(id), accountName: name }));
}

/** Repairs all accounts that need it, and returns their number. */
export async function repairLedgers(db: Db): Promise<number> {
  let repaired = 0;
  for (const { accountId } of await findForeignLedgers(db)) if (await repairLedger(db, accountId)) repaired += 1;
  return repaired;
}
