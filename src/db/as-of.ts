// The one place that knows what "as of a moment" means: a watermark is a snapshot of the ledger, and each operation and stream
// stores the transaction that wrote it, so a reader can decide what the watermark sees.
//
// Transaction ids belong to one database cluster: they mean nothing in another one, which a dump was restored into, nor on
// another node of a distributed database, which an account was moved to. So each id is read by a SELECT FROM a table of the
// account, which its node answers, and handed on as a value: in an INSERT or UPDATE of a distributed table the coordinator would
// put in an id of its own. And each account stores which cluster wrote its ids (ledgers.system_identifier). A watermark is only
// taken where they are of this cluster; otherwise they are repaired first.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm';
import { channel } from 'node:diagnostics_channel';
import { MovedError } from '../errors/errors.ts';
import { SYSTEM_IDENTIFIER as SYSTEM_IDENTIFIER_TEXT } from './as-of-text.ts';
import type { Db, Executor, Transaction } from './client.ts';

/** The id of this transaction, as text. Only in a SELECT FROM a table of the account. */
export const OWN_ID = sql.raw('pg_current_xact_id()::text');
/** The oldest transaction that has not ended, as text: all before it have. Only in a SELECT FROM a table of the account. */
export const OLDEST_OPEN = sql.raw('pg_snapshot_xmin(pg_current_snapshot())::text');
/** This moment, as text. Only in a SELECT FROM a table of the account. */
export const SNAPSHOT = sql.raw('pg_current_snapshot()::text');

/** Whether the watermark sees what the transaction wrote. */
export const isSeen = (id: SQLWrapper, watermark: SQLWrapper): SQL =>
  sql`pg_visible_in_snapshot(${id}, ${watermark}::pg_snapshot)`;

const SYSTEM_IDENTIFIER = sql.raw(SYSTEM_IDENTIFIER_TEXT);

/** Which database answers, on which cluster: a standby says the same as its primary. */
export const WHICH_DATABASE =
  'SELECT system_identifier::text AS cluster, current_database() AS database FROM pg_control_system()';

/** What hashes of keys depend on besides the key: a dump may be restored in another encoding, or by a machine of another byte order. */
const KEY_HASHING = sql.raw(`getdatabaseencoding() || ' ' || hashtextextended('Sluice', 14)`);

/** More ids than other transactions usually commit while one is open. */
const NEWEST_IDS = 1000;

/**
 * Whether the ids of the ledger `l` are of another cluster than the one that answers. An account that comes back to a node may have
 * been written to elsewhere meanwhile, with ids that this node has not reached or that are of its open transactions. In their own
 * cluster each statement sees the ids of all rows that it sees. The LIMIT makes the planner read the index by id, backward, even
 * if the statistics still count ids that were repaired since (0.4 s for a table of a million operations otherwise, in each statement).
 */
const isForeign = (accountId: SQL): SQL => sql`
  (coalesce(l.system_identifier <> ${SYSTEM_IDENTIFIER}, false) OR EXISTS (
    SELECT 1 FROM (
      SELECT pg_visible_in_snapshot(o.xid, pg_current_snapshot()) AS is_seen
      FROM operations o WHERE o.account_id = ${accountId} AND o.xid >= pg_snapshot_xmin(pg_current_snapshot())
      ORDER BY o.xid DESC LIMIT ${sql.raw(String(NEWEST_IDS))}) newest
    WHERE NOT newest.is_seen))`;

/** Whether they are of this one. Of an account that nobody has read yet that is not known. */
const isOwn = (accountId: SQL): SQL => sql`(l.system_identifier IS NOT NULL AND NOT ${isForeign(accountId)})`;

/** Changes when the account moves to another cluster, and when the ids of the ledger `l` are repaired, which writes its row. */
const EPOCH = sql`${SYSTEM_IDENTIFIER} || ' ' || l.xmin`;

/** A moment of an account's ledger. */
export interface Watermark {
  /** A pg_snapshot in text form. */
  readonly snapshot: string;
  /** In another epoch of the ledger the snapshot means nothing. */
  readonly epoch: string;
}

/**
 * This moment of the account's ledger. If another cluster wrote the transaction ids of the account,
 * they are repaired first.
 */
