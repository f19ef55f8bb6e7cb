import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import { keysetAfter, keysetBefore } from '../db/keyset.ts';
import { countCursorParts, type Page, type PageArguments, readPage, toPage } from '../db/paging.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import { type FilterEntry, findTextProblem } from './pipeline/inputs.ts';
import { isKeyHash } from './key-hashes/key-hash.ts';
import type { StreamRow } from './stream-rows.ts';
import { formatIsoSql } from './streams.ts';

/** The live value of one bucket, filter and element. */
export interface LiveRecord {
  readonly bucketStart: Date;
  readonly filter: readonly FilterEntry[];
  readonly element: string;
  /** Plain decimal notation. */
  readonly value: string;
  /** Sort key in the list. */
  readonly key: readonly string[];
}

export interface RecordListArguments extends PageArguments {
  /** First bucket start, inclusive. */
  readonly from?: Date | null;
  /** Last bucket start, exclusive. */
  readonly to?: Date | null;
  readonly elementName?: string | null | undefined;
}

/** An order of records: newest bucket first, and the same on every page. */
interface RecordOrder {
  readonly columns: readonly string[];
  readonly casts: readonly string[];
  readonly directions: readonly ('asc' | 'desc')[];
  /** For each column, whether a part of a cursor is a valid value. */
  readonly valid: readonly ((part: string) => boolean)[];
}

const isTimestamp = (part: string): boolean => parseTimestamp(part) !== null;

const isId = (part: string): boolean => /^\d{1,18}$/.test(part);

const isElement = (part: string): boolean => findTextProblem(part) === null;

const BY_FILTER: RecordOrder = {
  columns: ['bucket_start', 'filter_id', 'element'],
  casts: ['timestamptz', 'bigint', 'text'],
  directions: ['desc', 'asc', 'asc'],
  valid: [isTimestamp, isId, isElement],
};

/** The order of the index with key hashes: a page of a large bucket reads the records of some hashes, and not the whole bucket. */
const BY_HASH: RecordOrder = {
  columns: ['bucket_start', 'key_hash', 'filter_id', 'element'],
  casts: ['timestamptz', 'smallint', 'bigint', 'text'],
  directions: ['desc', 'desc', 'asc', 'asc'],
  valid: [isTimestamp, isKeyHash, isId, isElement],
};

/** Forces a scan in the order of the index. Without it, a planner whose statistics are older than the hashes reads the whole bucket. */
const ONLY_IN_ORDER_OF_INDEX = [
  'enable_seqscan = off',
  'enable_bitmapscan = off',
  'enable_hashagg = off',
  'enable_sort = off',
  'max_parallel_workers_per_gather = 0',
].map((setting) => sql.raw(`SET LOCAL ${setting}`));

/** Lists live records, newest bucket first. A cursor keeps the order of the first page. */
export async function listRecords(db: Db, stream: StreamRow, args: RecordListArguments): Promise<Page<LiveRecord>> {
  const cursor = args.after ?? args.before;
  const length = cursor == null ? undefined : countCursorParts(cursor);
  const isByHash = stream.keysHashed && (length === undefined || length === BY_HASH.columns.length);
  const { columns, casts, directions, valid } = isByHash ? BY_HASH : BY_FILTER;
  const page = readPage(args, columns.length, (key) => key.every((part, index) => valid[index]?.(part)));
  if (stream.deletedAt || (args.elementName != null && findTextProblem(args.elementName))) return toPage(page, []);
  const order = sql.raw(
    columns
      .map((column, index) => `${column} ${(directions[index] === 'asc') === page.backward ? 'desc' : 'asc'}`)
      .join(', '),
  );
  const key = sql.raw(columns.join(', '));
  const conditions = [
    sql`account_id = ${stream.accountId} AND stream_id = ${stream.id} AND hidden_by IS NULL`,
    args.from ? sql`bucket_start >= ${args.from.toISOString()}::timestamptz` : undefined,
    args.to ? sql`bucket_start < ${args.to.toISOString()}::timestamptz` : undefined,
    args.elementName == null ? undefined : sql`element = ${args.elementName}`,
    page.after ? keysetAfter(columns, casts, directions, page.after) : undefined,
    page.before ? keysetBefore(columns, casts, directions, page.before) : undefined,
  ].filter((condition) => condition !== undefined);
  const query = sql`
    SELECT ${formatIsoSql(sql`bucket_start`)} AS bucket, live.*, (
      SELECT f.dimensions FROM filters f
      WHERE f.account_id = ${stream.accountId} AND f.stream_id = ${stream.id} AND f.id = live.filter_id
    ) AS dimensions FROM (
      SELECT ${key}, trim_scale(sum(value))::text AS value
      FROM records WHERE ${sql.join(conditions, sql` AND `)}
      GROUP BY ${key} ORDER BY ${order} LIMIT ${page.limit + 1}
    ) live ORDER BY ${order}`;
  interface Row extends Record<string, unknown> {
    bucket: string;
    key_hash?: number;
    filter_id: string;
    element: string;
    value: string;
    dimensions: Record<string, string[]>;
  }
  // One element has so few records that sorting them is cheap.
  const { rows } =
    isByHash && args.elementName == null
      ? await db.transaction(async (tx) => {
          const settings = ONLY_IN_ORDER_OF_INDEX.map(async (setting) => tx.execute(setting));
          const [result] = await Promise.all([tx.execute<Row>(query), ...settings]);
          return result;
        })
      : await db.execute<Row>(query);
  return toPage(
    page,
    rows.map((row) => {
      const bucketStart = new Date(row.bucket);
      return {
        bucketStart,
        filter: stream.dimensions.map((dimension) => ({ dimension, values: row.dimensions[dimension] ?? [] })),
        element: row.element,
        value: row.value,
        key: [bucketStart.toISOString(), ...(isByHash ? [String(row.key_hash)] : []), row.filter_id, row.element],
      };
    }),
  );
}
