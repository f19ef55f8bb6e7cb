import { and, asc, count, desc, eq, ilike, inArray, isNull, type SQL, sql } from 'drizzle-orm';
import { openLedger } from '../db/as-of.ts';
import type { Db, Executor, Transaction } from '../db/client.ts';
import { operations, streams } from '../db/tables.ts';
import { ConflictError, NotFoundError, ValidationError } from '../errors/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import { canOccurInName, buildContainsPattern } from '../db/keyset.ts';
import { type Page, type PageArguments, readPage, toPage } from '../db/paging.ts';
import type { StreamShape } from './pipeline/canonical.ts';
import { findStreamNameProblem } from './pipeline/inputs.ts';
import { takeOperationIds } from './sql/ledger.ts';
import { limitLockWaits, type LockedStream, lockStreamName, lockStream } from './sql/locks.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import type { StreamQueue } from './stream-queue.ts';

export function streamNotFound(name: string): NotFoundError {
  return new NotFoundError(`The stream "${name}" does not exist.`);
}

/** Finds a live stream by name, or a live or deleted stream by id. */
export async function findStream(
  db: Executor,
  accountId: bigint,
  nameOrId: string | bigint,
): Promise<StreamRow | undefined> {
  // No stream has an invalid name, and PostgreSQL rejects text with U+0000.
  if (typeof nameOrId === 'string' && findStreamNameProblem(nameOrId)) return undefined;
  const [row] = await db
    .select()
    .from(streams)
    .where(
      and(
        eq(streams.accountId, accountId),
        typeof nameOrId === 'bigint'
          ? eq(streams.id, nameOrId)
          : and(eq(streams.name, nameOrId), isNull(streams.deletedAt)),
      ),
    );
  return row;
}

export function loadStreams(db: Executor, accountId: bigint, ids: readonly bigint[]): Promise<StreamRow[]> {
  return db
    .select()
    .from(streams)
    .where(and(eq(streams.accountId, accountId), inArray(streams.id, [...ids])));
}

export function loadOperations(db: Executor, accountId: bigint, ids: readonly bigint[]): Promise<OperationRow[]> {
  return db
    .select()
    .from(operations)
    .where(and(eq(operations.accountId, accountId), inArray(operations.id, [...ids])));
}

export async function findOperationByKey(
  db: Executor,
  accountId: bigint,
  idempotencyKey: string,
): Promise<OperationRow | undefined> {
  const [row] = await db
    .select()
    .from(operations)
    .where(and(eq(operations.accountId, accountId), eq(operations.idempotencyKey, idempotencyKey)));
  return row;
}

export function keyMismatch(): ConflictError {
  return new ConflictError(
    'The idempotency key was used by an earlier request with different content. Nothing was written; send the request with a new key.',
    'IDEMPOTENCY_MISMATCH',
  );
}

/**
 * Returns the shape that the content of a repeated request is validated against: only its hash counts, and not the shape that the
 * stream has now. A scope is read with the granularity of the stream to which the earlier request wrote.
 */
export async function findShapeForReplay(
  db: Executor,
  { accountId, streamId }: OperationRow,
  request: object,
): Promise<StreamRow | undefined> {
  return 'scope' in request && request.scope ? findStream(db, accountId, streamId) : undefined;
}

function liveStreams(accountId: bigint, search: string | null | undefined): SQL | undefined {
  return and(
    eq(streams.accountId, accountId),
    isNull(streams.deletedAt),
    search ? (canOccurInName(search) ? ilike(streams.name, buildContainsPattern(search)) : sql`false`) : undefined,
  );
}

/** SQL: RFC 3339 in UTC. PostgreSQL's own text form has the time zone of the session, and JavaScript misreads its years before 100. */
export function formatIsoSql(timestamp: SQL): SQL {
  return sql`to_char(${timestamp} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`;
}

/** Lists live streams by name. */
export async function listStreams(
  db: Db,
  accountId: bigint,
  args: PageArguments & { readonly search?: string | null | undefined },
): Promise<Page<StreamRow>> {
  const page = readPage(args, 1, ([name]) => findStreamNameProblem(name ?? '') === null);
  const [after, before] = [page.after, page.before];
  const rows = await db
    .select()
    .from(streams)
    .where(
      and(
        liveStreams(accountId, args.search),
        after ? sql`${streams.name} > ${after[0]}` : undefined,
        before ? sql`${streams.name} < ${before[0]}` : undefined,
      ),
    )
    .orderBy(page.backward ? desc(streams.name) : asc(streams.name))
    .limit(page.limit + 1);
  return toPage(page, rows);
}

export async function countStreams(db: Db, accountId: bigint, search: string | null | undefined): Promise<number> {
  const [row] = await db.select({ count: count() }).from(streams).where(liveStreams(accountId, search));
  return row?.count ?? 0;
}

/** Lists the operations of a stream, newest first. */
export async function listOperations(db: Db, stream: StreamRow, args: PageArguments): Promise<Page<OperationRow>> {
  const page = readPage(args, 1, ([id]) => /^\d{1,18}$/.test(id ?? ''));
  const rows = await db
    .select()
    .from(operations)
    .where(
      and(
        eq(operations.accountId, stream.accountId),
        eq(operations.streamId, stream.id),
        page.after ? sql`${operations.id} < ${page.after[0]}::bigint` : undefined,
        page.before ? sql`${operations.id} > ${page.before[0]}::bigint` : undefined,
      ),
    )
    .orderBy(page.backward ? asc(operations.id) : desc(operations.id))
    .limit(page.limit + 1);
  return toPage(page, rows);
}