export const currentWatermark = async (db: Db, accountId: bigint): Promise<Watermark> => {
  const watermark = await ownWatermark(db, accountId);
  if (watermark !== null) return watermark;
  await repairLedger(db, accountId);
  const repaired = await ownWatermark(db, accountId);
  if (repaired === null) throw new MovedError();
  return repaired;
};

/** The same, but null if the ledger has to be repaired, which a transaction that holds locks of other tables cannot wait for. */
export const ownWatermark = async (db: Executor, accountId: bigint): Promise<Watermark | null> => {
  const { rows } = await db.execute<{ now: string; epoch: string; is_own: boolean }>(sql`
    SELECT ${SNAPSHOT} AS now, ${EPOCH} AS epoch, ${isOwn(sql`${accountId}::bigint`)} AS is_own
    FROM ledgers l WHERE l.account_id = ${accountId}`);
  const [ledger] = rows;
  return ledger?.is_own ? { snapshot: ledger.now, epoch: ledger.epoch } : null;
};

/**
 * The epoch of the ledger. Asked after reading as of a watermark: if it is another one than the watermark's, the account moved or was
 * repaired meanwhile, and what was read may be of no moment.
 */
export const epochOf = async (db: Executor, accountId: bigint): Promise<string | undefined> => {
  const { rows } = await db.execute<{ epoch: string }>(
    sql`SELECT ${EPOCH} AS epoch FROM ledgers l WHERE l.account_id = ${accountId}`,
  );
  return rows[0]?.epoch;
};

/** An account that is moved is read again; one that moves this often is not waited for. */
const MAX_READS = 3;

/**
 * Reads as of now, in one transaction; again if the account moved or was repaired meanwhile. Throws MovedError.
 * @param read gets the watermark's snapshot
 */
export const asOfNow = async <Value>(
  db: Db,
  accountId: bigint,
  read: (tx: Transaction, snapshot: string) => Promise<Value>,
): Promise<Value> => {
  for (let reads = 1; reads <= MAX_READS; reads += 1) {
    const answer = await db.transaction(async (tx) => {
      const watermark = await ownWatermark(tx, accountId);
      if (!watermark) return null;
      const value = await read(tx, watermark.snapshot);
      // Not awaited in here: COMMIT leaves with it.
      const readIn = epochOf(tx, accountId);
      readIn.catch(() => undefined);
      return { value, readIn, epoch: watermark.epoch };
    });
    if (answer && (await answer.readIn) === answer.epoch) return answer.value;
    await repairLedger(db, accountId);
  }
  throw new MovedError();
};

/** Makes the row through which the ids of an account are read, if the account has none yet. */
export const openLedger = async (db: Executor, accountId: bigint): Promise<void> => {
  await db.execute(sql`INSERT INTO ledgers (account_id) VALUES (${accountId}) ON CONFLICT (account_id) DO NOTHING`);
};

const LEDGER_LOCK = sql.raw(`hashtextextended('ledger ' || account_id, 0)`);

/**
 * Keeps the ids of the account as they are until the end of the transaction, for statements that have to find the same operations.
 * False while the ids are repaired. Only in a SELECT FROM a table of the account.
 */
export const KEEPS_IDS = sql`pg_try_advisory_xact_lock_shared(${LEDGER_LOCK})`;

const LEDGER_REPAIRED = channel('sluice.ledger-repaired');

/** How many accounts this process has repaired, and each next one as it is repaired. */
export const watchRepairs = (
  before: number,
  onRepaired: (accountId: bigint) => void,
): { readonly count: number; stop(): void } => {
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
};

/** An id of which every snapshot of every cluster says that it was committed before: initdb itself uses more. */
const LONG_AGO = sql.raw(`'3'::xid8`);

/** The ids of an account with millions of operations are many. */
const STATEMENT_TIMEOUT = '1h';

/**
 * Makes the ids of the account those of the cluster that has it now, once, under a lock: what is stored was committed long ago. In
 * the new epoch, unfinished runs take a new watermark: a run that has begun before announces that it rewrites its window.
 */
export const repairLedger = async (db: Db, accountId: bigint): Promise<boolean> => {
  const isRepaired = await db.transaction((tx) => repair(tx, accountId));
  if (isRepaired) LEDGER_REPAIRED.publish(accountId);
  return isRepaired;
};

