// Pure: builds the aggregation SQL. The usage query, checkJob and the exports all use it, so that a preview shows what an export
// writes.
import { formatArray } from '../db/array-text.ts';
import { isSeen, oldestUnseen } from '../db/as-of-text.ts';
import { ELEMENT_NAMES } from '../streams/pipeline/inputs.ts';
import type { StreamRow } from '../streams/stream-rows.ts';
import { formatInZone } from '../lib/zoned-time.ts';
import type { Buckets } from './buckets.ts';
import { type ValueWriter, writeLiterals, writeParameters } from './value-writer.ts';

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

/** The SELECT with its parameters. It returns one row for each bucket and group, in the order of exports. */
export function usageQuery(spec: UsageSpec): UsageSql {
  const writer = writeParameters();
  const text = buildSelect(spec, writer);
  return { text, parameters: writer.parameters };
}

/** The same SELECT with its values as literals. */
export const usageQueryText = (spec: UsageSpec): string => buildSelect(spec, writeLiterals());

/** SELECT of the number of rows of a spec that is not sparse: each occurring group, or the top groups and the others, in each bucket. */
export function filledRowCountQuery(spec: UsageSpec): UsageSql {
  const writer = writeParameters();
  const { totals, groups } = buildTotals(spec, writer);
  const keys = ['stream', ...groups.map((group) => group.alias)].join(', ');
  const counts = `SELECT count(*) AS groups FROM (SELECT DISTINCT ${keys} FROM (${totals}) t) g GROUP BY stream`;
  const returned = spec.top == null ? 'groups' : `least(groups, ${writer.write(String(spec.top + 1), 'bigint')})`;
  const text = `SELECT coalesce(sum(${returned}), 0) * ${writer.write(String(spec.buckets.starts.length), 'bigint')} AS rows FROM (${counts}) s`;
  return { text, parameters: writer.parameters };
}

/** A grouped column. It has an alias because dimension names may be longer than SQL identifiers. */
interface Group {
  readonly alias: string;
  readonly name: string;
  readonly isElement: boolean;
}

function buildSelect(spec: UsageSpec, writer: ValueWriter): string {
  const top = spec.top ?? null;
  const groupAliases = listGroups(spec).map((group) => group.alias);
  const columns = top === null ? groupAliases : ['others', ...groupAliases];
  const keys = ['stream', 'bucket', ...columns];
  // ORDER BY is in the same SELECT as the sums, so that PostgreSQL groups in the requested order and sorts once. The SELECT around
  // it must not change that order (test/exports/query-plans.test.ts).
  const order = `ORDER BY stream, bucket${columns.map((column) => `, ${column} NULLS FIRST`).join('')}`;
  let sorted: string;
  if (top === null && spec.sparse) {
    sorted = `${buildTotals(spec, writer).totals}\n${order}`;
  } else {
    const table =
      top === null ? `t AS MATERIALIZED (${buildTotals(spec, writer).totals})` : buildTop(spec, top, writer);
    const rows = spec.sparse ? `SELECT ${keys.join(', ')}, value FROM t` : fillZeros(spec, columns, writer);
    sorted = `WITH ${table}\n${rows}\n${order}`;
  }
  // Buckets are contiguous, so one list of n + 1 labels has both ends of each.
  const labels = lookup(
    listBoundaries(spec.buckets).map((boundary) => formatInZone(boundary, spec.timeZone)),
    writer,
  );
  const names = lookup(
    spec.streams.map((stream) => stream.name),
    writer,
  );
  return `SELECT ${names('u.stream')} AS "meterApiName",
  ${labels('u.bucket')} AS "bucketStart",
  ${labels('u.bucket + 1')} AS "bucketEnd",${columns.map((column) => `\n  u.${column},`).join('')}
  trim_scale(${rescale('u.value', spec, writer)})::text AS value
FROM (${sorted}) u`;
}

