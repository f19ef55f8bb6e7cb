import { sql } from 'drizzle-orm';
import { createHash } from 'node:crypto';
import { type Db, inOrder, type Transaction } from '../db/client.ts';
import { IssueCollector, ValidationError } from '../errors/errors.ts';
import { formatTimestamp, parseTimestamp } from '../lib/timestamps.ts';
import { type IngestContext, type Receipt, validateTarget, type WriteTarget } from './ingest-request.ts';
import { computeBucketStart } from './pipeline/canonical.ts';
import { takeOperationIds } from './sql/ledger.ts';
import { limitLockWaits, type LockedStream, lockStream } from './sql/locks.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import type { StreamTicket } from './stream-queue.ts';
import { findOperationByKey, findStream, keyMismatch, streamNotFound } from './streams.ts';

// Declares a stream complete through an instant, with an operation of the kind COMPLETE.
//
// A snapshot that sees a declaration sees every write that was acknowledged before the declaration was sent. A write is acknowledged
// after its COMMIT, and the transaction of the declaration begins after that, on the same node: all rows of an account are on one.
// PostgreSQL makes commits visible one after the other, so a snapshot that sees the later one sees the earlier one, and a standby replays
// them in the same order. The argument needs no lock; the shared lock of the stream keeps the stream from being deleted meanwhile.

const HOUR = 3_600_000;

export interface DeclareRequest extends WriteTarget {
  /** RFC 3339 with an offset. Unlike the timestamp of a record, an instant for streams of every granularity. */
  readonly through: string;
}

/**
 * Declares that every record of every bucket that ends at or before `through` was sent and acknowledged. A declaration before an earlier
 * one is stored and has no effect. Throws ValidationError, NotFoundError, ConflictError (IDEMPOTENCY_MISMATCH) and StreamBusyError.
 */
export async function declareComplete(context: IngestContext, request: DeclareRequest): Promise<Receipt> {
  const { db, streamQueue, ended } = context;
  const through = readRequest(request);
  const entry = { accountId: request.accountId, stream: request.stream, access: 'shared', ended } as const;
  const receipt = await streamQueue.enter(entry, async (ticket) => {
    const replayed = await findReplay(db, request, through);
    if (replayed) return replayed;
    await ticket.turn;
    const written = await db.transaction((tx) => writeDeclaration(tx, context, ticket, request, through));
    // Another request took the key meanwhile.
    return written ?? findReplay(db, request, through);
  });
  if (!receipt) throw new Error('A request took the idempotency key and has no operation.');
  context.onWritten('COMPLETE', receipt);
  return receipt;
}

function readRequest(request: DeclareRequest): number {
  const issues = new IssueCollector();
  validateTarget(request, issues);
  const through = parseTimestamp(request.through);
  if (through === null) {
    issues.add(
      [...request.path, 'through'],
      'BAD_TIMESTAMP',
      'Must be a date and time, such as "2026-01-25T00:00:00Z".',
    );
  }
  issues.throwIfAny();
  return through as number;
}

/** Returns the start of the bucket in UTC that the instant is in. */
function floorTo({ granularity }: StreamRow, through: number): Date {
  return new Date(computeBucketStart({ instant: through, wallTime: through }, granularity));
}

function hashDeclaration({ name }: StreamRow, through: Date): Buffer {
  return createHash('sha256')
    .update(`COMPLETE\n${name}\n${formatTimestamp(through)}`)
    .digest();
}

/** Returns the stored receipt if the idempotency key was used for the same declaration; null if it was not used. */
async function findReplay(db: Db, request: DeclareRequest, through: number): Promise<Receipt | null> {
  const { accountId, idempotencyKey } = request;
  const earlier = idempotencyKey == null ? undefined : await findOperationByKey(db, accountId, idempotencyKey);
  if (!earlier) return null;
  const stream = await findStream(db, accountId, earlier.streamId);
  if (!stream) throw new Error(`Operation ${earlier.id} has no stream.`);
  const isSame =
    stream.name === request.stream && earlier.contentSha256.equals(hashDeclaration(stream, floorTo(stream, through)));
  if (!isSame) throw keyMismatch();
  return { operation: earlier, stream, replayed: true };
}

/** Returns null if the idempotency key is taken: nothing is written then. */
async function writeDeclaration(
  tx: Transaction,
  { clock, limits }: IngestContext,
  ticket: StreamTicket,
  { accountId, stream: name, path, idempotencyKey = null }: DeclareRequest,
  through: number,
): Promise<Receipt | null> {
  const [, found] = await inOrder([limitLockWaits(tx, ticket.leftMs()), findStream(tx, accountId, name)]);
  if (!found) throw streamNotFound(name);
  const [stream, [id]] = await inOrder([lockStream(tx, found, 'shared'), takeOperationIds(tx, 1)]);
  if (!stream || id === undefined) throw streamNotFound(name);
  const receivedAt = clock.now();
  const completeThrough = floorTo(stream, through);
  if (completeThrough.getTime() > receivedAt.getTime() + limits.maxFutureMs) {
    const message = `Is ${formatTimestamp(completeThrough)} at the granularity of the stream, more than ${limits.maxFutureMs / HOUR} hours from now (MAX_FUTURE_HOURS).`;
    throw new ValidationError([{ path: [...path, 'through'], code: 'FUTURE_TIMESTAMP', message }]);
  }
  const operation: OperationRow = {
    accountId,
    id,
    streamId: stream.id,
    kind: 'COMPLETE',
    receivedAt,
    insertedRecords: 0,
    hiddenRecords: 0,
    idempotencyKey,
    contentSha256: hashDeclaration(stream, completeThrough),
    firstBucket: null,
    lastBucket: null,
    completeThrough,
    reverts: null,
    scope: null,
  };
  const isInserted = await insertDeclaration(tx, stream, operation, completeThrough);
  return isInserted ? { operation, stream, replayed: false } : null;
}

/** A statement of its own, so that the other operations need no parameter for it. Returns whether the idempotency key was free. */
async function insertDeclaration(
  tx: Transaction,
  { xid }: LockedStream,
  row: OperationRow,
  completeThrough: Date,
): Promise<boolean> {
  const { rowCount } = await tx.execute(sql`
    INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, idempotency_key, content_sha256, complete_through)
    VALUES (${row.accountId}::bigint, ${row.id}::bigint, ${row.streamId}::bigint, ${row.kind}::text, ${row.receivedAt.toISOString()}::timestamptz,
      ${xid}::xid8, true, 0, 0, ${row.idempotencyKey}::text, ${row.contentSha256}::bytea, ${completeThrough.toISOString()}::timestamptz)
    ON CONFLICT (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING`);
  return rowCount === 1;
}
