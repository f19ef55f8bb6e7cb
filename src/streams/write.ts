import type { Db, Transaction } from '../db/client.ts';
import { ConflictError, IssueCollector } from '../errors/errors.ts';
import type { StreamShape } from './pipeline/canonical.ts';
import {
  insertOperation,
  limitLockWaits,
  lockName,
  lockStream,
  recordHiddenCounts,
  takeOperationIds,
} from './sql/ledger.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import { createStream, findOperationByKey, findStream } from './streams.ts';
import type { StreamTicket } from './stream-queue.ts';
import {
  type Content,
  type IngestContext,
  streamNotFound,
  type ReadContent,
  type Receipt,
  type WriteKind,
  type WriteTarget,
  type Written,
} from './write-plan.ts';

// How checked content becomes an operation of a stream's ledger, whatever form it was sent in.

/** A write that has a place in the queue of its stream. */
interface QueuedContext extends IngestContext {
  readonly ticket: StreamTicket;
}

/** Another write took the stream's name or the idempotency key, or deleted the stream, after they were read: look again. */
class OvertakenError extends Error {}

/** Each but the first, which trusts what was remembered, needs a deletion or another first request in between. */
const MAX_TRIES = 6;

/** Writes all of it or nothing; with a known idempotency key answers with the stored receipt. */
export const write = async (
  context: IngestContext,
  kind: WriteKind,
  target: WriteTarget,
  read: ReadContent,
): Promise<Receipt> => {
  const { accountId, stream } = target;
  const { streamQueue, ended } = context;
  const request = { accountId, stream, ended };
  const remembered = target.isSmall ? await checkRemembered(context, target, read) : undefined;
  const small = remembered && smallWrite(context, kind, target, remembered);
  let receipt: Receipt | null = null;
  let leftMs: number | undefined;
  if (small) {
    receipt = await streamQueue.enter({ ...request, access: kind === 'SUM' ? 'shared' : 'grouped' }, async (ticket) => {
      await ticket.turn;
      const written = await small(ticket);
      leftMs = ticket.leftMs();
      return written;
    });
  }
  receipt ??= await streamQueue.enter(
    { ...request, access: kind === 'SUM' ? 'shared' : 'exclusive', leftMs },
    async (ticket) => {
      // What a batch did not take is not trusted again: its key was used before, or the stream is not there any more.
      const trusted = small
        ? null
        : remembered === undefined
          ? await checkRemembered(context, target, read)
          : remembered;
      return writeHoweverOftenOvertaken({ ...context, ticket }, kind, target, read, trusted);
    },
  );
  context.onWritten(kind, receipt);
  return receipt;
};

/** Content without issues, checked against the shape of a stream that is remembered. */
interface Remembered {
  readonly stream: StreamRow;
  readonly content: Content;
  readonly now: Date;
}

/** Null if the stream is not remembered, or if there are issues: they are reported only if the idempotency key is new. */
const checkRemembered = async (
  { streamCache, clock }: IngestContext,
  { accountId, stream: name }: WriteTarget,
  read: ReadContent,
): Promise<Remembered | null> => {
  const stream = streamCache.get(accountId, name);
  if (!stream) return null;
  const now = clock.now();
  const { content } = await check(read, stream, now);
  return content && { stream, content, now };
};

/** How to write it together with others; null if it must be written by itself. */
const smallWrite = (
  { db, streamCache, groupCommit }: IngestContext,
  kind: WriteKind,
  { idempotencyKey = null }: WriteTarget,
  { stream, content: { digest, small: records }, now: receivedAt }: Remembered,
): ((ticket: StreamTicket) => Promise<Receipt | null>) | null => {
  if (!groupCommit || !records) return null;
  const filterIds = records.filters.flatMap((filter) => streamCache.getFilterId(stream.id, filter) ?? []);
  if (filterIds.length < records.filters.length) return null;
  return async (ticket) => {
    const operation = await groupCommit.write(db, stream, {
      kind,
      receivedAt,
      idempotencyKey,
      digest,
      records,
      filterIds,
      ticket,
    });
    return operation && { operation, stream, replayed: false };
  };
};

