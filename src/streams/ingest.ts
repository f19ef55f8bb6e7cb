import { sql } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';
import { ConflictError, IssueCollector, LimitExceededError, NotFoundError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { type RecordInput, type SelectorInput, streamNameProblem, textProblem } from './inputs.ts';
import { hideMatching, hideSelected, insertRecords, lockStream, resolveFilterIds } from './ledger.ts';
import {
  type CanonicalRecords,
  type CanonicalSelector,
  canonicalRecords,
  canonicalSelectors,
  checkDistinctKeys,
  contentDigest,
  type StreamShape,
} from './records.ts';
import type { OperationRow, StreamRow } from './rows.ts';
import { findOperationByKey, findStream } from './streams.ts';

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

export interface IngestRequest<Input> {
  readonly accountId: bigint;
  readonly stream: string;
  readonly records: readonly Input[];
  readonly idempotencyKey?: string | null | undefined;
  /** The path of the argument, for issues: ["input"]. */
  readonly path: readonly string[];
  /** At most so many records; left out where another limit (the size of the body) holds. */
  readonly maxRecords?: number;
}

/** The stored answer to a write. */
export interface Receipt {
  readonly operation: OperationRow;
  readonly stream: StreamRow;
  readonly replayed: boolean;
}

/** Adds records beside what is there; the live value of a key is the sum of its live records. */
export const allocationSum = (context: IngestContext, request: IngestRequest<RecordInput>): Promise<Receipt> =>
  write(context, 'SUM', request, (shape, issues, now) => readRecords(context, request, shape, issues, now, false));

/** Hides everything live that a record's bucket, filter and element match, then inserts. */
export const allocationReplace = (context: IngestContext, request: IngestRequest<RecordInput>): Promise<Receipt> =>
  write(context, 'REPLACE', request, (shape, issues, now) => readRecords(context, request, shape, issues, now, true));

/** Hides all live records that a selector matches. */
export const allocationDelete = (context: IngestContext, request: IngestRequest<SelectorInput>): Promise<Receipt> =>
  write(context, 'DELETE', request, (shape, issues, now) => {
    const path = [...request.path, 'records'];
    const options = { path, now, maxFutureMs: context.limits.maxFutureMs };
    const selectors = canonicalSelectors(request.records, shape, options, issues);
    return { digest: contentDigest('DELETE', request.stream, selectors), selectors };
  });

type Kind = 'SUM' | 'REPLACE' | 'DELETE';

/** The checked content of a request: records to insert, or selectors to hide by. */
interface Content {
  readonly digest: Buffer;
  readonly records?: CanonicalRecords;
  readonly selectors?: readonly CanonicalSelector[];
}

type ReadContent = (shape: StreamShape | null, issues: IssueCollector, now: Date) => Content | null;

const readRecords = (
  context: IngestContext,
  request: IngestRequest<RecordInput>,
  shape: StreamShape | null,
  issues: IssueCollector,
  now: Date,
  distinct: boolean,
): Content | null => {
  const path = [...request.path, 'records'];
  const options = { path, now, maxFutureMs: context.limits.maxFutureMs };
  const records = canonicalRecords(request.records, shape, options, issues);
  if (!records) return null;
  if (distinct) checkDistinctKeys(records, path, issues);
  return { digest: contentDigest(distinct ? 'REPLACE' : 'SUM', request.stream, records), records };
};

/** Another write took the stream's name or the idempotency key, or deleted the stream, after they were read: look again. */
class OvertakenError extends Error {}

/** Characters of an idempotency key. */
const MAX_KEY = 255;

/** Each needs a deletion or another first request in between; against a loop of deletions 5 were too few. */
const MAX_TRIES = 50;

const write = async (
  context: IngestContext,
  kind: Kind,
  request: IngestRequest<unknown>,
  read: ReadContent,
): Promise<Receipt> => {
  checkRequest(request);
  for (let tries = 1; ; tries += 1) {
    try {
      return await writeOnce(context, kind, request, read);
    } catch (error) {
      if (!(error instanceof OvertakenError) || tries === MAX_TRIES) throw error;
    }
  }
};

const checkRequest = (request: IngestRequest<unknown>): void => {
  const { path, maxRecords } = request;
  if (maxRecords !== undefined && request.records.length > maxRecords) {
    throw new LimitExceededError(
      `A request takes at most ${maxRecords} records; this one has ${request.records.length}. Send it in parts.`,
      maxRecords,
      request.records.length,
    );
  }
  const issues = new IssueCollector();
  const nameProblem = streamNameProblem(request.stream);
  if (nameProblem) issues.add([...path, 'stream'], 'BAD_STREAM_NAME', nameProblem);
  if (request.idempotencyKey != null) {
    const problem = textProblem(request.idempotencyKey, MAX_KEY);
    if (problem) issues.add([...path, 'idempotencyKey'], problem.code, problem.message);
  }
  if (request.records.length === 0) {
    issues.add([...path, 'records'], 'NO_RECORDS', 'A request needs at least one record.');
  }
  issues.throwIfAny();
};

const writeOnce = async (
  { db, clock }: IngestContext,
  kind: Kind,
  request: IngestRequest<unknown>,
  read: ReadContent,
): Promise<Receipt> => {
  const { accountId, idempotencyKey } = request;
  const now = clock.now();
  // The key second: whoever made the stream that is found here has its key found as well.
  const known = await findStream(db, accountId, request.stream);
  const earlier = idempotencyKey == null ? undefined : await findOperationByKey(db, accountId, idempotencyKey);
  // A replay is answered whatever has become of the stream since, so its shape does not count here.
  if (earlier) return replay(db, earlier, read, now);
  if (kind === 'DELETE' && !known) throw new NotFoundError(`There is no stream "${request.stream}".`);

  const content = check(read, known ?? null, now);
  return db.transaction(async (tx) => {
    const stream = known ?? (await createStream(tx, request, content, now));
    if (!stream) throw new OvertakenError();
    const operation = await insertOperation(tx, kind, request, stream, content, now);
    // Not answered for in this transaction, which may have made a stream for nothing.
    if (!operation) throw new OvertakenError();
    const counts = await applyContent(tx, kind, stream, operation.id, content);
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
  request: IngestRequest<unknown>,
  content: Content,
  now: Date,
): Promise<StreamRow | null> => {
  const { accountId, stream: name } = request;
  const { granularity, dimensions } = content.records ?? { granularity: null, dimensions: [] };
  const { rowCount } = await tx.execute(sql`
    INSERT INTO streams (account_id, name, granularity, dimensions, created_at, created_xid)
    VALUES (${accountId}, ${name}, ${granularity}, ${sql.param([...dimensions])}, ${now.toISOString()}, pg_current_xact_id())
    ON CONFLICT (account_id, name) WHERE deleted_at IS NULL DO NOTHING`);
  return rowCount === 0 ? null : ((await findStream(tx, accountId, name)) ?? null);
};

/** Null where the idempotency key is taken, or the stream was deleted meanwhile. */
const insertOperation = async (
  tx: Transaction,
  kind: Kind,
  request: IngestRequest<unknown>,
  stream: StreamRow,
  content: Content,
  now: Date,
): Promise<OperationRow | null> => {
  const { accountId } = request;
  const insertedRecords = content.records?.buckets.length ?? 0;
  const idempotencyKey = request.idempotencyKey ?? null;
  const { rows } = await tx.execute<{ id: string }>(sql`
    INSERT INTO operations (account_id, stream_id, kind, received_at, xid, inserted_records, hidden_records, idempotency_key, content_sha256)
    SELECT s.account_id, s.id, ${kind}::text, ${now.toISOString()}::timestamptz, pg_current_xact_id(), ${insertedRecords}::bigint, 0, ${idempotencyKey}::text, ${content.digest}::bytea
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
    insertedRecords,
    hiddenRecords: 0,
    idempotencyKey,
    contentSha256: content.digest,
  };
};

const applyContent = async (
  tx: Transaction,
  kind: Kind,
  stream: StreamRow,
  operationId: bigint,
  { records, selectors }: Content,
): Promise<{ insertedRecords: number; hiddenRecords: number }> => {
  const live = await lockStream(tx, stream, kind === 'SUM' ? 'shared' : 'exclusive');
  if (!live) throw new OvertakenError();
  if (selectors) {
    return { insertedRecords: 0, hiddenRecords: await hideSelected(tx, stream, operationId, selectors) };
  }
  if (!records) throw new Error('A write has neither records nor selectors.');
  const filterIds = await resolveFilterIds(tx, stream, records.filters);
  const hiddenRecords = kind === 'REPLACE' ? await hideMatching(tx, stream, operationId, records, filterIds) : 0;
  const insertedRecords = await insertRecords(tx, stream, operationId, records, filterIds);
  if (insertedRecords !== records.buckets.length) {
    throw new Error(`Inserted ${insertedRecords} of ${records.buckets.length} records.`);
  }
  return { insertedRecords, hiddenRecords };
};
