import type { Db, Transaction } from '../db/client.ts';
import { type IssueCollector, NotFoundError } from '../errors/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import type { StreamShape } from './pipeline/canonical.ts';
import { findStreamNameProblem, findTextProblem } from './pipeline/inputs.ts';
import type { StreamCache } from './stream-cache.ts';
import type { CanonicalRecords } from './pipeline/records.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import type { StreamQueue } from './stream-queue.ts';
import type { GroupCommit } from './group-commit/group-commit.ts';

// What a write needs, brings and returns.

export type WriteKind = 'SUM' | 'REPLACE' | 'DELETE';

/** What a write needs besides its input. */
export interface IngestContext {
  readonly db: Db;
  readonly clock: Clock;
  readonly limits: IngestLimits;
  readonly streamCache: StreamCache;
  /** Where small writes may share a transaction; absent where there is one already. */
  readonly groupCommit?: GroupCommit | undefined;
  readonly streamQueue: StreamQueue;
  /** Signals that are aborted when nobody waits for the answer any more. */
  readonly ended?: RequestSignals | undefined;
  /** Told of each write that was accepted, and of each that was answered from the ledger. */
  readonly onWritten: OnWritten;
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
  /** Whether it has few records, all in memory. */
  readonly isSmall?: boolean;
  /** The path of the argument, for issues: ["input"]. */
  readonly path: readonly string[];
}

/** The stored answer to a write. */
export interface Receipt {
  readonly operation: OperationRow;
  readonly stream: StreamRow;
  readonly replayed: boolean;
}

/** A write of more records reads whole buckets as fast as one by one. */
const MAX_FEW_RECORDS = 1000;

/** Whether the write hides records of few keys. */
export const looksUpFewKeys = (kind: WriteKind, { operation }: Receipt): boolean =>
  kind !== 'SUM' && Math.max(operation.insertedRecords, operation.hiddenRecords) <= MAX_FEW_RECORDS;

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
  /** The few records of a small write, or the keys of a delete that selects nothing but a few whole keys. */
  readonly small?: CanonicalRecords | null;
  /** Writes it, in a transaction that holds the stream's lock, into the stream as it is under the lock. */
  readonly apply: (tx: Transaction, stream: StreamRow, operationId: bigint) => Promise<Written>;
}

/** Checks the request against the stream's shape (null: there is none yet); null where there are issues. */
export type ReadContent = (
  shape: StreamShape | null,
  issues: IssueCollector,
  now: Date,
) => Content | null | Promise<Content | null>;

/** Characters of an idempotency key. */
const MAX_KEY = 255;

/** What is wrong with a request besides its records. */
export const validateTarget = ({ path, stream, idempotencyKey }: WriteTarget, issues: IssueCollector): void => {
  const nameProblem = findStreamNameProblem(stream);
  if (nameProblem) issues.add([...path, 'stream'], 'BAD_STREAM_NAME', nameProblem);
  if (idempotencyKey == null) return;
  const problem = findTextProblem(idempotencyKey, MAX_KEY);
  if (problem) issues.add([...path, 'idempotencyKey'], problem.code, problem.message);
};

export const reportEmptyRequest = (path: readonly string[], issues: IssueCollector): void =>
  issues.add([...path, 'records'], 'NO_RECORDS', 'A request needs at least one record.');

export const streamNotFound = (name: string): NotFoundError => new NotFoundError(`There is no stream "${name}".`);
