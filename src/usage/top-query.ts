// Pure: builds the SQL that ranks groups, returns the top ones and sums the others.
import type { Buckets } from './buckets.ts';
import { buildTotals, rescale, type UsageSpec } from './sums-query.ts';
import type { ValueWriter } from './value-writer.ts';

/**
 * Builds the tables `g`, all groups of each stream by their rank in the whole window, and `t`: the rows of the top groups, and in each
 * bucket a row that sums the other groups of the stream. Its column `others` is the number of these groups, and null in rows of top
 * groups. With several buckets, the records of the top groups are read after the ranks, and subtracted from the sums of all groups, which
 * are read from the totals: sums by group and bucket, ranked afterwards, took 8 times as long for 25,000 elements in 40 days
 * (November 2026).
 */
export function buildTop(spec: UsageSpec, top: number, writer: ValueWriter): string {
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
