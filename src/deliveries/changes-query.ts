// Pure: builds the SQL that finds the operations between two states of the ledger, and how they change the rows of an export.
import { formatArray } from '../db/array-text.ts';
import { isSeen, oldestUnseen } from '../db/as-of-text.ts';
import type { Buckets } from '../usage/buckets.ts';
import { buildGroups, isElement, type UsageSpec, type UsageSql, type UsageStream } from '../usage/sums-query.ts';
import { type ValueWriter, writeParameters } from '../usage/value-writer.ts';

/** The ledger between two watermarks, limited to the buckets of a window. */
export interface LedgerSpan {
  readonly accountId: bigint;
  /** Watermark of the superseded revision, which does not see the operations. */
  readonly since: string;
  /** Watermark of the run, which sees them. */
  readonly until: string;
  /** The streams that one of the watermarks sees. */
  readonly streams: readonly UsageStream[];
  readonly buckets: Buckets;
}

/** The operations that a scan has found, and the state up to which it has looked. */
export interface KnownOperations {
  /** Operations that the scan of the ledger found. */
  readonly listed: readonly string[];
  /** The snapshot up to which the ledger was scanned; null if all operations since `since` have to be read. */
  readonly scanned: string | null;
}

/** The bounds of a span, and the streams to whose records they apply. */
interface Part {
  readonly streams: readonly UsageStream[];
  /** RFC 3339, one more than there are buckets. */
  readonly boundaries: readonly string[];
}

/** An hourly bucket is an instant; a daily or monthly one is a calendar date, the same in every time zone. */
function listParts({ streams, buckets }: Pick<LedgerSpan, 'streams' | 'buckets'>): Part[] {
  const instants = [...buckets.starts, ...buckets.ends.slice(-1)].map((at) => at.toISOString());
  const dates = buckets.calendar.map((date) => `${date}T00:00:00Z`);
  return [
    { streams: streams.filter(({ granularity }) => granularity === 'HOURLY'), boundaries: instants },
    { streams: streams.filter(({ granularity }) => granularity !== 'HOURLY'), boundaries: dates },
  ].filter((part) => part.streams.length > 0);
}

function writeIds(ids: readonly { readonly id: bigint }[], writer: ValueWriter): string {
  return writer.write(formatArray(ids.map(({ id }) => String(id))), 'bigint[]');
}

/** SQL: the operation or correction `alias` may have touched a bucket of the window. */
function buildOverlap(span: LedgerSpan, alias: string, writer: ValueWriter): string {
  const parts = listParts(span).map(({ streams, boundaries }) => {
    const from = writer.write(boundaries[0] ?? '', 'timestamptz');
    const to = writer.write(boundaries.at(-1) ?? '', 'timestamptz');
    return `${alias}.stream_id = ANY(${writeIds(streams, writer)})
      AND (${alias}.first_bucket IS NULL OR ${alias}.first_bucket < ${to} AND ${alias}.last_bucket >= ${from})`;
  });
  return parts.length === 0 ? 'false' : `(${parts.join('\n    OR ')})`;
}

/** SELECT of how far the ledger was scanned, with up to `limit` corrections of the window. Returns no row if it was not scanned. */
export function correctionsQuery(span: LedgerSpan, limit: number): UsageSql {
  const writer = writeParameters();
  const account = writer.write(String(span.accountId), 'bigint');
  const since = writer.write(span.since, 'pg_snapshot');
  const text = `SELECT c.scanned, c.scanned_epoch, ARRAY(
  SELECT k.operation_id::text FROM corrections k
  WHERE k.account_id = ${account} AND k.xid >= ${oldestUnseen(since)} AND ${buildOverlap(span, 'k', writer)} LIMIT ${limit}) AS listed
FROM ledger_cursors c WHERE c.account_id = ${account}`;
  return { text, parameters: writer.parameters };
}

/** SQL: FROM and WHERE of the operations `o`. */
function buildOperations(span: LedgerSpan, { listed, scanned }: KnownOperations, writer: ValueWriter): string {
  const account = writer.write(String(span.accountId), 'bigint');
  const since = writer.write(span.since, 'pg_snapshot');
  const until = writer.write(span.until, 'pg_snapshot');
  const after = scanned === null ? since : writer.write(scanned, 'pg_snapshot');
  const later = `o.xid >= ${oldestUnseen(after)} AND NOT ${isSeen('o.xid', after)}`;
  const found =
    listed.length === 0 ? later : `(o.id = ANY(${writer.write(formatArray(listed), 'bigint[]')}) OR ${later})`;
  return `FROM operations o WHERE o.account_id = ${account} AND ${found}
    AND NOT ${isSeen('o.xid', since)} AND ${isSeen('o.xid', until)} AND o.kind <> 'COMPLETE'
    AND ${buildOverlap(span, 'o', writer)}`;
}

