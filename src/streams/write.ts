import { sql } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';
import { ConflictError, IssueCollector, NotFoundError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import type { StreamShape } from './canonical.ts';
import { streamNameProblem, textProblem } from './inputs.ts';
import type { KnownStreams } from './known-streams.ts';
import { insertOperation, limitLockWaits, lockName, lockStream } from './ledger.ts';
import type { CanonicalRecords } from './records.ts';
import type { OperationRow, StreamRow } from './rows.ts';
import { createStream, findOperationByKey, findStream } from './streams.ts';
import type { StreamPlace, StreamQueue } from './stream-queue.ts';
import type { SumBatches } from './sum-batches.ts';

// How checked content becomes an operation of a stream's ledger, whatever form it was sent in.

export type WriteKind = 'SUM' | 'REPLACE' | 'DELETE';

/** What a write needs besides its input. */
export interface IngestContext {
  readonly db: Db;
  readonly clock: Clock;
  readonly limits: IngestLimits;
  readonly known: KnownStreams;
  /** Where small sums may share a transaction; absent where there is one already. */
  readonly batches?: SumBatches | undefined;
  readonly streamQueue: StreamQueue;
  /** Signals that are aborted when nobody waits for the answer any more. */
  readonly ended?: RequestSignals | undefined;
  /** Told of each write that was accepted, and of each that was answered from the ledger. */
  readonly onWritten: OnWritten;
}

/** A write that has a place in the queue of its stream. */
interface QueuedContext extends IngestContext {
  readonly place: StreamPlace;
}

export type OnWritten = (kind: WriteKind, receipt: Receipt) => void;

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

export interface Written extends WriteCounts {
  /** Called when it is committed. */
  readonly onCommitted?: () => void;
}

/** The checked content of a request. */
export interface Content {
  readonly digest: Buffer;
  /** How many records it inserts. */
  readonly recordCount: number;
  /** What a stream that is made for it will be like; null for selectors, which make none. */
  readonly shape: StreamShape | null;
  /** What there is to add, where a sum has few records. */
  readonly small?: CanonicalRecords | undefined;
  /** Writes it, in a transaction that holds the stream's lock. */
  readonly apply: (tx: Transaction, stream: StreamRow, operationId: bigint) => Promise<Written>;
}

/** Checks the request against the stream's shape (null: there is none yet); null where there are issues. */
export type ReadContent = (
  shape: StreamShape | null,
  issues: IssueCollector,
  now: Date,
) => Content | null | Promise<Content | null>;

/** Another write took the stream's name or the idempotency key, or deleted the stream, after they were read: look again. */
class OvertakenError extends Error {}

/** Characters of an idempotency key. */
const MAX_KEY = 255;

/** Each but the first, which trusts what was remembered, needs a deletion or another first request in between. */
const MAX_TRIES = 6;

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
  const { accountId, stream } = target;
  const { streamQueue, ended } = context;
  const access = kind === 'SUM' ? 'shared' : 'exclusive';
  const receipt = await streamQueue.enter({ accountId, stream, access, ended }, (place) =>
    writeHoweverOftenOvertaken({ ...context, place }, kind, target, read),
  );
  context.onWritten(kind, receipt);
  return receipt;
};

const writeHoweverOftenOvertaken = async (
  context: QueuedContext,
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
      await Promise.all([limitLockWaits(tx, context.place.leftMs()), lockName(tx, target.accountId, target.stream)]);
      return writeInTries({ ...context, db: tx, batches: undefined }, kind, target, read);
    });
  }
};

/** Throws OvertakenError where the last one was overtaken too. */
const writeInTries = async (
  context: QueuedContext,
  kind: WriteKind,
  target: WriteTarget,
  read: ReadContent,
): Promise<Receipt> => {
  for (let tries = 1; ; tries += 1) {
    try {
      return await writeOnce(context, kind, target, read, tries === 1);
    } catch (error) {
      if (!(error instanceof OvertakenError) || tries === MAX_TRIES) throw error;
    }
  }
};

