// Pure: the one place that builds the aggregation SQL. The usage query, checkJob and the exports all use it, so that
// what you check is what you get.
import { arrayText } from '../db/array-text.ts';
import { isSeen, oldestUnseen } from '../db/as-of-text.ts';
import { ELEMENT_NAMES, type Granularity } from '../streams/pipeline/inputs.ts';
import { formatInZone } from '../lib/zoned-time.ts';
import type { Buckets } from './buckets.ts';

export const isElement = (name: string): boolean => ELEMENT_NAMES.has(name);

export interface UsageStream {
  readonly id: bigint;
  readonly name: string;
  readonly granularity: Granularity;
  readonly dimensions: readonly string[];
}

export interface UsageSpec {
  readonly accountId: bigint;
  /** As of which moment of the ledger to read: a pg_snapshot in text form. */
  readonly watermark: string;
  /** By name, bytewise: rows come in the order of this list. */
  readonly streams: readonly UsageStream[];
  readonly buckets: Buckets;
  readonly timeZone: string;
  /** Dimensions and the element, in the order of the columns. */
  readonly groupBy: readonly string[];
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  /** False: each group that occurs stands in every bucket, with 0 where it has nothing. */
  readonly sparse: boolean;
  /** Multiplies the sums; null leaves them. */
  readonly coefficient: string | null;
}

export interface UsageSql {
  readonly text: string;
  /** In Postgres text form, in order. */
  readonly parameters: readonly (string | null)[];
}

/** Writes values into the SQL: as writeParameters parameters, or as literals for COPY, which takes no parameters. */
interface ValueWriter {
  readonly parameters: string[];
  write(value: string, type: string): string;
}

const writeParameters = (): ValueWriter => {
  const parameters: string[] = [];
  return { parameters, write: (value, type) => `$${parameters.push(value)}::${type}` };
};

/** Sound while standard_conforming_strings is on, which is Postgres' default and set for every export. */
const writeLiterals = (): ValueWriter => ({
  parameters: [],
  write: (value, type) => `'${value.replaceAll("'", "''")}'::${type}`,
});

/** The SELECT with its parameters. One row for each bucket and group, sorted as exports are. */
export const usageQuery = (spec: UsageSpec): UsageSql => {
  const writer = writeParameters();
  const text = buildSelect(spec, writer);
  return { text, parameters: writer.parameters };
};

/** The same SELECT with its values written in. */
export const usageQueryText = (spec: UsageSpec): string => buildSelect(spec, writeLiterals());

/** How many rows the SELECT of a spec that is not sparse would make: each occurring group in each bucket. */
export const filledRowCountQuery = (spec: UsageSpec): UsageSql => {
  const writer = writeParameters();
  const { totals, groups } = buildTotals(spec, writer);
  const keys = ['stream', ...groups.map((group) => group.alias)].join(', ');
  const text = `SELECT count(*) * ${writer.write(String(spec.buckets.starts.length), 'bigint')} AS rows FROM (SELECT DISTINCT ${keys} FROM (${totals}) t) g`;
  return { text, parameters: writer.parameters };
};

/** A grouped column: its alias (dimension names may be longer than SQL's identifiers) and what it is. */
interface Group {
  readonly alias: string;
  readonly name: string;
  readonly isElement: boolean;
}

