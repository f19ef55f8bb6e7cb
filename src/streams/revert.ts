import { sql } from 'drizzle-orm';
import { createHash } from 'node:crypto';
import { type Db, inOrder, type Transaction } from '../db/client.ts';
import { ConflictError, IssueCollector, NotFoundError } from '../errors/errors.ts';
import { encodeGlobalId } from '../lib/global-ids.ts';
import { type IngestContext, type Receipt, validateIdempotencyKey } from './ingest-request.ts';
import { insertOperations, takeOperationIds } from './sql/ledger.ts';
import { limitLockWaits, type LockedStream, lockStream } from './sql/locks.ts';
import { findObstacle, insertHiddenAgain, hideInserted } from './sql/revert-records.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import type { StreamTicket } from './stream-queue.ts';
import { findOperationByKey, findStream, keyMismatch, loadOperations } from './streams.ts';
import { subtractHidden } from './totals/totals.ts';

// Undoes one operation with a new one of the kind REVERT, which hides what the operation inserted and inserts again what it hid.

export interface RevertRequest {
  readonly accountId: bigint;
  readonly operationId: bigint;
  readonly idempotencyKey?: string | null | undefined;
}

/**
 * Writes the REVERT of an operation. It succeeds only if the ledger is then as it would be without the operation. Throws
 * ConflictError NOT_REVERTIBLE if a later write depends on it, IDEMPOTENCY_MISMATCH, ValidationError, NotFoundError and
 * StreamBusyError.
 */
export async function revertOperation(context: IngestContext, request: RevertRequest): Promise<Receipt> {
  const { db, streamQueue, ended } = context;
  const { accountId, idempotencyKey = null } = request;
  const issues = new IssueCollector();
  validateIdempotencyKey(idempotencyKey, ['input', 'idempotencyKey'], issues);
  issues.throwIfAny();
  const { operation, stream } = await findRevertible(db, request);
  const entry = { accountId, stream: stream.name, access: 'exclusive', ended } as const;
  const receipt = await streamQueue.enter(entry, async (ticket) => {
    const replayed = await findReplay(db, request);
    if (replayed) return replayed;
    await ticket.turn;
    const written = await db.transaction((tx) => writeRevert(tx, context, ticket, stream, operation, idempotencyKey));
    // Another request took the key meanwhile.
    return written ?? findReplay(db, request);
  });
  if (!receipt) throw new Error('A request took the idempotency key and has no operation.');
  context.onWritten('REVERT', receipt);
  return receipt;
}

/** Returns the operation and its stream. Throws NotFoundError if the account does not have the operation. */
export async function findRevertible(
  db: Db,
  { accountId, operationId }: Omit<RevertRequest, 'idempotencyKey'>,
): Promise<{ readonly operation: OperationRow; readonly stream: StreamRow }> {
  const [operation] = await loadOperations(db, accountId, [operationId]);
  const stream = operation && (await findStream(db, accountId, operation.streamId));
  if (!stream) throw new NotFoundError('The operation does not exist. Check the id.');
  return { operation, stream };
}

const hashRevert = (operationId: bigint): Buffer => createHash('sha256').update(`REVERT\n${operationId}`).digest();

/** Returns the stored receipt if the idempotency key was used for the same operation; null if it was not used. */
async function findReplay(db: Db, { accountId, operationId, idempotencyKey }: RevertRequest): Promise<Receipt | null> {
  const earlier = idempotencyKey == null ? undefined : await findOperationByKey(db, accountId, idempotencyKey);
  if (!earlier) return null;
  if (!earlier.contentSha256.equals(hashRevert(operationId))) throw keyMismatch();
  const stream = await findStream(db, accountId, earlier.streamId);
  if (!stream) throw new Error(`Operation ${earlier.id} has no stream.`);
  return { operation: earlier, stream, replayed: true };
}

/** Returns null if the idempotency key is taken: nothing is written then. */
export async function writeRevert(
  tx: Transaction,
  { clock }: Pick<IngestContext, 'clock'>,
  ticket: StreamTicket,
  found: StreamRow,
  operation: OperationRow,
  idempotencyKey: string | null,
): Promise<Receipt | null> {
  const [, stream, [id], earlier] = await inOrder([
    limitLockWaits(tx, ticket.leftMs()),
    lockStream(tx, found, 'exclusive'),
    takeOperationIds(tx, 1),
    // Under the lock: a concurrent request with the same key, which has just written, would otherwise be an obstacle.
    idempotencyKey === null ? undefined : findOperationByKey(tx, found.accountId, idempotencyKey),
  ]);
  if (earlier) return null;
  const obstacle = await findObstacle(tx, found, operation);
  if (obstacle) {
    const other = obstacle.operationId && encodeGlobalId('AllocationOperation', obstacle.operationId);
    throw notRevertible(
      other ? `${obstacle.reason}: operation ${other}` : obstacle.reason,
      obstacle.isFinal ? '' : '; correct the records with a replace instead',
    );
  }
  if (!stream || id === undefined) throw notRevertible('Its stream is deleted');
  const revert: OperationRow = {
    accountId: stream.accountId,
    id,
    streamId: stream.id,
    kind: 'REVERT',
    receivedAt: clock.now(),
    insertedRecords: operation.hiddenRecords,
    hiddenRecords: operation.insertedRecords,
    idempotencyKey,
    contentSha256: hashRevert(operation.id),
    firstBucket: operation.firstBucket,
    lastBucket: operation.lastBucket,
    completeThrough: null,
    reverts: operation.id,
    scope: null,
  };
  if ((await insertOperations(tx, stream, [revert])) === 0) return null;
  await writeRecords(tx, stream, operation, revert);
  return { operation: revert, stream, replayed: false };
}

async function writeRecords(
  tx: Transaction,
  stream: LockedStream,
  operation: OperationRow,
  revert: OperationRow,
): Promise<void> {
  const hidden = await hideInserted(tx, stream, operation, revert.id);
  if (hidden > 0) await subtractHidden(tx, stream, [revert.id]);
  const inserted = await insertHiddenAgain(tx, stream, operation.id, revert.id);
  if (hidden !== revert.hiddenRecords || inserted !== revert.insertedRecords) {
    throw new Error(`Hid ${hidden} and inserted ${inserted} records to revert operation ${operation.id}.`);
  }
  if (hidden > 0) {
    await tx.execute(sql`
      UPDATE operations SET ended_at = ${revert.receivedAt.toISOString()}::timestamptz
      WHERE account_id = ${stream.accountId} AND id = ${revert.id}`);
  }
}

function notRevertible(reason: string, remedy = ''): ConflictError {
  return new ConflictError(
    `The operation cannot be reverted. ${reason}. Nothing was written${remedy}.`,
    'NOT_REVERTIBLE',
  );
}