/**
 * SELECT of the operations by stream: their number, the first and last bucket that they may have touched (null: any), and whether
 * records that they hid are purged.
 */
export function touchedStreamsQuery(span: LedgerSpan, known: KnownOperations): UsageSql {
  const writer = writeParameters();
  const operations = buildOperations(span, known, writer);
  const account = writer.write(String(span.accountId), 'bigint');
  const text = `SELECT p.stream_id, p.operations, p.first, p.last, coalesce(p.hid_at < s.purged_before, false) AS purged
FROM (
  SELECT o.stream_id, count(*)::text AS operations,
    CASE WHEN bool_and(o.first_bucket IS NOT NULL) THEN min(o.first_bucket) END AS first,
    CASE WHEN bool_and(o.last_bucket IS NOT NULL) THEN max(o.last_bucket) END AS last,
    min(o.received_at) FILTER (WHERE o.hidden_records > 0 OR o.kind = 'DELETE_STREAM') AS hid_at
  ${operations}
  GROUP BY o.stream_id) p
JOIN streams s ON s.account_id = ${account} AND s.id = p.stream_id`;
  return { text, parameters: writer.parameters };
}

/** SELECT of the first operations, oldest first. */
export function firstOperationsQuery(span: LedgerSpan, known: KnownOperations, limit: number): UsageSql {
  const writer = writeParameters();
  const text = `SELECT o.id, o.kind, o.stream_id, o.received_at ${buildOperations(span, known, writer)}
ORDER BY o.id LIMIT ${limit}`;
  return { text, parameters: writer.parameters };
}

export interface ChangesSpec {
  /** The export as of the run's watermark. */
  readonly usage: UsageSpec;
  readonly span: LedgerSpan;
  readonly known: KnownOperations;
  /** The streams that the operations touched, of which the watermark of the run sees those in `usage`. */
  readonly touched: readonly TouchedStream[];
}

export interface TouchedStream extends UsageStream {
  /** The first and last bucket that operations may have touched; null: any. */
  readonly first: Date | null;
  readonly last: Date | null;
}

/**
 * SELECT of the meters whose rows the operations change: rows added, removed and changed, and the difference of the sums. A row is a
 * bucket and group with at least one record. Only buckets that the operations may have touched are read. Null groups cannot be joined
 * by equality, so records of both states are summed together instead.
 */
