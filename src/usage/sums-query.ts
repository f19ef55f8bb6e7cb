// Pure: builds the SQL of the sums by stream, bucket and group, and describes what is summed. The aggregation (query.ts) and the ranking of
// groups (top-query.ts) are built on it.
import { formatArray } from '../db/array-text.ts';
import { isSeen, oldestUnseen } from '../db/as-of-text.ts';
import { ELEMENT_NAMES } from '../streams/pipeline/inputs.ts';
import type { StreamRow } from '../streams/stream-rows.ts';
import type { Buckets } from './buckets.ts';
import type { ValueWriter } from './value-writer.ts';

export const isElement = (name: string): boolean => ELEMENT_NAMES.has(name);

export type UsageStream = Readonly<Pick<StreamRow, 'id' | 'name' | 'granularity' | 'dimensions'>>;

export interface UsageSpec {
  readonly accountId: bigint;
  /** State of the ledger to read: a pg_snapshot in text form. */
  readonly watermark: string;
  /** Sorted bytewise by name; rows are returned in the order of this list. */
  readonly streams: readonly UsageStream[];
  /** Whether the account may have more than MAX_FEW operations that the watermark does not see. It selects the plan, not the result. */
  readonly hasManyLater: boolean;
  readonly buckets: Buckets;
  readonly timeZone: string;
  /** Dimensions and the element, in the order of the columns. */
  readonly groupBy: readonly string[];
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  /** If false, each group that occurs has a row in every bucket, with 0 if it has no usage. */
  readonly sparse: boolean;
  /** Factor of the sums; null leaves them unchanged. */
  readonly coefficient: string | null;
  /** Number of groups of each stream that have rows of their own; one more row in each bucket sums the others. Null returns all groups. */
  readonly top?: number | null;
}

/**
 * Up to this number of operations NOT IN is faster: 0.25 instead of 0.28 s for a million records without a later operation (November
 * 2026). If PostgreSQL expects more operations than fit into work_mem, it reads all of them again for each record.
 */
export const MAX_FEW = 10_000;

export interface UsageSql {
  readonly text: string;
  /** In Postgres text form, in order. */
  readonly parameters: readonly (string | null)[];
}

/** A grouped column. It has an alias because dimension names may be longer than SQL identifiers. */
export interface Group {
  readonly alias: string;
  readonly name: string;
  readonly isElement: boolean;
}

/** SQL: the value after the job's factor. */
export function rescale(value: string, { coefficient }: UsageSpec, writer: ValueWriter): string {
  return coefficient === null ? value : `${value} * ${writer.write(coefficient, 'numeric')}`;
}

interface TotalsOptions {
  /** Condition of the element, as SQL. */
  readonly isElement?: string | undefined;
  /** Whether the column `records` counts the records of each sum. */
  readonly counts?: boolean;
  /** Whether the sums are those of the whole window, without the column `bucket`. */
  readonly isWindow?: boolean;
}

/**
 * Sums by stream (its index in the list), bucket and group. If dimensions are requested, records are summed by filter id first,
 * because there are few filters and many records. If no element is requested, the totals of each operation are read instead of
 * its records.
 */
