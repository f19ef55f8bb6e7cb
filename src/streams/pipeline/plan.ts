// Pure: turns the records or selectors of a request into a plan of what to write.
import { IssueCollector } from '../../errors/errors.ts';
import { yieldToEventLoop, RECORDS_PER_TICK } from '../../lib/event-loop.ts';
import { aggregate, type BucketTotals } from './bucket-aggregator.ts';
import type { ReaderOptions, StreamShape } from './canonical.ts';
import { ContentDigest } from './content-digest.ts';
import type { EncodedBatch } from './encode-batch.ts';
import type { MalformedRecord, RecordInput, SelectorInput, WriteKind } from './inputs.ts';
import { type CanonicalRecords, RecordReader, validateDistinctKeys } from './records.ts';
import {
  type BucketBounds,
  boundsOfScope,
  type CanonicalScope,
  computeBounds,
  type ScopeInput,
  ScopeReader,
} from './scope.ts';
import { type CanonicalSelector, extractWholeKeys, SelectorReader } from './selectors.ts';

/** The validated content of a request. Lists, NDJSON bodies and writes that share a transaction are all written from a plan. */
export interface WritePlan {
  readonly kind: WriteKind;
  /** SHA-256 of the content. A request with a used idempotency key is a replay if it is the same. */
  readonly digest: Buffer;
  /** Number of records that the plan inserts. */
  readonly recordCount: number;
  /** Shape of the stream that the write creates if there is none; null for a write without records, which creates none. */
  readonly shape: StreamShape | null;
  /** The first and last bucket that the write may touch. */
  readonly bounds: BucketBounds | null;
  /** Scope of a replace, whose live records are hidden; null if the replace hides the records with the keys of its own. */
  readonly scope: CanonicalScope | null;
  readonly content: PlannedContent;
  /** The records of a small write, or the keys of a small delete, if it can share a transaction; else null. */
  readonly small: CanonicalRecords | null;
}

/** Content in memory, or in the table `staged_batches`. */
export type PlannedContent =
  /** `totals` is null for small writes: a group computes the totals of all its records together. */
  | { readonly type: 'RECORDS'; readonly records: CanonicalRecords; readonly totals: BucketTotals | null }
  | { readonly type: 'SELECTORS'; readonly selectors: readonly CanonicalSelector[] }
  | { readonly type: 'BUFFERED_RECORDS'; readonly batches: readonly EncodedBatch[]; readonly totals: BucketTotals }
  /** `totals` is null if they are too many for memory: PostgreSQL computes them from the staged records. */
  | { readonly type: 'STAGED_RECORDS'; readonly staged: StagedContent; readonly totals: BucketTotals | null }
  | { readonly type: 'STAGED_SELECTORS'; readonly staged: StagedContent; readonly forms: readonly SelectorForm[] };

/** A request whose content is staged. */
export interface StagedRequest {
  readonly accountId: bigint;
  readonly requestId: string;
  /** Statement timeout of the statements over all staged rows, in milliseconds. */
  readonly maxMs: number;
}

export interface StagedContent {
  readonly request: StagedRequest;
  /** Number of batches. */
  readonly batches: number;
  /** Number of records or selectors. */
  readonly rows: number;
}

/** The columns that a selector compares. */
export interface SelectorForm {
  /** Sorted bytewise; empty if the selector matches every filter. */
  readonly dimensions: readonly string[];
  readonly element: boolean;
}

/** A request with all its records or selectors in memory. */
export type ListContent =
  | {
      readonly kind: 'SUM' | 'REPLACE';
      readonly records: readonly (RecordInput | MalformedRecord)[];
      readonly scope?: ScopeInput | null | undefined;
    }
  | { readonly kind: 'DELETE'; readonly records: readonly (SelectorInput | MalformedRecord)[] };

/** A request whose records or selectors were validated while they arrived. */
export interface CollectedContent {
  readonly kind: WriteKind;
  readonly collected: {
    readonly plan: WritePlan;
    /** Issues found while the body arrived. */
    readonly issues: IssueCollector;
    /** Adds issues if the stream has another shape than the content was validated against. */
    validateShape(shape: StreamShape | null, issues: IssueCollector): void;
  };
}