export function changesQuery({ usage, span, known, touched }: ChangesSpec): UsageSql {
  const writer = writeParameters();
  const account = writer.write(String(span.accountId), 'bigint');
  const until = writer.write(span.until, 'pg_snapshot');
  const elementFilter = usage.filter.find((entry) => isElement(entry.dimension));
  const elements = elementFilter && writer.write(formatArray(elementFilter.values), 'text[]');
  const { columns, conditions } = buildGroups(usage, writer);
  const usesFilters = conditions.length > 0 || usage.groupBy.some((name) => !isElement(name));
  const byElement = usage.groupBy.some(isElement);
  const keys = `r.stream_id, r.filter_id${byElement ? ', r.element' : ''}`;
  const live = new Set(usage.streams.map(({ id }) => id));

  const part = ({ streams, boundaries }: Part): string[] => {
    const list = writer.write(formatArray(boundaries), 'timestamptz[]');
    const [from, to] = findTouchedSpan(streams as readonly TouchedStream[], boundaries).map((at) =>
      writer.write(at, 'timestamptz'),
    );
    const records = (
      ids: string,
      sums: string,
      conditionsOfRecord: string,
      join = '',
    ): string => `SELECT ${keys}, width_bucket(r.bucket_start, ${list}) AS bucket, ${sums}
    FROM records r${join}
    WHERE r.account_id = ${account} AND r.stream_id = ANY(${ids}) AND r.bucket_start >= ${from} AND r.bucket_start < ${to}
      AND ${conditionsOfRecord}${elements ? ` AND r.element = ANY(${elements})` : ''}`;
    const kept = streams.filter(({ id }) => live.has(id));
    const deleted = streams.filter(({ id }) => !live.has(id));
    const isOlder = 'NOT EXISTS (SELECT 1 FROM ops p WHERE p.id = r.operation_id)';
    const removed = '-r.value AS difference, 0 AS after, -1 AS added';
    const parts = [records(writeIds(streams, writer), removed, `r.hidden_by IN (SELECT id FROM ops) AND ${isOlder}`)];
    if (kept.length > 0) {
      // The records that the run reads. Those of the operations are new.
      const ids = writeIds(kept, writer);
      const read = `CASE WHEN n.id IS NULL THEN 0 ELSE r.value END AS difference, 1 AS after, CASE WHEN n.id IS NULL THEN 0 ELSE 1 END AS added`;
      const isRead = 'NOT EXISTS (SELECT 1 FROM later l WHERE l.id = r.operation_id)';
      const join = ' LEFT JOIN ops n ON n.id = r.operation_id';
      parts.push(
        records(ids, read, `r.hidden_by IS NULL AND ${isRead}`, join),
        records(ids, read, `r.hidden_by IN (SELECT id FROM later) AND ${isRead}`, join),
      );
    }
    // The deletion of a stream hides no record. Nothing was written to it afterwards.
    if (deleted.length > 0)
      parts.push(records(writeIds(deleted, writer), removed, `r.hidden_by IS NULL AND ${isOlder}`));
    return parts;
  };

  const parts = listParts({ streams: touched, buckets: usage.buckets }).flatMap(part);
  const names = [...new Set(touched.map(({ name }) => name))];
  const indexOf = writeNameIndex(touched, names, writer);
  const groups = columns.map((_, index) => `, g${index + 1}`).join('');
  // A few filters and many records: OFFSET 0 keeps the planner from joining before it sums, which reads the records once per filter.
  const filters = usesFilters
    ? `\n  JOIN filters f ON f.account_id = ${account} AND f.stream_id = a.stream_id AND f.id = a.filter_id${conditions.join('')}`
    : '';
  const scaled = usage.coefficient === null ? '' : ` * ${writer.write(usage.coefficient, 'numeric')}`;
  const text = `WITH ops AS MATERIALIZED (SELECT o.id ${buildOperations(span, known, writer)}),
later AS MATERIALIZED (
  SELECT o.id FROM operations o WHERE o.account_id = ${account} AND o.xid >= ${oldestUnseen(until)} AND NOT ${isSeen('o.xid', until)})
SELECT (${writer.write(formatArray(names), 'text[]')})[k.meter] AS name,
  count(*) FILTER (WHERE k.before = 0)::text AS added,
  count(*) FILTER (WHERE k.after = 0)::text AS removed,
  count(*) FILTER (WHERE k.before > 0 AND k.after > 0)::text AS changed,
  trim_scale(sum(k.difference))::text AS difference
FROM (
  SELECT ${indexOf('a.stream_id')} AS meter, a.bucket${columns.map((column) => `, ${column}`).join('')},
    sum(a.difference)${scaled} AS difference, sum(a.after) AS after, sum(a.after) - sum(a.added) AS before
  FROM (
    SELECT stream_id, filter_id, bucket${byElement ? ', element' : ''}, sum(difference) AS difference, sum(after) AS after, sum(added) AS added
    FROM (
    ${parts.join('\n    UNION ALL\n    ')}) r
    GROUP BY stream_id, filter_id, bucket${byElement ? ', element' : ''} OFFSET 0) a${filters}
  GROUP BY meter, a.bucket${groups}) k
WHERE (k.before = 0) <> (k.after = 0) OR k.difference <> 0
GROUP BY k.meter ORDER BY k.meter`;
  return { text, parameters: writer.parameters };
}

/** Returns the boundaries around everything that the operations may have touched: a row needs all records of its bucket. */
function findTouchedSpan(touched: readonly TouchedStream[], boundaries: readonly string[]): [string, string] {
  const at = boundaries.map((text) => Date.parse(text));
  const first = Math.min(...touched.map((stream) => stream.first?.getTime() ?? -Infinity));
  const last = Math.max(...touched.map((stream) => stream.last?.getTime() ?? Infinity));
  const from = Math.max(
    0,
    at.findLastIndex((boundary) => boundary <= first),
  );
  const to = at.findIndex((boundary) => boundary > last);
  return [boundaries[from] ?? '', boundaries.at(to) ?? ''];
}

/** Returns the SQL of the index of a meter's name, from 1, by the id of its stream. A stream that was created again has another id. */
function writeNameIndex(
  touched: readonly TouchedStream[],
  names: readonly string[],
  writer: ValueWriter,
): (id: string) => string {
  const sorted = touched.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const ids = writeIds(sorted, writer);
  const indexes = writer.write(formatArray(sorted.map(({ name }) => String(names.indexOf(name) + 1))), 'int[]');
  return (id) => `(${indexes})[width_bucket(${id}, ${ids})]`;
}
