import { and, eq, isNull, type SQL, sql } from 'drizzle-orm';
import { isSeen, oldestUnseen, readAsOfNow } from '../db/as-of.ts';
import type { Db, Executor } from '../db/client.ts';
import { executeNumbered } from '../db/numbered-query.ts';
import { operations, streams } from '../db/tables.ts';
import type { DimensionValues } from '../db/json-columns.ts';
import { LimitExceededError } from '../errors/errors.ts';
import { compareUtf8 } from '../lib/compare-utf8.ts';
import { sumDecimals } from '../lib/decimal.ts';
import { assertNotPurged, findPastState, type LedgerMoment } from '../streams/ledger-moment.ts';
import { type DeclaredStream, greatestDeclared, parseDeclared } from '../streams/declarations.ts';
import { findStreamNameProblem } from '../streams/pipeline/inputs.ts';
import { type AggregationBucket, computeBuckets, type TimeWindow } from './buckets.ts';
import type { UsageInput } from './inputs.ts';
import { filledRowCountQuery, usageQuery } from './query.ts';
import { isElement, MAX_FEW, type UsageSpec } from './sums-query.ts';

export interface UsageLimits {
  /** Maximum number of rows that a usage query returns. */
  readonly maxRows: number;
  /** Maximum number of rows that filling with zeros makes. */
  readonly maxFilledRows: number;
}

export interface Usage {
  readonly from: Date;
  readonly to: Date;
  readonly series: readonly UsageSeries[];
}

export interface UsageSeries {
  readonly meterApiName: string;
  readonly group: readonly DimensionValues[];
  /** Whether the series sums the groups beyond `top`. */
  readonly others: boolean;
  /** Number of groups in the series. */
  readonly groupCount: number;
  readonly total: string;
  readonly points: readonly UsagePoint[];
}

export interface UsagePoint {
  readonly bucketStart: Date;
  readonly bucketEnd: Date;
  readonly value: string;
}

const isStreamName = (name: string): boolean => findStreamNameProblem(name) === null;

/** The streams of a window as of a watermark. */
interface ResolvedStreams extends Pick<UsageSpec, 'hasManyLater'> {
  readonly streams: readonly (UsageSpec['streams'][number] & DeclaredStream)[];
}

/** Returns the streams with these names, or all, that were live at the watermark, sorted by name, and whether hasManyLater. */
export async function resolveStreams(
  db: Executor,
  accountId: bigint,
  names: readonly string[] | null,
  watermark: string,
): Promise<ResolvedStreams> {
  const { id, name, granularity, dimensions } = streams;
  const rows = await db
    .select({
      id,
      name,
      granularity,
      dimensions,
      completeThrough: greatestDeclared(accountId, sql.raw('streams.id'), isSeen(sql`o.xid`, sql`${watermark}`)),
      hasManyLater: hasManyLater(accountId, watermark),
    })
    .from(streams)
    .where(
      and(
        eq(streams.accountId, accountId),
        // One array: a list of single parameters has at most 65,534.
        names === null ? undefined : sql`${streams.name} = ANY(${sql.param(names.filter(isStreamName))}::text[])`,
        isSeen(streams.createdXid, sql`${watermark}`),
        sql`(${isNull(streams.deletedXid)} OR NOT ${isSeen(streams.deletedXid, sql`${watermark}`)})`,
      ),
    )
    .orderBy(streams.name);
  return {
    streams: rows.map(({ hasManyLater: _, completeThrough, ...stream }) => ({
      ...stream,
      completeThrough: parseDeclared(completeThrough),
    })),
    hasManyLater: rows[0]?.hasManyLater ?? false,
  };
}

/**
 * SQL: whether PostgreSQL may expect more than MAX_FEW operations that the watermark does not see. Operations that it sees count too
 * if a transaction that is older than them is open: the planner does not know the difference. ORDER BY selects the index.
 */
function hasManyLater(accountId: bigint, watermark: string): SQL<boolean> {
  return sql`(SELECT 1 FROM ${operations} o WHERE o.account_id = ${accountId} AND o.xid >= ${oldestUnseen(sql`${watermark}`)}
    ORDER BY o.xid DESC OFFSET ${sql.raw(String(MAX_FEW))} LIMIT 1) IS NOT NULL`;
}

/** Selection of usage: the settings of an export or the input of a usage query, with all defaults. */
export interface UsageSelection {
  readonly meterApiNames: readonly string[] | null;
  readonly aggregationBucket: AggregationBucket;
  readonly timeZone: string;
  readonly groupBy: readonly string[] | null;
  readonly filter: readonly DimensionValues[] | null;
  readonly sparse: boolean;
  readonly rescaleFunction: { readonly coefficient: string } | null;
  /** See UsageSpec. */
  readonly top?: number | null;
}

/** Builds the input of the aggregation for a window as of a watermark: the same for usage queries, previews and exports. */
export async function buildUsageSpec(
  db: Executor,
  accountId: bigint,
  selection: UsageSelection,
  window: TimeWindow,
  watermark: string,
): Promise<UsageSpec & ResolvedStreams> {
  return {
    accountId,
    watermark,
    ...(await resolveStreams(db, accountId, selection.meterApiNames, watermark)),
    buckets: computeBuckets(window, selection.aggregationBucket, selection.timeZone),
    timeZone: selection.timeZone,
    groupBy: selection.groupBy ?? [],
    filter: selection.filter ?? [],
    sparse: selection.sparse,
    coefficient: selection.rescaleFunction?.coefficient ?? null,
    top: selection.top ?? null,
  };
}