const buildSelect = (spec: UsageSpec, writer: ValueWriter): string => {
  const { totals, groups } = buildTotals(spec, writer);
  const groupAliases = groups.map((group) => group.alias);
  const keys = ['stream', 'bucket', ...groupAliases];
  // Beside the sums, so that Postgres groups in the order that is asked for, and sorts once. The SELECT around it reads
  // them as they come: it must have nothing of its own that could change their order (test/exports/query-plans.test.ts).
  const order = `ORDER BY stream, bucket${groupAliases.map((alias) => `, ${alias} NULLS FIRST`).join('')}`;
  const sorted = spec.sparse
    ? `${totals}\n${order}`
    : `WITH t AS MATERIALIZED (${totals})
SELECT ${keys.join(', ')}, sum(value) AS value FROM (
  SELECT ${keys.join(', ')}, value FROM t
  UNION ALL
  SELECT ${['stream', 'b.bucket', ...groupAliases].join(', ')}, 0 FROM (SELECT DISTINCT ${['stream', ...groupAliases].join(', ')} FROM t) g
  CROSS JOIN generate_series(1, ${writer.write(String(spec.buckets.starts.length), 'int')}) AS b(bucket)
) z GROUP BY ${keys.join(', ')}
${order}`;
  // Buckets are contiguous: one list of n + 1 labels has both ends of each.
  const labels = lookup(
    listBoundaries(spec.buckets).map((moment) => formatInZone(moment, spec.timeZone)),
    writer,
  );
  const names = lookup(
    spec.streams.map((stream) => stream.name),
    writer,
  );
  const value = spec.coefficient === null ? 'u.value' : `u.value * ${writer.write(spec.coefficient, 'numeric')}`;
  return `SELECT ${names('u.stream')} AS "meterApiName",
  ${labels('u.bucket')} AS "bucketStart",
  ${labels('u.bucket + 1')} AS "bucketEnd",${groupAliases.map((alias) => `\n  u.${alias},`).join('')}
  trim_scale(${value})::text AS value
FROM (${sorted}) u`;
};

/** Longest text, in bytes, of Postgres' type name. */
const NAME_BYTES = 63;

/**
 * A text of a list by its place, from 1. Elements of one length are found at once; those of text[] are walked to, each
 * time: half a millisecond for a row of 200,000 buckets.
 */
const lookup = (texts: readonly string[], writer: ValueWriter): ((place: string) => string) => {
  const list = writer.write(
    arrayText(texts),
    texts.every((text) => Buffer.byteLength(text) <= NAME_BYTES) ? 'name[]' : 'text[]',
  );
  return (place) => `(${list})[${place}]::text`;
};

/**
 * Sums by stream (its place in the list), bucket and group. Where dimensions are asked for, records are summed by filter id
 * first: filters are few, records many. Where no element is, the totals of each operation have been summed already, and
 * are read in the place of its records.
 */