function rescale(value: string, { coefficient }: UsageSpec, writer: ValueWriter): string {
  return coefficient === null ? value : `${value} * ${writer.write(coefficient, 'numeric')}`;
}

/** Adds a row with the value 0 for each group of `t` and each bucket to the rows of `t`. */
function fillZeros(spec: UsageSpec, columns: readonly string[], writer: ValueWriter): string {
  const keys = ['stream', 'bucket', ...columns].join(', ');
  return `SELECT ${keys}, sum(value) AS value FROM (
  SELECT ${keys}, value FROM t
  UNION ALL
  SELECT ${['stream', 'b.bucket', ...columns].join(', ')}, 0 FROM (SELECT DISTINCT ${['stream', ...columns].join(', ')} FROM t) g
  CROSS JOIN generate_series(1, ${writer.write(String(spec.buckets.starts.length), 'int')}) AS b(bucket)
) z GROUP BY ${keys}`;
}

/**
 * Builds the tables `g`, all groups of each stream by their rank in the whole window, and `t`: the rows of the top groups, and in each
 * bucket a row that sums the other groups of the stream. Its column `others` is the number of these groups, and null in rows of top
 * groups. With several buckets, the records of the top groups are read after the ranks, and subtracted from the sums of all groups, which
 * are read from the totals: sums by group and bucket, ranked afterwards, took 8 times as long for 25,000 elements in 40 days
 * (November 2026).
 */
function buildTop(spec: UsageSpec, top: number, writer: ValueWriter): string {
  const { starts, ends, calendar } = spec.buckets;
  const window: Buckets = {
    starts: starts.slice(0, 1),
    ends: ends.slice(-1),
    calendar: [...calendar.slice(0, 1), ...calendar.slice(-1)],
  };
  const { totals, groups } = buildTotals({ ...spec, buckets: window }, writer, { isWindow: true });
  const aliases = groups.map(({ alias }) => alias);
  const order = [`${rescale('value', spec, writer)} DESC`, ...aliases.map((alias) => `${alias} NULLS FIRST`)];
  const count = writer.write(String(top), 'bigint');
  const isTop = (table: string): string => `${table}.others IS NULL`;
  const ranked = `g AS MATERIALIZED (
  SELECT stream, ${aliases.join(', ')}, value, CASE WHEN row_number() OVER (PARTITION BY stream ORDER BY ${order.join(', ')}) > ${count}
    THEN count(*) OVER (PARTITION BY stream) - ${count} END AS others
  FROM (${totals}) w
)`;
  if (starts.length === 1) {
    return `${ranked}, t AS MATERIALIZED (
  SELECT stream, 1 AS bucket, others, ${aliases.map((alias) => `CASE WHEN ${isTop('g')} THEN ${alias} END AS ${alias}`).join(', ')}, sum(value) AS value
  FROM g GROUP BY ${listPositions(groups.length + 3)}
)`;
  }
  // Values that can be hashed: a group without the dimension is null, and no dimension has an empty list of values.
  const isGroup = groups.map(({ alias, isElement: isText }) =>
    isText ? `w.${alias} = g.${alias}` : `coalesce(w.${alias}, '{}') = coalesce(g.${alias}, '{}')`,
  );
  const element = groups.find((group) => group.isElement);
  const topElements = element && `SELECT ${element.alias} FROM g WHERE ${isTop('g')}`;
  const isFew = spec.streams.length * top <= MAX_LISTED_ELEMENTS;
  // A list is read by parallel workers too, but searched from its start for each record.
  const isElement = topElements && (isFew ? `= ANY(ARRAY(${topElements}))` : `IN (${topElements})`);
  const { totals: points } = buildTotals(spec, writer, { isElement, counts: true });
  const { totals: sums } = buildTotals({ ...spec, groupBy: [] }, writer, { counts: true });
  return `${ranked}, p AS MATERIALIZED (
  SELECT w.stream, w.bucket, g.others, ${aliases.map((alias) => `w.${alias}`).join(', ')}, w.value, w.records
  FROM (${points}) w JOIN g ON ${[isTop('g'), 'w.stream = g.stream', ...isGroup].join(' AND ')}
), t AS MATERIALIZED (
  SELECT stream, bucket, others, ${aliases.join(', ')}, value FROM p
  UNION ALL
  SELECT b.stream, b.bucket, o.others, ${aliases.map(() => 'NULL').join(', ')}, b.value - coalesce(x.value, 0)
  FROM (${sums}) b JOIN (SELECT DISTINCT stream, others FROM g WHERE others IS NOT NULL) o ON o.stream = b.stream
  LEFT JOIN (SELECT stream, bucket, sum(value) AS value, sum(records) AS records FROM p GROUP BY stream, bucket) x
    ON x.stream = b.stream AND x.bucket = b.bucket
  WHERE b.records > coalesce(x.records, 0)
)`;
}

