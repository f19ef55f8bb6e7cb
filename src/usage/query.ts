// Pure: builds the aggregation SQL. The usage query, checkJob and the exports all use it, so that a preview shows what an export
// writes.
import { formatArray } from '../db/array-text.ts';
import { formatInZone } from '../lib/zoned-time.ts';
import { buildTotals, listBoundaries, listGroups, rescale, type UsageSpec, type UsageSql } from './sums-query.ts';
import { buildTop } from './top-query.ts';
import { type ValueWriter, writeLiterals, writeParameters } from './value-writer.ts';

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