/** Whether the request can only hide records, so that it does not create its stream. */
export function onlyHides(request: PlanInput): boolean {
  return (
    request.kind === 'DELETE' ||
    ('collected' in request ? request.collected.plan.recordCount : request.records.length) === 0
  );
}

export type PlanInput = (ListContent | CollectedContent) & {
  readonly stream: string;
  readonly path: readonly string[];
};

/** A plan, or null if there are issues. */
export interface PlanResult {
  readonly plan: WritePlan | null;
  readonly issues: IssueCollector;
}

/** Larger writes gain nothing from sharing a transaction: their records fill a statement of their own. */
const MAX_SMALL_RECORDS = 100;

export function isSmall(request: object & Partial<Pick<ListContent, 'records'>>): boolean {
  return request.records !== undefined && request.records.length <= MAX_SMALL_RECORDS;
}

/**
 * Validates the content of a request and plans its write.
 *
 * @param shape shape of the stream; null if there is none yet, or for a replay, whose content alone counts
 */
export async function planWrite(
  request: PlanInput,
  shape: StreamShape | null,
  { now, maxFutureMs }: Pick<ReaderOptions, 'now' | 'maxFutureMs'>,
): Promise<PlanResult> {
  const issues = new IssueCollector();
  const options = { path: [...request.path, 'records'], now, maxFutureMs };
  let plan: WritePlan | null;
  if ('collected' in request) {
    ({ plan } = request.collected);
    issues.addAll(request.collected.issues);
    request.collected.validateShape(shape, issues);
  } else if (request.kind === 'DELETE') plan = await planSelectors(request, shape, options, issues);
  else plan = await planRecords(request, shape, options, issues);
  return { plan: issues.count === 0 ? plan : null, issues };
}

async function planRecords(
  request: ListContent & {
    readonly kind: 'SUM' | 'REPLACE';
    readonly stream: string;
    readonly path: readonly string[];
  },
  shape: StreamShape | null,
  options: ReaderOptions,
  issues: IssueCollector,
): Promise<WritePlan | null> {
  const { kind, stream } = request;
  const isLong = request.records.length > RECORDS_PER_TICK;
  const reader = new RecordReader(shape, options, issues);
  await readAll(reader, request.records);
  const records = reader.take();
  if (!records) return null;
  const asked = request.scope ? new ScopeReader(request.scope, request.path, issues) : null;
  asked?.validateRecords(records);
  if (kind === 'REPLACE') validateDistinctKeys(records, options.path, issues);
  if (issues.count > 0) return null;
  if (isLong) await yieldToEventLoop();
  const scope = asked?.read(records) ?? null;
  const digest = new ContentDigest(kind, stream).addRecords(records);
  if (scope) digest.addScope(scope);
  if (isLong) await yieldToEventLoop();
  // A group of small writes looks up keys, and hides no whole scopes.
  const small = isSmall(request) && !scope ? records : null;
  return {
    kind,
    digest: digest.finish(),
    recordCount: records.elements.length,
    shape: records.elements.length > 0 ? records : null,
    bounds: scope ? boundsOfScope(scope) : computeBounds(records.buckets),
    scope,
    content: { type: 'RECORDS', records, totals: small ? null : aggregate(records) },
    small,
  };
}

async function planSelectors(
  request: ListContent & { readonly kind: 'DELETE'; readonly stream: string },
  shape: StreamShape | null,
  options: ReaderOptions,
  issues: IssueCollector,
): Promise<WritePlan> {
  const { kind, stream } = request;
  const reader = new SelectorReader(shape, options, issues);
  await readAll(reader, request.records);
  const selectors = reader.take();
  const digest = new ContentDigest(kind, stream).addSelectors(selectors).finish();
  const small = isSmall(request) && shape ? extractWholeKeys(selectors, shape) : null;
  const bounds = computeBounds(selectors.map(({ bucket }) => bucket));
  return {
    kind,
    digest,
    recordCount: 0,
    shape: null,
    bounds,
    scope: null,
    content: { type: 'SELECTORS', selectors },
    small,
  };
}

async function readAll<Input>(reader: { read(input: Input): void }, inputs: readonly Input[]): Promise<void> {
  for (const [index, input] of inputs.entries()) {
    if (index > 0 && index % RECORDS_PER_TICK === 0) await yieldToEventLoop();
    reader.read(input);
  }
}
