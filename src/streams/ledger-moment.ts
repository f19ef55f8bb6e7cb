import { sql } from 'drizzle-orm';
import { OLDEST_OPEN } from '../db/as-of.ts';
import { inOrder, type Transaction } from '../db/client.ts';
import { ConflictError, NotFoundError, ValidationError } from '../errors/errors.ts';
import type { IssueCode } from '../errors/issue-codes.ts';
import { parseBigintId, parseGlobalId } from '../lib/global-ids.ts';
import { isUuid } from '../lib/ids.ts';
import { parseTimestamp } from '../lib/timestamps.ts';

// Earlier states of the ledger that a query can read. Call findPastState() before the read, in its transaction, and
// assertNotPurged() after it.

/** Exactly one of the fields has a value. */
export interface LedgerMomentInput {
  readonly time?: string | null | undefined;
  /** Global ids. */
  readonly operation?: string | null | undefined;
  readonly run?: string | null | undefined;
}

/** The state after all operations with a transaction id up to that of one operation, that which a run read, or that of a time. */
export type LedgerMoment =
  | { readonly type: 'OPERATION'; readonly id: bigint }
  | { readonly type: 'RUN'; readonly id: string }
  | { readonly type: 'TIME'; readonly time: Date };

/**
 * Returns null without an input. Throws ValidationError if the time is not valid or in the future.
 * @param path path of the input
 */
export function readMoment(
  input: LedgerMomentInput | null | undefined,
  now: Date,
  path: readonly string[],
): LedgerMoment | null {
  if (input == null) return null;
  if (input.operation != null) {
    return { type: 'OPERATION', id: parseBigintId(parseGlobalId('AllocationOperation', input.operation)) };
  }
  if (input.run != null) return { type: 'RUN', id: parseGlobalId('Run', input.run) };
  const reject = (code: IssueCode, message: string) =>
    new ValidationError([{ path: [...path, 'time'], code, message }]);
  const time = parseTimestamp(input.time ?? '');
  if (time === null) {
    throw reject('BAD_TIMESTAMP', 'Must be an RFC 3339 date and time with a zone, such as "2026-01-25T00:00:00Z".');
  }
  if (time > now.getTime()) throw reject('FUTURE_TIMESTAMP', 'The time is in the future. Use a time up to now.');
  return { type: 'TIME', time: new Date(time) };
}

export interface PastState {
  /** A pg_snapshot in text form. */
  readonly snapshot: string;
  /** A time at which the ledger had this state, or shortly before it. */
  readonly at: Date;
}

interface StateRow extends Record<string, unknown> {
  readonly snapshot: string | null;
  /** Epoch in which the snapshot is valid; null if it is valid in each. */
  readonly epoch: string | null;
  readonly at: string | null;
}

/**
 * Finds an earlier state. Throws NotFoundError if the account does not have the operation or the run, and ConflictError: CONFLICT
 * if the run has not started, TOO_RECENT, HISTORY_GONE.
 * @param epoch current epoch of the ledger
 */
export async function findPastState(
  tx: Transaction,
  accountId: bigint,
  moment: LedgerMoment,
  epoch: string,
): Promise<PastState> {
  const [{ snapshot, epoch: writtenIn, at }, { rows: cursors }] = await inOrder([
    findState(tx, accountId, moment),
    tx.execute<{ history_from: string | null }>(
      sql`SELECT history_from FROM ledger_cursors WHERE account_id = ${accountId} AND history_from IS NOT NULL`,
    ),
  ]);
  const from = cursors[0]?.history_from;
  if (snapshot === null || at === null || (writtenIn !== null && writtenIn !== epoch)) {
    throw historyGone('The database was restored from a copy since, or moved to another server');
  }
  if (from != null && new Date(at) < new Date(from)) {
    throw historyGone(
      `The ledger can be read from ${new Date(from).toISOString()} on, since the database was restored`,
    );
  }
  return { snapshot, at: new Date(at) };
}