const buildTotals = (spec: UsageSpec, writer: ValueWriter): { totals: string; groups: readonly Group[] } => {
  const groups = spec.groupBy.map((name, index) => ({ alias: `g${index + 1}`, name, isElement: isElement(name) }));
  const byElement = groups.some((group) => group.isElement);
  const account = writer.write(String(spec.accountId), 'bigint');
  const watermark = writer.write(spec.watermark, 'pg_snapshot');
  const elementFilter = spec.filter.find((entry) => isElement(entry.dimension));
  const elements = elementFilter ? writer.write(arrayText(elementFilter.values), 'text[]') : null;
  const usesTotals = !byElement && elements === null;
  const passes = spec.filter.filter((entry) => !isElement(entry.dimension));
  const usesFilters = passes.length > 0 || groups.some((group) => !group.isElement);

  // Operations that the watermark does not see: none, where nothing was written since, which the index tells at once.
  const later = `SELECT o.id FROM operations o WHERE o.account_id = ${account} AND o.xid >= ${oldestUnseen(watermark)} AND NOT ${isSeen('o.xid', watermark)}`;

  /** Whether the totals of the streams say all that the ledger does, as of the watermark. */
  const totalsServe = (ids: string): string =>
    `(SELECT count(*) FROM streams s WHERE s.account_id = ${account} AND s.id = ANY(${ids})
      AND (s.totals_merged_xid > ${oldestUnseen(watermark)}
        OR EXISTS (SELECT 1 FROM operations o WHERE o.account_id = ${account} AND o.stream_id = s.id AND NOT o.totalled))) = 0`;

  const part = (streams: readonly UsageStream[], boundaries: readonly string[]): string => {
    const ids = writer.write(arrayText(streams.map((stream) => String(stream.id))), 'bigint[]');
    const list = writer.write(arrayText(boundaries), 'timestamptz[]');
    const from = writer.write(boundaries[0] ?? '', 'timestamptz');
    const to = writer.write(boundaries.at(-1) ?? '', 'timestamptz');
    const keys = `r.stream_id${usesFilters ? ', r.filter_id' : ''}${byElement ? ', r.element' : ''}`;
    const isSummed = usesFilters || usesTotals;
    const values = (table: 'records' | 'totals', conditions: string): string =>
      `  SELECT ${keys}, width_bucket(r.bucket_start, ${list}) AS bucket, ${isSummed ? 'sum(r.value) AS value' : 'r.value'}
  FROM ${table} r
  WHERE r.account_id = ${account} AND r.stream_id = ANY(${ids}) AND r.bucket_start >= ${from} AND r.bucket_start < ${to}
    AND r.operation_id NOT IN (${later})${conditions}${isSummed ? `\n  GROUP BY ${keys}, bucket` : ''}`;
    const ledgerOnly = `${usesTotals ? ` AND NOT ${totalsServe(ids)}` : ''}${elements ? ` AND r.element = ANY(${elements})` : ''}`;
    return [
      // A bucket whose records are all hidden has no row, as in the ledger.
      ...(usesTotals ? [`${values('totals', ` AND ${totalsServe(ids)}`)} HAVING sum(r.records) > 0`] : []),
      // What is live now and was there then, and what was hidden since: the first by the index of live records, the
      // second by that of hidden ones, for the few operations since.
      values('records', ` AND r.hidden_by IS NULL${ledgerOnly}`),
      values('records', ` AND r.hidden_by IN (${later})${ledgerOnly}`),
    ].join('\n  UNION ALL\n');
  };

  // An hourly bucket is a moment; a daily or monthly one is a calendar date, the same in every zone.
  const hourly = spec.streams.filter((stream) => stream.granularity === 'HOURLY');
  const calendar = spec.streams.filter((stream) => stream.granularity !== 'HOURLY');
  const parts = [
    // Without any stream too: a SELECT that leaves out parameters could not be run with them.
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
  const columns = groups.map((group) => {
    if (group.isElement) return `a.element AS ${group.alias}`;
    const name = writer.write(group.name, 'text');
    return `(CASE WHEN f.dimensions ? ${name} THEN ARRAY(SELECT jsonb_array_elements_text(f.dimensions -> ${name})) END) COLLATE "C" AS ${group.alias}`;
  });
  const conditions = passes.map(
    (entry) =>
      ` AND f.dimensions -> ${writer.write(entry.dimension, 'text')} ?| ${writer.write(arrayText(entry.values), 'text[]')}`,
  );
  const filters = usesFilters
    ? `\nJOIN filters f ON f.account_id = ${account} AND f.stream_id = a.stream_id AND f.id = a.filter_id${conditions.join('')}`
    : '';
  const totals = `SELECT ${[`${streamIndexSql(spec.streams, writer)('a.stream_id')} AS stream`, 'a.bucket', ...columns].join(', ')}, sum(a.value) AS value
FROM (
${parts.join('\n  UNION ALL\n')}
) a${filters}
GROUP BY ${['stream', 'a.bucket', ...groups.map((group) => group.alias)].join(', ')}`;
  return { totals, groups };
};

/** The place of a stream in the list, from 1, by its id: found by halves, however many streams there are. */
const streamIndexSql = (streams: readonly UsageStream[], writer: ValueWriter): ((id: string) => string) => {
  if (streams.length === 1) return () => '1';
  const places = streams.map(({ id }, index) => ({ id, place: index + 1 })).sort((a, b) => (a.id < b.id ? -1 : 1));
  const ids = writer.write(arrayText(places.map(({ id }) => String(id))), 'bigint[]');
  const list = writer.write(arrayText(places.map(({ place }) => String(place))), 'int[]');
  return (id) => `(${list})[width_bucket(${id}, ${ids})]`;
};

const listBoundaries = (buckets: Buckets): Date[] => [...buckets.starts, ...buckets.ends.slice(-1)];

const instantBoundaries = (buckets: Buckets): string[] => listBoundaries(buckets).map((moment) => moment.toISOString());