const writeOnce = async (
  context: QueuedContext,
  kind: WriteKind,
  target: WriteTarget,
  read: ReadContent,
  trusts: boolean,
): Promise<Receipt> => {
  const { db, clock, known, place } = context;
  const now = clock.now();
  const remembered = trusts ? known.find(target.accountId, target.stream) : undefined;
  if (remembered) {
    const { content } = await check(read, remembered, now);
    // A key that was used before comes out when it is stored. What is wrong with the records is told only where none was.
    if (content) {
      await place.turn;
      return (
        (await writeInBatch(context, target, remembered, content, now)) ??
        (await writeContent(context, kind, target, remembered, content, now))
      );
    }
  }
  known.forget(target.accountId, target.stream);
  const { stream, earlier } = await lookUp(db, target);
  // A replay is answered whatever has become of the stream since, so its shape does not count here.
  if (earlier) return replay(db, earlier, read, now);
  if (kind === 'DELETE' && !stream) throw missingStream(target.stream);
  const { content, issues } = await check(read, stream ?? null, now);
  issues.throwIfAny();
  if (!content) throw new Error('A request without issues has no content.');
  await place.turn;
  return writeContent(context, kind, target, stream ?? null, content, now);
};

/** Null where the content is to be written by itself. */
const writeInBatch = async (
  { db, known, batches, place }: QueuedContext,
  { idempotencyKey }: WriteTarget,
  stream: StreamRow,
  { digest, small: records }: Content,
  receivedAt: Date,
): Promise<Receipt | null> => {
  if (!batches || !records) return null;
  const filterIds = records.filters.flatMap((filter) => known.filterId(stream.id, filter) ?? []);
  if (filterIds.length < records.filters.length) return null;
  const sum = { receivedAt, idempotencyKey: idempotencyKey ?? null, digest, records, filterIds, place };
  const operation = await batches.add(db, stream, sum);
  return operation && { operation, stream, replayed: false };
};

/** The live stream of the name, and the operation of the key: the second, so that whoever made the stream has its key found. */
const lookUp = (db: Db, { accountId, stream: name, idempotencyKey }: WriteTarget) =>
  db.transaction(async (tx) => {
    const [stream, earlier] = await Promise.all([
      findStream(tx, accountId, name),
      idempotencyKey == null ? undefined : findOperationByKey(tx, accountId, idempotencyKey),
    ]);
    return { stream, earlier };
  });

/** Statements that need not wait for each other's answers leave together, in the order in which they stand. */
const writeContent = async (
  { db, known, clock, place }: Pick<QueuedContext, 'db' | 'known' | 'clock' | 'place'>,
  kind: WriteKind,
  target: WriteTarget,
  found: StreamRow | null,
  content: Content,
  now: Date,
): Promise<Receipt> => {
  let onCommitted: Written['onCommitted'];
  const receipt = await db.transaction(async (tx): Promise<Receipt> => {
    const limited = limitLockWaits(tx, place.leftMs());
    limited.catch(() => undefined);
    const stream = found ?? (await makeStream(tx, target, content, now));
    if (!stream) throw new OvertakenError();
    const [operation, live] = await Promise.all([
      insertOperation(tx, stream, kind, target.idempotencyKey ?? null, content, now),
      lockStream(tx, stream, kind === 'SUM' ? 'shared' : 'exclusive'),
      limited,
    ]);
    // Not answered for in this transaction, which may have made a stream for nothing.
    if (!operation || !live) throw new OvertakenError();
    const { onCommitted: callback, ...counts } = await content.apply(tx, stream, operation.id);
    onCommitted = callback;
    if (counts.insertedRecords !== content.recordCount) {
      throw new Error(`Inserted ${counts.insertedRecords} of ${content.recordCount} records.`);
    }
    if (counts.hiddenRecords > 0) {
      await tx.execute(sql`
        UPDATE operations SET hidden_records = ${counts.hiddenRecords}, ended_at = ${clock.now().toISOString()}::timestamptz
        WHERE account_id = ${target.accountId} AND id = ${operation.id}`);
    }
    return { operation: { ...operation, ...counts }, stream, replayed: false };
  });
  known.note(receipt.stream);
  onCommitted?.();
  return receipt;
};

/** The content, null where there are issues. */
const check = async (
  read: ReadContent,
  shape: StreamShape | null,
  now: Date,
): Promise<{ readonly content: Content | null; readonly issues: IssueCollector }> => {
  const issues = new IssueCollector();
  const content = await read(shape, issues, now);
  return { content: issues.count === 0 ? content : null, issues };
};

const replay = async (db: Db, earlier: OperationRow, read: ReadContent, now: Date): Promise<Receipt> => {
  const issues = new IssueCollector();
  const content = await read(null, issues, now);
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

const makeStream = (tx: Transaction, { accountId, stream: name }: WriteTarget, { shape }: Content, now: Date) => {
  if (!shape) throw new Error('Content without a shape made a stream.');
  return createStream(tx, accountId, name, shape, now);
};