function findState(tx: Transaction, accountId: bigint, moment: LedgerMoment): Promise<StateRow> {
  if (moment.type === 'OPERATION') return findStateOfOperation(tx, accountId, moment.id);
  return moment.type === 'RUN' ? findStateOfRun(tx, accountId, moment.id) : findStateAt(tx, accountId, moment.time);
}

async function findStateOfOperation(tx: Transaction, accountId: bigint, id: bigint): Promise<StateRow> {
  // Transaction ids belong to the node of the account, so they are compared there. A repair replaces ids by one that is less than that
  // of every transaction (FROZEN_XID). So the id of an operation that was committed before the repair does not show any more which
  // operations were committed later.
  const { rows } = await tx.execute<StateRow & { is_recent: boolean }>(sql`
    SELECT CASE WHEN o.xid >= l.epoch_start
        OR NOT EXISTS (SELECT 1 FROM operations f WHERE f.account_id = ${accountId} AND f.xid <= '3'::xid8)
      THEN format('%1$s:%1$s:', o.xid::text::bigint + 1) END AS snapshot,
      NULL AS epoch, o.received_at AS at, o.xid >= ${OLDEST_OPEN}::xid8 AS is_recent
    FROM operations o JOIN ledgers l ON l.account_id = ${accountId}
    WHERE o.account_id = ${accountId} AND o.id = ${id}`);
  const [row] = rows;
  if (!row) throw new NotFoundError('The operation does not exist. Check the id.');
  if (row.is_recent) {
    throw new ConflictError(
      'A transaction that began before that of the operation is still open. Retry after a second.',
      'TOO_RECENT',
    );
  }
  return row;
}

async function findStateOfRun(tx: Transaction, accountId: bigint, id: string): Promise<StateRow> {
  const { rows } = isUuid(id)
    ? await tx.execute<StateRow>(sql`
        SELECT watermark AS snapshot, coalesce(watermark_epoch, '') AS epoch, watermark_at AS at
        FROM runs WHERE account_id = ${accountId} AND id = ${id}`)
    : { rows: [] };
  const [row] = rows;
  if (!row) throw new NotFoundError('The run does not exist. Check the id.');
  if (row.snapshot === null)
    throw new ConflictError('The run has not started, so it has read nothing. Use another run.');
  return row;
}

async function findStateAt(tx: Transaction, accountId: bigint, time: Date): Promise<StateRow> {
  const { rows } = await tx.execute<StateRow>(sql`
    SELECT snapshot, epoch, at FROM ledger_moments WHERE account_id = ${accountId} AND at <= ${time.toISOString()}::timestamptz
    ORDER BY at DESC LIMIT 1`);
  if (!rows[0]) throw historyGone('No state of the ledger is recorded at or before the time');
  return rows[0];
}

/**
 * Throws ConflictError HISTORY_GONE if a purge removed records that the state of one of the streams had. A purge stores its time
 * before it removes records, so this must run after the read.
 */
export async function assertNotPurged(
  tx: Transaction,
  accountId: bigint,
  streamIds: readonly bigint[],
  at: Date,
): Promise<void> {
  const { rows } = await tx.execute<{ name: string; purged_before: string }>(sql`
    SELECT name, purged_before FROM streams
    WHERE account_id = ${accountId} AND id = ANY(${sql.param(streamIds.map(String))}::bigint[])
      AND purged_before > ${at.toISOString()}::timestamptz
    ORDER BY purged_before DESC LIMIT 1`);
  const [stream] = rows;
  if (!stream) return;
  const before = new Date(stream.purged_before).toISOString();
  throw historyGone(`Hidden records of the stream "${stream.name}" were purged up to ${before}`);
}

function historyGone(reason: string): ConflictError {
  return new ConflictError(`The ledger as of then cannot be read. ${reason}. Read a later state.`, 'HISTORY_GONE');
}