const writeHoweverOftenOvertaken = async (
  context: QueuedContext,
  kind: WriteKind,
  target: WriteTarget,
  read: ReadContent,
  remembered: Remembered | null,
): Promise<Receipt> => {
  try {
    return await writeInTries(context, kind, target, read, remembered);
  } catch (error) {
    if (!(error instanceof OvertakenError)) throw error;
    // Against a loop of deletions even 50 tries were too few at times; the name's lock keeps deletions out.
    return context.db.transaction(async (tx) => {
      await Promise.all([limitLockWaits(tx, context.ticket.leftMs()), lockName(tx, target.accountId, target.stream)]);
      return writeInTries({ ...context, db: tx }, kind, target, read, null);
    });
  }
};

/** Throws OvertakenError where the last one was overtaken too. */
const writeInTries = async (
  context: QueuedContext,
  kind: WriteKind,
  target: WriteTarget,
  read: ReadContent,
  remembered: Remembered | null,
): Promise<Receipt> => {
  for (let tries = 1; ; tries += 1) {
    try {
      return await writeOnce(context, kind, target, read, tries === 1 ? remembered : null);
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
  remembered: Remembered | null,
): Promise<Receipt> => {
  const { db, clock, streamCache, ticket } = context;
  if (remembered) {
    await ticket.turn;
    // A key that was used before comes out when it is stored.
    return writeContent(context, kind, target, remembered.stream, remembered.content, remembered.now);
  }
  const now = clock.now();
  streamCache.invalidate(target.accountId, target.stream);
  const { stream, earlier } = await lookUp(db, target);
  // A replay is answered whatever has become of the stream since, so its shape does not count here.
  if (earlier) return replay(db, earlier, read, now);
  if (kind === 'DELETE' && !stream) throw streamNotFound(target.stream);
  const { content, issues } = await check(read, stream ?? null, now);
  issues.throwIfAny();
  if (!content) throw new Error('A request without issues has no content.');
  await ticket.turn;
  return writeContent(context, kind, target, stream ?? null, content, now);
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
  { db, streamCache, clock, ticket }: Pick<QueuedContext, 'db' | 'streamCache' | 'clock' | 'ticket'>,
  kind: WriteKind,
  target: WriteTarget,
  found: StreamRow | null,
  content: Content,
  now: Date,
): Promise<Receipt> => {
  let onCommitted: Written['onCommitted'];
  const receipt = await db.transaction(async (tx): Promise<Receipt> => {
    const limited = limitLockWaits(tx, ticket.leftMs());
    limited.catch(() => undefined);
    const stream = found ?? (await makeStream(tx, target, content, now));
    if (!stream) throw new OvertakenError();
    const [[id], locked] = await Promise.all([
      takeOperationIds(tx, 1),
      lockStream(tx, stream, kind === 'SUM' ? 'shared' : 'exclusive'),
      limited,
    ]);
    if (!locked || id === undefined) throw new OvertakenError();
    const operation = await insertOperation(tx, locked, id, kind, target.idempotencyKey ?? null, content, now);
    // Not answered for in this transaction, which may have made a stream for nothing.
    if (!operation) throw new OvertakenError();
    const { onCommitted: callback, ...counts } = await content.apply(tx, locked, operation.id);
    onCommitted = callback;
    if (counts.insertedRecords !== content.recordCount) {
      throw new Error(`Inserted ${counts.insertedRecords} of ${content.recordCount} records.`);
    }
    if (counts.hiddenRecords > 0) {
      await recordHiddenCounts(tx, stream, new Map([[operation.id, counts.hiddenRecords]]), clock.now());
    }
    return { operation: { ...operation, ...counts }, stream: locked, replayed: false };
  });
  streamCache.set(receipt.stream);
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