/** First and last bucket start of the live records; null if there are none. */
export interface StreamBounds {
  readonly first: Date | null;
  readonly last: Date | null;
}

export async function loadStreamBounds(db: Db, stream: StreamRow): Promise<StreamBounds> {
  if (stream.deletedAt) return { first: null, last: null };
  // Not min() and max(), for which the planner reads the whole stream if the table was never analyzed.
  const bound = (direction: 'ASC' | 'DESC'): SQL => sql`
    (SELECT ${formatIsoSql(sql`bucket_start`)} FROM records
      WHERE account_id = ${stream.accountId} AND stream_id = ${stream.id} AND hidden_by IS NULL
      ORDER BY bucket_start ${sql.raw(direction)} LIMIT 1)`;
  const { rows } = await db.execute<{ first: string | null; last: string | null }>(
    sql`SELECT ${bound('ASC')} AS first, ${bound('DESC')} AS last`,
  );
  const [row] = rows;
  return { first: row?.first ? new Date(row.first) : null, last: row?.last ? new Date(row.last) : null };
}

export interface DeletionContext {
  readonly db: Db;
  readonly clock: Clock;
  readonly streamQueue: StreamQueue;
  /** Signals that abort when no client waits for the response. */
  readonly ended?: RequestSignals | undefined;
  /** Called after COMMIT. */
  readonly onStreamDeleted?: ((accountId: bigint) => void) | undefined;
}

/**
 * Hides all records of a stream and frees its name. Only the row of the stream is marked, so that a stream of 50 million records takes as
 * long as one of ten; the operations give the number of live records. Throws NotFoundError if there is no live stream with this name,
 * and ValidationError if it has live records and `force` is false.
 */
export async function deleteStream(
  { db, clock, streamQueue, ended, onStreamDeleted }: DeletionContext,
  accountId: bigint,
  name: string,
  { force = true }: { readonly force?: boolean } = {},
): Promise<StreamRow> {
  // PostgreSQL rejects some of the characters that are invalid in names.
  if (findStreamNameProblem(name) !== null) throw streamNotFound(name);
  const deleted = await streamQueue.enter({ accountId, stream: name, access: 'exclusive', ended }, async (ticket) => {
    await ticket.turn;
    return db.transaction(async (tx) => {
      await Promise.all([limitLockWaits(tx, ticket.leftMs()), lockStreamName(tx, accountId, name)]);
      const found = await findStream(tx, accountId, name);
      const stream = found && (await lockStream(tx, found, 'exclusive'));
      if (!stream) throw streamNotFound(name);
      if (!force && (await hasLiveRecords(tx, stream))) {
        const message = 'The stream has live records. Set force to hide them.';
        throw new ValidationError([{ path: ['force'], code: 'STREAM_NOT_EMPTY', message }]);
      }
      await markDeleted(tx, stream, clock.now().toISOString());
      return stream;
    });
  });
  onStreamDeleted?.(accountId);
  return deleted;
}

async function markDeleted(tx: Transaction, { accountId, ...stream }: LockedStream, now: string): Promise<void> {
  const [id] = await takeOperationIds(tx, 1);
  await tx.execute(sql`
    INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256)
    SELECT s.account_id, ${id}::bigint, s.id, 'DELETE_STREAM', ${now}::timestamptz, ${stream.xid}::xid8, true, 0,
      (SELECT coalesce(sum(o.inserted_records - o.hidden_records), 0) FROM operations o
        WHERE o.account_id = ${accountId} AND o.stream_id = ${stream.id}),
      sha256(convert_to('DELETE_STREAM ' || s.name, 'UTF8'))
    FROM streams s WHERE s.account_id = ${accountId} AND s.id = ${stream.id}`);
  await tx.execute(sql`
    UPDATE streams SET deleted_at = ${now}::timestamptz, deleted_xid = ${stream.xid}::xid8
    WHERE account_id = ${accountId} AND id = ${stream.id}`);
}

async function hasLiveRecords(tx: Transaction, stream: StreamRow): Promise<boolean> {
  const { rows } = await tx.execute(sql`
    SELECT 1 FROM records WHERE account_id = ${stream.accountId} AND stream_id = ${stream.id} AND hidden_by IS NULL LIMIT 1`);
  return rows.length > 0;
}

/** Creates a stream. Returns null if a concurrent request created it first. */
export async function createStream(
  tx: Transaction,
  accountId: bigint,
  name: string,
  shape: StreamShape | null,
  now: Date,
): Promise<StreamRow | null> {
  if (!shape) throw new Error('A delete does not create a stream.');
  const xid = await openLedger(tx, accountId);
  const { rowCount } = await tx.execute(sql`
    INSERT INTO streams (account_id, name, granularity, dimensions, created_at, created_xid)
    VALUES (${accountId}, ${name}, ${shape.granularity}, ${sql.param([...shape.dimensions])}, ${now.toISOString()}, ${xid}::xid8)
    ON CONFLICT (account_id, name) WHERE deleted_at IS NULL DO NOTHING`);
  return rowCount === 0 ? null : ((await findStream(tx, accountId, name)) ?? null);
}