/** Returns whether there were ids of another cluster. */
const repair = async (tx: Transaction, accountId: bigint): Promise<boolean> => {
  await openLedger(tx, accountId);
  await tx.execute(sql.raw(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT}'`));
  await tx.execute(sql`SELECT pg_advisory_xact_lock(${LEDGER_LOCK}) FROM ledgers WHERE account_id = ${accountId}`);
  const { rows } = await tx.execute<Found>(sql`
    SELECT ${isOwn(sql`${accountId}::bigint`)} AS is_own, ${isForeign(sql`${accountId}::bigint`)} AS is_foreign,
      ${SYSTEM_IDENTIFIER} AS system_identifier,
      l.key_hashing AS hashed_by, ${KEY_HASHING} AS key_hashing, ${OLDEST_OPEN} AS oldest_open
    FROM ledgers l WHERE l.account_id = ${accountId}`);
  const [found] = rows;
  // Another request was faster.
  if (!found || found.is_own) return false;
  // First, since a writer that holds the lock of a stream may wait for the rows that are written below.
  if (found.hashed_by !== null && found.hashed_by !== found.key_hashing) await forgetHashes(tx, accountId);
  // From the oldest open one on, and not only from the end of the snapshot on: between them an id can be that of another
  // transaction under way.
  await tx.execute(sql`
    UPDATE operations SET xid = ${LONG_AGO} WHERE account_id = ${accountId} AND xid >= ${found.oldest_open}::xid8`);
  await tx.execute(sql`
    UPDATE streams SET created_xid = least(created_xid, ${LONG_AGO}),
      deleted_xid = CASE WHEN deleted_xid IS NOT NULL THEN ${LONG_AGO} END,
      totals_merged_xid = CASE WHEN totals_merged_xid IS NOT NULL THEN ${LONG_AGO} END
    WHERE account_id = ${accountId} AND greatest(created_xid, deleted_xid, totals_merged_xid) >= ${found.oldest_open}::xid8`);
  await tx.execute(sql`
    UPDATE ledgers SET system_identifier = ${found.system_identifier}::bigint, key_hashing = ${found.key_hashing}
    WHERE account_id = ${accountId}`);
  return found.is_foreign;
};

interface Found extends Record<string, unknown> {
  readonly is_own: boolean;
  readonly is_foreign: boolean;
  readonly system_identifier: string;
  readonly hashed_by: string | null;
  readonly key_hashing: string;
  readonly oldest_open: string;
}

/** A look-up by these hashes would miss records. The streams are hashed again once they need it. */
const forgetHashes = async (tx: Transaction, accountId: bigint): Promise<void> => {
  await tx.execute(sql`
    SELECT pg_advisory_xact_lock(hashtextextended(id::text, 0)) FROM streams
    WHERE account_id = ${accountId} AND hashes_keys ORDER BY id`);
  await tx.execute(sql`
    UPDATE streams SET hashes_keys = false, keys_hashed = false WHERE account_id = ${accountId} AND hashes_keys`);
  await tx.execute(sql`UPDATE records SET key_hash = 0 WHERE account_id = ${accountId} AND key_hash <> 0`);
};

/** An account whose transaction ids were written by another cluster. */
export interface ForeignLedger {
  readonly accountId: bigint;
  readonly accountName: string;
}

/** Asks every node of a distributed database. */
export const foreignLedgers = async (db: Db): Promise<ForeignLedger[]> => {
  const { rows } = await db.execute<{ id: string; name: string }>(sql`
    SELECT a.id, a.name FROM ledgers l JOIN accounts a ON a.id = l.account_id
    WHERE ${isForeign(sql`l.account_id`)} ORDER BY a.id`);
  return rows.map(({ id, name }) => ({ accountId: BigInt(id), accountName: name }));
};

/** Repairs the accounts that need it. Returns how many had ids of another cluster. */
export const repairLedgers = async (db: Db): Promise<number> => {
  let repaired = 0;
  for (const { accountId } of await foreignLedgers(db)) if (await repairLedger(db, accountId)) repaired += 1;
  return repaired;
};
