import { type SQL, sql } from 'drizzle-orm';
import { isSeen, oldestUnseen, readAsOfNow } from '../db/as-of.ts';
import type { Db, Transaction } from '../db/client.ts';
import { keysetAfter, keysetBefore } from '../db/keyset.ts';
import { countCursorParts, type Page, type PageArguments, readPage, toPage } from '../db/paging.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import { type FilterEntry, findTextProblem } from './pipeline/inputs.ts';
import { isKeyHash } from './key-hashes/key-hash.ts';
import { assertNotPurged, findPastState, type LedgerMoment } from './ledger-moment.ts';
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
  /** Earlier state of the ledger to read. */
  readonly asOf?: LedgerMoment | null | undefined;
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

/**
 * Lists live records, newest bucket first. A cursor keeps the order of the first page. Throws NotFoundError and ConflictError if the
 * state of `asOf` cannot be read.
 */
export async function listRecords(db: Db, stream: StreamRow, args: RecordListArguments): Promise<Page<LiveRecord>> {
  const cursor = args.after ?? args.before;
  const length = cursor == null ? undefined : countCursorParts(cursor);
  // Hidden records may have no hash.
  const isByHash = !args.asOf && stream.keysHashed && (length === undefined || length === BY_HASH.columns.length);
  const { columns, casts, directions, valid } = isByHash ? BY_HASH : BY_FILTER;
  const page = readPage(args, columns.length, (key) => key.every((part, index) => valid[index]?.(part)));
  if ((stream.deletedAt && !args.asOf) || (args.elementName != null && findTextProblem(args.elementName)))
    return toPage(page, []);
  const order = sql.raw(
    columns
      .map((column, index) => `${column} ${(directions[index] === 'asc') === page.backward ? 'desc' : 'asc'}`)
      .join(', '),
  );
  const key = sql.raw(columns.join(', '));
  const conditions = [
    sql`r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id}`,
    args.from ? sql`bucket_start >= ${args.from.toISOString()}::timestamptz` : undefined,
    args.to ? sql`bucket_start < ${args.to.toISOString()}::timestamptz` : undefined,
    args.elementName == null ? undefined : sql`element = ${args.elementName}`,
    page.after ? keysetAfter(columns, casts, directions, page.after) : undefined,
    page.before ? keysetBefore(columns, casts, directions, page.before) : undefined,
  ].filter((condition) => condition !== undefined);
  const limit = page.limit + 1;
  const sumWhere = (condition: SQL): SQL => sql`
    SELECT ${key}, sum(value) AS value FROM records r WHERE ${sql.join([...conditions, condition], sql` AND `)}
    GROUP BY ${key} ORDER BY ${order} LIMIT ${limit}`;
  const buildQuery = (sums: SQL): SQL => sql`
    SELECT ${formatIsoSql(sql`bucket_start`)} AS bucket, live.*, (
      SELECT f.dimensions FROM filters f
      WHERE f.account_id = ${stream.accountId} AND f.stream_id = ${stream.id} AND f.id = live.filter_id
    ) AS dimensions FROM (SELECT ${key}, trim_scale(value)::text AS value FROM (${sums}) sums) live ORDER BY ${order}`;
  interface Row extends Record<string, unknown> {
    bucket: string;
    key_hash?: number;
    filter_id: string;
    element: string;
    value: string;
    dimensions: Record<string, string[]>;
  }
  const readRows = async (): Promise<readonly Row[]> => {
    if (args.asOf) {
      return readPast(db, stream, args.asOf, async (tx, snapshot) => {
        const { live, hiddenSince } = buildPastConditions(stream, snapshot);
        // Each key of the page is in the page of every part that has it.
        const parts = sql`(${sumWhere(live)}) UNION ALL (${sumWhere(hiddenSince)})`;
        const past = sql`SELECT ${key}, sum(value) AS value FROM (${parts}) p GROUP BY ${key} ORDER BY ${order} LIMIT ${limit}`;
        return (await tx.execute<Row>(buildQuery(past))).rows;
      });
    }
    const query = buildQuery(sumWhere(sql`hidden_by IS NULL`));
    // One element has so few records that sorting them is cheap.
    if (!isByHash || args.elementName != null) return (await db.execute<Row>(query)).rows;
    return db.transaction(async (tx) => {
      const settings = ONLY_IN_ORDER_OF_INDEX.map(async (setting) => tx.execute(setting));
      const [result] = await Promise.all([tx.execute<Row>(query), ...settings]);
      return result.rows;
    });
  };
  const rows = await readRows();
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

async function readPast<Value>(
  db: Db,
  { accountId, id }: StreamRow,
  asOf: LedgerMoment,
  read: (tx: Transaction, snapshot: string) => Promise<Value>,
): Promise<Value> {
  return readAsOfNow(db, accountId, async (tx, _, epoch) => {
    const { snapshot, at } = await findPastState(tx, accountId, asOf, epoch);
    const value = await read(tx, snapshot);
    await assertNotPurged(tx, accountId, [id], at);
    return value;
  });
}

/** SQL: the records `r` that the snapshot sees and that are live now, and those that were hidden since. */
function buildPastConditions({ accountId, id }: StreamRow, snapshot: string): Record<'live' | 'hiddenSince', SQL> {
  const watermark = sql`${snapshot}`;
  const later = sql`SELECT o.id FROM operations o WHERE o.account_id = ${accountId} AND o.stream_id = ${id}
    AND o.xid >= ${oldestUnseen(watermark)} AND NOT ${isSeen(sql`o.xid`, watermark)}`;
  const existed = sql`NOT EXISTS (${later} AND o.id = r.operation_id) AND NOT EXISTS (
    SELECT 1 FROM streams s WHERE s.account_id = ${accountId} AND s.id = ${id}
      AND s.deleted_xid IS NOT NULL AND ${isSeen(sql`s.deleted_xid`, watermark)})`;
  return { live: sql`r.hidden_by IS NULL AND ${existed}`, hiddenSince: sql`r.hidden_by IN (${later}) AND ${existed}` };
}
