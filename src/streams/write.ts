import { sql } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';
import { ConflictError, IssueCollector, NotFoundError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { StreamShape } from './canonical.ts';
import { streamNameProblem, textProblem } from './inputs.ts';
import { lockName, lockStream } from './ledger.ts';
import type { OperationRow, StreamRow } from './rows.ts';
import { findOperationByKey, findStream } from './streams.ts';

// How checked content becomes an operation of a stream's ledger, whatever form it was sent in.

export type WriteKind = 'SUM' | 'REPLACE' | 'DELETE';

/** What a write needs besides its input. */
export interface IngestContext {
  readonly db: Db;
  readonly clock: Clock;
  readonly limits: IngestLimits;
}

export interface IngestLimits {
  /** Milliseconds after now that a timestamp may lie in the future. */
  readonly maxFutureMs: number;
}

export interface WriteTarget {
  readonly accountId: bigint;
  readonly stream: string;
  readonly idempotencyKey?: string | null | undefined;
  /** The path of the argument, for issues: ["input"]. */
  readonly path: readonly string[];
}

/** The stored answer to a write. */
export interface Receipt {
  readonly operation: OperationRow;
  readonly stream: StreamRow;
  readonly replayed: boolean;
}

/** What a write did. */
export interface WriteCounts {
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
}

/** The checked content of a request. */
export interface Content {
  readonly digest: Buffer;
  /** How many records it inserts. */
  readonly recordCount: number;
  /** What a stream that is made for it will be like; null for selectors, which make none. */
  readonly shape: StreamShape | null;
  /** Writes it, in a transaction that holds the stream's lock. */
  readonly apply: (tx: Transaction, stream: StreamRow, operationId: bigint) => Promise<WriteCounts>;
}

/** Checks the request against the stream's shape (null: there is none yet); null where there are issues. */
export type ReadContent = (shape: StreamShape | null, issues: IssueCollector, now: Date) => Content | null;

/** Another write took the stream's name or the idempotency key, or deleted the stream, after they were read: look again. */
class OvertakenError extends Error {}

/** Characters of an idempotency key. */
const MAX_KEY = 255;

/** Each needs a deletion or another first request in between. */
const MAX_TRIES = 5;

/** What is wrong with a request besides its records. */
export const checkTarget = ({ path, stream, idempotencyKey }: WriteTarget, issues: IssueCollector): void => {
  const nameProblem = streamNameProblem(stream);
  if (nameProblem) issues.add([...path, 'stream'], 'BAD_STREAM_NAME', nameProblem);
  if (idempotencyKey == null) return;
  const problem = textProblem(idempotencyKey, MAX_KEY);
  if (problem) issues.add([...path, 'idempotencyKey'], problem.code, problem.message);
};

export const noRecords = (path: readonly string[], issues: IssueCollector): void =>
  issues.add([...path, 'records'], 'NO_RECORDS', 'A request needs at least one record.');

export const missingStream = (name: string): NotFoundError => new NotFoundError(`There is no stream "${name}".`);

/** Writes all of it or nothing; with a known idempotency key answers with the stored receipt. */
export const write = async (
  context: IngestContext,
  kind: WriteKind,
  target: WriteTarget,
  read: ReadContent,
): Promise<Receipt> => {
  try {
    return await writeInTries(context, kind, target, read);
  } catch (error) {
    if (!(error instanceof OvertakenError)) throw error;
    // Against a loop of deletions even 50 tries were too few at times; the name's lock keeps deletions out.
    return context.db.transaction(async (tx) => {
      await lockName(tx, target.accountId, target.stream);
      return writeInTries({ ...context, db: tx }, kind, target, read);
    });
  }
};

/** Throws OvertakenError where the last one was overtaken too. */
const writeInTries = async (
  context: IngestContext,
  kind: WriteKind,
  target: WriteTarget,
  read: ReadContent,
): Promise<Receipt> => {
  for (let tries = 1; ; tries += 1) {
    try {
      return await writeOnce(context, kind, target, read);
    } catch (error) {
      if (!(error instanceof OvertakenError) || tries === MAX_TRIES) throw error;
    }
  }
};

const writeOnce = async (
  { db, clock }: IngestContext,
  kind: WriteKind,
  target: WriteTarget,
  read: ReadContent,
): Promise<Receipt> => {
  const { accountId, idempotencyKey } = target;
  const now = clock.now();
  // The key second: whoever made the stream that is found here has its key found as well.
  const known = await findStream(db, accountId, target.stream);
  const earlier = idempotencyKey == null ? undefined : await findOperationByKey(db, accountId, idempotencyKey);
  // A replay is answered whatever has become of the stream since, so its shape does not count here.
  if (earlier) return replay(db, earlier, read, now);
  if (kind === 'DELETE' && !known) throw missingStream(target.stream);

  const content = check(read, known ?? null, now);
  return db.transaction(async (tx) => {
    const stream = known ?? (await createStream(tx, target, content, now));
    if (!stream) throw new OvertakenError();
    const operation = await insertOperation(tx, kind, target, stream, content, now);
    // Not answered for in this transaction, which may have made a stream for nothing.
    if (!operation) throw new OvertakenError();
    const live = await lockStream(tx, stream, kind === 'SUM' ? 'shared' : 'exclusive');
    if (!live) throw new OvertakenError();
    const counts = await content.apply(tx, stream, operation.id);
    if (counts.insertedRecords !== content.recordCount) {
      throw new Error(`Inserted ${counts.insertedRecords} of ${content.recordCount} records.`);
    }
    if (counts.hiddenRecords > 0) {
      await tx.execute(sql`
        UPDATE operations SET hidden_records = ${counts.hiddenRecords}
        WHERE account_id = ${accountId} AND id = ${operation.id}`);
    }
    return { operation: { ...operation, ...counts }, stream, replayed: false };
  });
};

const check = (read: ReadContent, shape: StreamShape | null, now: Date): Content => {
  const issues = new IssueCollector();
  const content = read(shape, issues, now);
  issues.throwIfAny();
  if (!content) throw new Error('A request without issues has no content.');
  return content;
};

const replay = async (db: Db, earlier: OperationRow, read: ReadContent, now: Date): Promise<Receipt> => {
  const issues = new IssueCollector();
  const content = read(null, issues, now);
  // What breaks a rule was never accepted, hence is other content, whatever its digest.
  if (issues.count > 0 || !content?.digest.equals(earlier.contentSha256)) {
    throw new ConflictError(
      'This idempotency key belongs to an earlier request with other content. Nothing was written; use a new key.',
      'IDEMPOTENCY_MISMATCH',
    );
  }
  const stream = await findStream(db, earlier.accountId, earlier.streamId);
  if (!stream) throw new Error(`Operation ${earlier.id} has no stream.`);
  return { operation: earlier, stream, replayed: true };
};

/** Null where the stream of another first request won: this one is then held against it. */
const createStream = async (
  tx: Transaction,
  { accountId, stream: name }: WriteTarget,
  { shape }: Content,
  now: Date,
): Promise<StreamRow | null> => {
  if (!shape) throw new Error('Content without a shape made a stream.');
  const { rowCount } = await tx.execute(sql`
    INSERT INTO streams (account_id, name, granularity, dimensions, created_at, created_xid)
    VALUES (${accountId}, ${name}, ${shape.granularity}, ${sql.param([...shape.dimensions])}, ${now.toISOString()}, pg_current_xact_id())
    ON CONFLICT (account_id, name) WHERE deleted_at IS NULL DO NOTHING`);
  return rowCount === 0 ? null : ((await findStream(tx, accountId, name)) ?? null);
};

/** Null where the idempotency key is taken, or the stream was deleted meanwhile. */
const insertOperation = async (
  tx: Transaction,
  kind: WriteKind,
  target: WriteTarget,
  stream: StreamRow,
  content: Content,
  now: Date,
): Promise<OperationRow | null> => {
  const { accountId } = target;
  const idempotencyKey = target.idempotencyKey ?? null;
  const { rows } = await tx.execute<{ id: string }>(sql`
    INSERT INTO operations (account_id, stream_id, kind, received_at, xid, inserted_records, hidden_records, idempotency_key, content_sha256)
    SELECT s.account_id, s.id, ${kind}::text, ${now.toISOString()}::timestamptz, pg_current_xact_id(), ${content.recordCount}::bigint, 0, ${idempotencyKey}::text, ${content.digest}::bytea
    FROM streams s WHERE s.account_id = ${accountId} AND s.id = ${stream.id} AND s.deleted_at IS NULL
    ON CONFLICT (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id`);
  const id = rows[0]?.id;
  if (id === undefined) return null;
  return {
    accountId,
    id: BigInt(id),
    streamId: stream.id,
    kind,
    receivedAt: now,
    insertedRecords: content.recordCount,
    hiddenRecords: 0,
    idempotencyKey,
    contentSha256: content.digest,
  };
};
