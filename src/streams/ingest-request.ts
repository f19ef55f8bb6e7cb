import { z } from 'zod';
import type { Db } from '../db/client.ts';
import type { IssueCollector } from '../errors/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import { withRules } from '../validation/zod-issues.ts';
import type { GroupCommit } from './group-commit/group-commit.ts';
import { findStreamNameProblem, findTextProblem, type WriteKind } from './pipeline/inputs.ts';
import type { PlanInput } from './pipeline/plan.ts';
import type { ScopeInput } from './pipeline/scope.ts';
import type { StreamCache } from './stream-cache.ts';
import type { StreamQueue } from './stream-queue.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';

// Arguments and result of a write, and the rules for the stream name and the idempotency key: for lists and for NDJSON.

/** Dependencies of a write. */
export interface IngestContext {
  readonly db: Db;
  readonly clock: Clock;
  readonly limits: {
    /** Maximum milliseconds from now to a timestamp in the future. */
    readonly maxFutureMs: number;
  };
  readonly streamCache: StreamCache;
  /** Absent inside a transaction: then no write shares one. */
  readonly groupCommit?: GroupCommit | undefined;
  readonly streamQueue: StreamQueue;
  /** Signals that abort when no client waits for the response. */
  readonly ended?: RequestSignals | undefined;
  readonly onWritten: OnWritten;
}

/** Called for each accepted write, and for each replay. */
export type OnWritten = (kind: WriteKind | 'REVERT' | 'COMPLETE', receipt: Receipt) => void;

/** Stream and idempotency key of a write. */
export interface WriteTarget {
  readonly accountId: bigint;
  readonly stream: string;
  readonly idempotencyKey?: string | null | undefined;
  /** Path of the argument for issues, such as ["input"]. */
  readonly path: readonly string[];
}

export type WriteRequest = PlanInput & WriteTarget;

export interface Receipt {
  readonly operation: OperationRow;
  readonly stream: StreamRow;
  /** Whether an earlier request with the same idempotency key stored the operation. */
  readonly replayed: boolean;
}

/** Maximum characters of an idempotency key. */
const MAX_KEY = 255;

/** Validates the stream name and the idempotency key. */
export function validateTarget(
  { path, stream, idempotencyKey }: Omit<WriteTarget, 'accountId'>,
  issues: IssueCollector,
): void {
  const nameProblem = findStreamNameProblem(stream);
  if (nameProblem) issues.add([...path, 'stream'], 'BAD_STREAM_NAME', nameProblem);
  validateIdempotencyKey(idempotencyKey, [...path, 'idempotencyKey'], issues);
}

export function validateIdempotencyKey(
  key: string | null | undefined,
  path: readonly string[],
  issues: IssueCollector,
): void {
  const problem = key == null ? null : findTextProblem(key, MAX_KEY);
  if (problem) issues.add(path, problem.code, problem.message);
}

/** Adds an issue if the request has no records, and no scope whose records it could hide. */
export function validateCount(
  { path, scope }: Pick<WriteTarget, 'path'> & { readonly scope?: ScopeInput | null | undefined },
  count: number,
  issues: IssueCollector,
): void {
  if (count > 0 || scope) return;
  issues.add([...path, 'records'], 'NO_RECORDS', 'The request has no records. Send at least one.');
}

export function validateScope(
  { kind, path, scope }: Pick<WriteRequest, 'kind' | 'path'> & { readonly scope?: ScopeInput | null | undefined },
  issues: IssueCollector,
): void {
  if (!scope || kind === 'REPLACE') return;
  issues.add([...path, 'scope'], 'SCOPE_FORBIDDEN', 'Only a replace has a scope. Remove it, or send a replace.');
}

/**
 * The schema of GraphQL inputs with a list of records. It validates what ingest() validates for REST too, and no record: planWrite
 * validates the records after the idempotency key was looked up.
 */
export function listInput<Item>() {
  const shape = z.object({
    stream: z.string(),
    records: z.custom<readonly Item[]>(Array.isArray),
    idempotencyKey: z.string().nullish(),
    scope: z.custom<ScopeInput>((value) => typeof value === 'object').nullish(),
  });
  return withRules(shape, (input, _, issues) => {
    validateTarget({ path: [], ...input }, issues);
    validateCount({ path: [], scope: input.scope }, input.records.length, issues);
  });
}