/** Maximum number of elements that are searched in a list. */
const MAX_LISTED_ELEMENTS = 100;

function listPositions(count: number): string {
  return Array.from({ length: count }, (_, index) => index + 1).join(', ');
}

/** Maximum length in bytes of PostgreSQL's type name. */
const NAME_BYTES = 63;

/**
 * Returns the SQL of a text by its index in a list, from 1. Elements of a fixed length, as those of name[], take constant time.
 * text[] is scanned for each access: half a millisecond for a row of 200,000 buckets.
 */
function lookup(texts: readonly string[], writer: ValueWriter): (index: string) => string {
  const list = writer.write(
    formatArray(texts),
    texts.every((text) => Buffer.byteLength(text) <= NAME_BYTES) ? 'name[]' : 'text[]',
  );
  return (index) => `(${list})[${index}]::text`;
}

interface TotalsOptions {
  /** Condition of the element, as SQL. */
  readonly isElement?: string | undefined;
  /** Whether the column `records` counts the records of each sum. */
  readonly counts?: boolean;
  /** Whether the buckets are a single one. */
  readonly isWindow?: boolean;
}

/**
 * Sums by stream (its index in the list), bucket and group. If dimensions are requested, records are summed by filter id first,
 * because there are few filters and many records. If no element is requested, the totals of each operation are read instead of
 * its records.
 */
function buildTotals(
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
    // Ranking reads the window as one bucket, whose number need not be computed for each record.
    const bucket = isWindow
      ? '1'
      : `width_bucket(r.bucket_start, ${writer.write(formatArray(boundaries), 'timestamptz[]')})`;
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
      `  SELECT ${keys}, ${bucket} AS bucket, ${amounts(table)}
  FROM ${table} r
  WHERE r.account_id = ${account} AND r.stream_id = ANY(${ids}) AND r.bucket_start >= ${from} AND r.bucket_start < ${to}
    AND ${isNotLater}${conditions}${isSummed ? `\n  GROUP BY ${keys}, bucket` : ''}`;
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
  const totals = `SELECT ${[`${streamIndexSql(spec.streams, writer)('a.stream_id')} AS stream`, 'a.bucket', ...columns].join(', ')}, sum(a.value) AS value${counts ? ', sum(a.records) AS records' : ''}
FROM (
${parts.join('\n  UNION ALL\n')}
) a${filters}
GROUP BY ${['stream', 'a.bucket', ...groups.map((group) => group.alias)].join(', ')}`;
  return { totals, groups };
}

function listGroups({ groupBy }: UsageSpec): Group[] {
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
  const conditions = spec.filter
    .filter((entry) => !isElement(entry.dimension))
    .map(
      (entry) =>
        ` AND f.dimensions -> ${writer.write(entry.dimension, 'text')} ?| ${writer.write(formatArray(entry.values), 'text[]')}`,
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

const listBoundaries = (buckets: Buckets): Date[] => [...buckets.starts, ...buckets.ends.slice(-1)];

function instantBoundaries(buckets: Buckets): string[] {
  return listBoundaries(buckets).map((boundary) => boundary.toISOString());
}