/** Throws LimitExceededError if filling with zeros would make more rows than allowed. Call this before writing a row. */
export async function assertFilledRowsWithinLimit(db: Executor, spec: UsageSpec, limit: number): Promise<void> {
  if (spec.sparse) return;
  // Groups are counted only if the top groups could exceed the limit.
  if (spec.top != null && spec.streams.length * (spec.top + 1) * spec.buckets.starts.length <= limit) return;
  const rows = await executeNumbered<{ rows: string }>(db, filledRowCountQuery(spec));
  const filled = Number(rows[0]?.rows ?? 0);
  if (filled > limit) {
    throw new LimitExceededError(
      `With sparse: false, every group has a row in every bucket: ${filled} rows, but the maximum is ${limit}. Use sparse: true, fewer groups, larger buckets or a shorter range.`,
      limit,
      filled,
    );
  }
}

/**
 * One row of the SELECT. The group columns are g1, g2 and so on. With `top` there is a column `others`: the number of groups that the
 * row sums, or null.
 */
export type UsageRow = Record<string, string | string[] | null> & {
  readonly meterApiName: string;
  readonly bucketStart: string;
  readonly bucketEnd: string;
  readonly value: string;
};

/** Returns at most `limit` rows of a spec, in the order of exports. */
export function readUsageRows(db: Executor, spec: UsageSpec, limit: number): Promise<UsageRow[]> {
  const query = usageQuery(spec);
  return executeNumbered<UsageRow>(db, { text: `${query.text}\nLIMIT ${limit}`, parameters: query.parameters });
}

/**
 * Returns what an export of this window would contain, as of now or of an earlier state. Throws LimitExceededError if it has too many
 * rows, and NotFoundError and ConflictError if the earlier state cannot be read.
 */
export async function readUsage(
  db: Db,
  accountId: bigint,
  input: UsageInput,
  limits: UsageLimits,
  asOf: LedgerMoment | null = null,
): Promise<Usage> {
  const { window } = input;
  const rows = await readAsOfNow(db, accountId, async (tx, watermark, epoch) => {
    const past = asOf && (await findPastState(tx, accountId, asOf, epoch));
    const spec = await buildUsageSpec(tx, accountId, input, window, past?.snapshot ?? watermark);
    await assertFilledRowsWithinLimit(tx, spec, limits.maxFilledRows);
    const read = await readUsageRows(tx, spec, limits.maxRows + 1);
    if (past) {
      const streamIds = spec.streams.map(({ id }) => id);
      await assertNotPurged(tx, accountId, streamIds, past.at);
    }
    return read;
  });
  if (rows.length > limits.maxRows) {
    throw new LimitExceededError(
      `The result has more than ${limits.maxRows} rows. Use fewer groups, larger buckets or a shorter window, or use an export job.`,
      limits.maxRows,
      rows.length,
    );
  }
  return { from: window.start, to: window.end, series: toSeries(rows, input.groupBy ?? []) };
}

type GroupValue = string | readonly string[] | null;

function readGroups(row: UsageRow, groupCount: number): GroupValue[] {
  return Array.from({ length: groupCount }, (_, index) => row[`g${index + 1}`] ?? null);
}

interface GroupSeries {
  readonly meterApiName: string;
  readonly groups: readonly GroupValue[];
  /** Number of groups that the series sums beyond `top`; null if it has one group. */
  readonly others: string | null;
  readonly points: UsagePoint[];
}

/** Rows are sorted by stream and bucket; the series are sorted by stream and group, with the others at the end. */
function toSeries(rows: readonly UsageRow[], groupBy: readonly string[]): UsageSeries[] {
  const series = new Map<string, GroupSeries>();
  for (const row of rows) {
    const groups = readGroups(row, groupBy.length);
    const others = (row['others'] as string | null | undefined) ?? null;
    const key = JSON.stringify([row.meterApiName, others, ...groups]);
    let entry = series.get(key);
    if (!entry) series.set(key, (entry = { meterApiName: row.meterApiName, groups, others, points: [] }));
    entry.points.push({ bucketStart: new Date(row.bucketStart), bucketEnd: new Date(row.bucketEnd), value: row.value });
  }
  return [...series.values()].sort(compareSeries).map(({ meterApiName, groups, others, points }) => ({
    meterApiName,
    group: groupBy.flatMap((name, index) => groupValues(name, groups[index] ?? null)),
    others: others !== null,
    groupCount: Number(others ?? 1),
    points,
    total: sumDecimals(points.map((point) => point.value)),
  }));
}

function compareSeries(a: GroupSeries, b: GroupSeries): number {
  return (
    compareUtf8(a.meterApiName, b.meterApiName) ||
    Number(a.others !== null) - Number(b.others !== null) ||
    compareLists(a.groups, b.groups, compareGroups)
  );
}

function compareLists<Item>(
  a: readonly Item[],
  b: readonly Item[],
  compare: (one: Item, other: Item) => number,
): number {
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) {
    const order = compare(a[i] as Item, b[i] as Item);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Compares like the SELECT sorts: bytewise, nulls first, arrays element by element. */
function compareGroups(a: GroupValue, b: GroupValue): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  return compareLists([a].flat(), [b].flat(), compareUtf8);
}

/** A dimension that the stream lacks is omitted from the group. */
function groupValues(name: string, value: GroupValue): DimensionValues[] {
  if (value === null) return [];
  return [{ dimension: isElement(name) ? 'element' : name, values: [value].flat() }];
}