export function buildTotals(
  spec: UsageSpec,
  writer: ValueWriter,
  { isElement: isElementListed, counts = false, isWindow = false }: TotalsOptions = {},
): { readonly totals: string; readonly groups: readonly Group[] } {
  const groups = listGroups(spec);
  const byElement = groups.some((group) => group.isElement);
  const account = writer.write(String(spec.accountId), 'bigint');
  const watermark = writer.write(spec.watermark, 'pg_snapshot');
  const elementFilter = spec.filter.find((entry) => isElement(entry.dimension));
  const elements = elementFilter ? writer.write(formatArray(elementFilter.values), 'text[]') : null;
  const usesTotals = !byElement && elements === null;
  const passes = spec.filter.filter((entry) => !isElement(entry.dimension));
  const usesFilters = passes.length > 0 || groups.some((group) => !group.isElement);

  // Operations that the watermark does not see. If nothing was written since, the index by xid finds none immediately; with
  // the streams, PostgreSQL could read all their operations by another index.
  const laterOf = (ids: string): string =>
    `SELECT o.id FROM operations o WHERE o.account_id = ${account} AND o.xid >= ${oldestUnseen(watermark)} AND NOT ${isSeen('o.xid', watermark)}${spec.hasManyLater ? ` AND o.stream_id = ANY(${ids})` : ''}`;

  /** Whether the totals of the streams are equal to the ledger as of the watermark. */
  const totalsServe = (ids: string): string =>
    `(SELECT count(*) FROM streams s WHERE s.account_id = ${account} AND s.id = ANY(${ids})
      AND (s.totals_merged_xid > ${oldestUnseen(watermark)}
        OR EXISTS (SELECT 1 FROM operations o WHERE o.account_id = ${account} AND o.stream_id = s.id AND NOT o.totalled))) = 0`;

  const part = (streams: readonly UsageStream[], boundaries: readonly string[]): string => {
    const ids = writer.write(formatArray(streams.map((stream) => String(stream.id))), 'bigint[]');
    const bucket = isWindow
      ? ''
      : `, width_bucket(r.bucket_start, ${writer.write(formatArray(boundaries), 'timestamptz[]')}) AS bucket`;
    const from = writer.write(boundaries[0] ?? '', 'timestamptz');
    const to = writer.write(boundaries.at(-1) ?? '', 'timestamptz');
    const keys = `r.stream_id${usesFilters ? ', r.filter_id' : ''}${byElement ? ', r.element' : ''}`;
    const isSummed = usesFilters || usesTotals;
    const later = laterOf(ids);
    const isNotLater = spec.hasManyLater
      ? `NOT EXISTS (${later} AND o.id = r.operation_id)`
      : `r.operation_id NOT IN (${later})`;
    const amounts = (table: 'records' | 'totals'): string => {
      if (!isSummed) return `r.value${counts ? ', 1 AS records' : ''}`;
      const records = table === 'totals' ? 'sum(r.records)' : 'count(*)';
      return `sum(r.value) AS value${counts ? `, ${records} AS records` : ''}`;
    };
    const values = (table: 'records' | 'totals', conditions: string): string =>
      `  SELECT ${keys}${bucket}, ${amounts(table)}
  FROM ${table} r
  WHERE r.account_id = ${account} AND r.stream_id = ANY(${ids}) AND r.bucket_start >= ${from} AND r.bucket_start < ${to}
    AND ${isNotLater}${conditions}${isSummed ? `\n  GROUP BY ${keys}${isWindow ? '' : ', bucket'}` : ''}`;
    const ledgerOnly = `${usesTotals ? ` AND NOT ${totalsServe(ids)}` : ''}${elements ? ` AND r.element = ANY(${elements})` : ''}${isElementListed ? ` AND r.element ${isElementListed}` : ''}`;
    return [
      // A bucket whose records are all hidden has no row, as in the ledger.
      ...(usesTotals ? [`${values('totals', ` AND ${totalsServe(ids)}`)} HAVING sum(r.records) > 0`] : []),
      // Records that are live now and existed at the watermark, by the index of live records; and records that were hidden since
      // the watermark, by the index of hidden records.
      values('records', ` AND r.hidden_by IS NULL${ledgerOnly}`),
      values('records', ` AND r.hidden_by IN (${later})${ledgerOnly}`),
    ].join('\n  UNION ALL\n');
  };

  // An hourly bucket is an instant; a daily or monthly one is a calendar date, the same in every time zone.
  const hourly = spec.streams.filter((stream) => stream.granularity === 'HOURLY');
  const calendar = spec.streams.filter((stream) => stream.granularity !== 'HOURLY');
  const parts = [
    // This part is present even without any stream, because PostgreSQL rejects parameters that a SELECT does not use.
    ...(hourly.length > 0 || calendar.length === 0 ? [part(hourly, instantBoundaries(spec.buckets))] : []),
    ...(calendar.length > 0
      ? [
          part(
            calendar,
            spec.buckets.calendar.map((date) => `${date}T00:00:00Z`),
          ),
        ]
      : []),
  ];
  const { columns, conditions } = buildGroups(spec, writer);
  const filters = usesFilters
    ? `\nJOIN filters f ON f.account_id = ${account} AND f.stream_id = a.stream_id AND f.id = a.filter_id${conditions.join('')}`
    : '';
  const bucketColumn = isWindow ? [] : ['a.bucket'];
  const totals = `SELECT ${[`${streamIndexSql(spec.streams, writer)('a.stream_id')} AS stream`, ...bucketColumn, ...columns].join(', ')}, sum(a.value) AS value${counts ? ', sum(a.records) AS records' : ''}
FROM (
${parts.join('\n  UNION ALL\n')}
) a${filters}
GROUP BY ${['stream', ...bucketColumn, ...groups.map((group) => group.alias)].join(', ')}`;
  return { totals, groups };
}

/** Returns the grouped columns, in the order of groupBy. */
export function listGroups({ groupBy }: UsageSpec): Group[] {
  return groupBy.map((name, index) => ({ alias: `g${index + 1}`, name, isElement: isElement(name) }));
}

/** Builds the columns g1, g2 and so on from the element of `a` and the filter `f`, and the conditions that `f` has to meet. */
export function buildGroups(
  spec: UsageSpec,
  writer: ValueWriter,
): { readonly columns: readonly string[]; readonly conditions: readonly string[] } {
  const columns = listGroups(spec).map((group) => {
    if (group.isElement) return `a.element AS ${group.alias}`;
    const name = writer.write(group.name, 'text');
    return `(CASE WHEN f.dimensions ? ${name} THEN ARRAY(SELECT jsonb_array_elements_text(f.dimensions -> ${name})) END) COLLATE "C" AS ${group.alias}`;
  });
  // PostgreSQL estimates that CASE is true for half of the filters. It estimates ?| to be true for 1 %, expects one filter, and then
  // computes the sums again for each filter: 22 instead of 2 s for a million records and 15 filters (November 2026).
  const conditions = spec.filter
    .filter((entry) => !isElement(entry.dimension))
    .map(
      (entry) =>
        ` AND (CASE WHEN f.dimensions -> ${writer.write(entry.dimension, 'text')} ?| ${writer.write(formatArray(entry.values), 'text[]')} THEN true END)`,
    );
  return { columns, conditions };
}

/** Returns the SQL of a stream's index in the list, from 1, by its id: a binary search over any number of streams. */
function streamIndexSql(streams: readonly UsageStream[], writer: ValueWriter): (id: string) => string {
  if (streams.length === 1) return () => '1';
  const entries = streams.map(({ id }, index) => ({ id, index: index + 1 })).sort((a, b) => (a.id < b.id ? -1 : 1));
  const ids = writer.write(formatArray(entries.map(({ id }) => String(id))), 'bigint[]');
  const list = writer.write(formatArray(entries.map(({ index }) => String(index))), 'int[]');
  return (id) => `(${list})[width_bucket(${id}, ${ids})]`;
}

/** Buckets are contiguous, so n + 1 boundaries have both ends of each. */
export const listBoundaries = (buckets: Buckets): Date[] => [...buckets.starts, ...buckets.ends.slice(-1)];

function instantBoundaries(buckets: Buckets): string[] {
  return listBoundaries(buckets).map((boundary) => boundary.toISOString());
}
