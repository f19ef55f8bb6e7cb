import { type SQL, sql } from 'drizzle-orm';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatArray, formatPlainArray } from '../db/array-text.ts';
import { isSeen, oldestUnseen, readEpoch, repairLedger, tryTakeWatermark, type Watermark } from '../db/as-of.ts';
import type { Db, Executor, Transaction } from '../db/client.ts';
import { MovedError } from '../errors/errors.ts';
import {
  type BucketBounds,
  type Correction,
  type FoundStream,
  mergeTouched,
  nextInterval,
  selectSingles,
  summarize,
  type TouchedSpan,
} from './corrections.ts';
import { type LeasedCursor, moveCursor } from './ledger-cursors.ts';
import { enterEpoch } from './ledger-epochs.ts';

// The scan of an account's ledger: finds the operations between the cursor and now, stores those that touch a window as corrections, and
// marks the deliveries that they may concern. A mark is conservative and cheap; judge-deliveries.ts computes exactly whether rows differ.
// Each step is committed and can be repeated. The cursor moves last.

export interface ScanOptions {
  /** Shortest and longest interval between two scans of an account, in seconds (LEDGER_SCAN_SECONDS, LEDGER_SCAN_IDLE_SECONDS). */
  readonly seconds: { readonly least: number; readonly most: number };
  /** Assumed maximum seconds between the receipt of an operation and its COMMIT. */
  readonly writeSeconds: number;
  /**
   * Called before the cursor moves, also if no operation was found, with the names of the streams that were declared complete. If a
   * server ended between the COMMIT of a declaration and its effects, this makes up for them.
   */
  readonly onScanned: (accountId: bigint, declared: readonly string[]) => Promise<void>;
}

/** Scans the ledger of one account from its cursor to now. Throws MovedError if the account moves meanwhile. */
export async function scanLedger(db: Db, cursor: LeasedCursor, options: ScanOptions): Promise<void> {
  const { accountId } = cursor;
  const found = await findOperations(db, cursor);
  if (found === null) {
    await repairLedger(db, accountId);
    // Due again immediately, in the new epoch.
    return enterEpoch(db, cursor, options);
  }
  if (found.watermark.epoch !== cursor.scanned.epoch) return enterEpoch(db, cursor, options);
  const { streams, corrections, watermark } = found;
  if (corrections.length > 0) {
    await storeCorrections(db, cursor, corrections);
    await markDeliveries(db, accountId, mergeTouched(streams, corrections), cursor.at);
  }
  await options.onScanned(
    accountId,
    streams.filter(({ isDeclared }) => isDeclared).map(({ name }) => name),
  );
  await db.transaction(async (tx) => {
    const every = nextInterval(cursor.everySeconds, streams.length > 0, options.seconds);
    await Promise.all([
      moveCursor(tx, cursor, watermark, every),
      streams.length > 0 && storeMoment(tx, accountId, watermark),
    ]);
  });
}

interface Found {
  readonly watermark: Watermark;
  readonly streams: readonly FoundStream[];
  readonly corrections: readonly Correction[];
}

/** Returns null if the ledger has to be repaired. */
async function findOperations(db: Db, { accountId, scanned }: LeasedCursor): Promise<Found | null> {
  return db.transaction(async (tx) => {
    // Sent in this order: a delivery that is committed after the watermark is taken has no operation before it to be compared with.
    const [watermark, gate] = await Promise.all([tryTakeWatermark(tx, accountId), readGate(tx, accountId)]);
    if (watermark === null) return null;
    if (watermark.epoch !== scanned.epoch) return { watermark, streams: [], corrections: [] };
    const isNew = sql`o.account_id = ${accountId} AND o.xid >= ${oldestUnseen(sql`${scanned.snapshot}`)}
      AND NOT ${isSeen(sql`o.xid`, sql`${scanned.snapshot}`)} AND ${isSeen(sql`o.xid`, sql`${watermark.snapshot}`)}`;
    const streams = await countByStream(tx, accountId, isNew, gate);
    const corrections = [...(await readSingles(tx, isNew, gate, selectSingles(streams))), ...summarize(streams)];
    if ((await readEpoch(tx, accountId)) !== watermark.epoch) throw new MovedError();
    return { watermark, streams, corrections };
  });
}

/** Ends of the last whole buckets of all windows: later buckets, which have nearly all data, belong to no window. */
interface Gate {
  readonly wholeUntil: string;
  /** The same for calendar dates. */
  readonly dateWholeUntil: string;
}

/** Returns null if the account has no delivery. */
async function readGate(tx: Transaction, accountId: bigint): Promise<Gate | null> {
  // The latest date is that of a window near the latest instant, because time zones differ by 26 hours.
  const { rows } = await tx.execute<{ whole_until: string | null; date_whole_until: string }>(sql`
    SELECT max(whole_until)::text AS whole_until, max(date_whole_until)::text AS date_whole_until FROM deliveries
    WHERE account_id = ${accountId} AND whole_until > (
      SELECT max(whole_until) FROM deliveries WHERE account_id = ${accountId}) - interval '3 days'`);
  const [gate] = rows;
  return gate?.whole_until == null ? null : { wholeUntil: gate.whole_until, dateWholeUntil: gate.date_whole_until };
}

/** SQL: whether the operation `o` may touch a bucket of a window. */
function isLate(gate: Gate | null, isCalendar: SQL): SQL {
  if (gate === null) return sql`false`;
  return sql`(o.kind <> 'COMPLETE' AND (o.first_bucket IS NULL
    OR o.first_bucket < CASE WHEN ${isCalendar} THEN ${gate.dateWholeUntil}::date::timestamptz ELSE ${gate.wholeUntil}::timestamptz END))`;
}

const milliseconds = (column: SQL): SQL => sql`(extract(epoch FROM ${column}) * 1000)::float8`;

async function countByStream(
  tx: Transaction,
  accountId: bigint,
  isNew: SQL,
  gate: Gate | null,
): Promise<FoundStream[]> {
  const late = isLate(gate, sql`s.granularity <> 'HOURLY'`);
  const { rows } = await tx.execute<{
    id: string;
    name: string;
    is_calendar: boolean;
    operations: number;
    is_declared: boolean;
    late: number;
    first: number | null;
    last: number | null;
    is_unbounded: boolean | null;
    greatest_id: string;
    greatest_xid: string;
  }>(sql`
    SELECT s.id, s.name, s.granularity <> 'HOURLY' AS is_calendar, count(*)::int AS operations, bool_or(o.kind = 'COMPLETE') AS is_declared,
      count(*) FILTER (WHERE ${late})::int AS late,
      ${milliseconds(sql`min(o.first_bucket) FILTER (WHERE ${late})`)} AS first,
      ${milliseconds(sql`max(o.last_bucket) FILTER (WHERE ${late})`)} AS last,
      bool_or(o.first_bucket IS NULL OR o.last_bucket IS NULL) FILTER (WHERE ${late}) AS is_unbounded,
      max(o.id)::text AS greatest_id, max(o.xid)::text AS greatest_xid
    FROM operations o JOIN streams s ON s.account_id = ${accountId} AND s.id = o.stream_id
    WHERE ${isNew} GROUP BY s.id, s.name, s.granularity`);
  return rows.map((row) => ({
    streamId: BigInt(row.id),
    name: row.name,
    isCalendar: row.is_calendar,
    operations: row.operations,
    isDeclared: row.is_declared,
    late: row.late,
    bounds: row.is_unbounded ? UNKNOWN_BOUNDS : { first: row.first, last: row.last },
    greatestId: BigInt(row.greatest_id),
    greatestXid: row.greatest_xid,
  }));
}

const UNKNOWN_BOUNDS: BucketBounds = { first: null, last: null };

async function readSingles(
  tx: Transaction,
  isNew: SQL,
  gate: Gate | null,
  streams: readonly FoundStream[],
): Promise<Correction[]> {
  if (streams.length === 0) return [];
  const calendar = streams.filter(({ isCalendar }) => isCalendar);
  const { rows } = await tx.execute<{
    id: string;
    stream_id: string;
    xid: string;
    first: number | null;
    last: number | null;
  }>(sql`
    SELECT o.id, o.stream_id, o.xid::text AS xid, ${milliseconds(sql`o.first_bucket`)} AS first, ${milliseconds(sql`o.last_bucket`)} AS last
    FROM operations o WHERE ${isNew} AND o.stream_id = ANY(${idArray(streams)}::bigint[])
      AND ${isLate(gate, sql`o.stream_id = ANY(${idArray(calendar)}::bigint[])`)}`);
  return rows.map((row) => ({
    streamId: BigInt(row.stream_id),
    operationId: BigInt(row.id),
    xid: row.xid,
    bounds: { first: row.first, last: row.last },
  }));
}

function idArray(streams: readonly FoundStream[]): string {
  return formatPlainArray(streams.map(({ streamId }) => String(streamId)));
}

const formatInstant = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

async function storeCorrections(
  db: Executor,
  { accountId, scanned, at }: LeasedCursor,
  corrections: readonly Correction[],
): Promise<void> {
  // In another epoch the transaction ids would mean other transactions. A repeated scan may find more operations for the same summary row.
  const wider = (column: 'first_bucket' | 'last_bucket', choose: 'least' | 'greatest'): SQL =>
    sql.raw(
      `${column} = CASE WHEN c.${column} IS NULL OR EXCLUDED.${column} IS NULL THEN NULL ELSE ${choose}(c.${column}, EXCLUDED.${column}) END`,
    );
  await db.execute(sql`
    INSERT INTO corrections AS c (account_id, stream_id, operation_id, xid, first_bucket, last_bucket, found_at)
    SELECT ${accountId}::bigint, u.stream_id, u.operation_id, u.xid, u.first_bucket, u.last_bucket, ${at}::timestamptz
    FROM unnest(${formatPlainArray(corrections.map(({ streamId }) => String(streamId)))}::bigint[],
      ${formatPlainArray(corrections.map(({ operationId }) => String(operationId)))}::bigint[],
      ${formatPlainArray(corrections.map(({ xid }) => xid))}::xid8[],
      ${formatArray(corrections.map(({ bounds }) => formatInstant(bounds.first)))}::timestamptz[],
      ${formatArray(corrections.map(({ bounds }) => formatInstant(bounds.last)))}::timestamptz[])
      AS u(stream_id, operation_id, xid, first_bucket, last_bucket)
    WHERE EXISTS (SELECT 1 FROM ledger_cursors WHERE account_id = ${accountId} AND scanned_epoch = ${scanned.epoch})
    ON CONFLICT (account_id, operation_id) DO UPDATE SET xid = greatest(c.xid, EXCLUDED.xid),
      ${wider('first_bucket', 'least')}, ${wider('last_bucket', 'greatest')}
    WHERE c.operation_id < 0`);
}

/** Maximum number of deliveries in one transaction: 50,000 blocked the end of runs for 3.2 s. */
const BATCH = 1000;
/** Pause before rows are tried again that other transactions have locked. */
const RETRY_MS = 50;
/** A transaction that holds a lock this long is about to be ended by PostgreSQL. The next scan repeats the marks. */
const MAX_RETRIES = 600;
const DAY_MS = 86_400_000;

/** Marks the deliveries whose owed span has one of the buckets. Never waits for a lock, so it cannot deadlock with the end of a run. */
async function markDeliveries(db: Db, accountId: bigint, touched: readonly TouchedSpan[], at: string): Promise<void> {
  // A calendar date begins up to 14 hours before it does in UTC.
  const firsts = touched.map(({ bounds, isCalendar }) => (bounds.first ?? -Infinity) - (isCalendar ? DAY_MS : 0));
  const least = formatBound(Math.min(...firsts), '-infinity');
  const spans = sql`unnest(${formatArray(touched.map(({ name }) => name))}::text[],
    ${formatPlainArray(touched.map(({ isCalendar }) => String(isCalendar)))}::bool[],
    ${formatArray(touched.map(({ bounds }) => formatBound(bounds.first, '-infinity')))}::timestamptz[],
    ${formatArray(touched.map(({ bounds }) => formatBound(bounds.last, 'infinity')))}::timestamptz[]) AS s(name, calendar, first, last)`;
  // A mark without a time of its check, of a window that was never delivered or of a disabled job, gets one: its state may have changed.
  const hit = sql`
    FROM deliveries d JOIN jobs j ON j.id = d.job_id AND j.deleted_at IS NULL
    WHERE d.account_id = ${accountId} AND d.whole_until > ${least}::timestamptz
      AND (d.touched_at IS NULL OR d.checking IS NOT NULL OR d.check_at IS NULL)
      AND EXISTS (
        SELECT 1 FROM ${spans}
        WHERE (j.settings -> 'meterApiNames' = 'null' OR j.settings -> 'meterApiNames' ? s.name)
          AND CASE WHEN s.calendar THEN d.date_owed_until > s.first::date AND d.date_start <= s.last::date
            ELSE d.owed_until > s.first AND d.window_start <= s.last END)`;
  for (let retries = 0; retries < MAX_RETRIES;) {
    const { rowCount } = await db.execute(sql`
      WITH hit AS MATERIALIZED (
        SELECT d.id, j.settle_seconds ${hit} LIMIT ${BATCH} FOR UPDATE OF d SKIP LOCKED)
      UPDATE deliveries d SET touched_at = coalesce(d.touched_at, ${at}::timestamptz), checking = NULL,
        check_at = least(d.check_at, ${at}::timestamptz + hit.settle_seconds * interval '1 second')
      FROM hit WHERE d.account_id = ${accountId} AND d.id = hit.id`);
    if (rowCount === BATCH) continue;
    const { rows: left } = await db.execute(sql`SELECT 1 ${hit} LIMIT 1`);
    if (left.length === 0) return;
    retries += 1;
    await sleep(RETRY_MS);
  }
  throw new Error(`Deliveries of account ${accountId} are locked, so they cannot be marked. The scan is repeated.`);
}

function formatBound(at: number | null, unknown: '-infinity' | 'infinity'): string {
  return at === null || !Number.isFinite(at) ? unknown : new Date(at).toISOString();
}

/** Stores the state of the ledger, for reads as of a time: everything that the snapshot sees was committed before that time. */
async function storeMoment(tx: Transaction, accountId: bigint, { snapshot, epoch }: Watermark): Promise<void> {
  await tx.execute(sql`
    INSERT INTO ledger_moments (account_id, at, snapshot, epoch) VALUES (${accountId}, clock_timestamp(), ${snapshot}, ${epoch})
    ON CONFLICT (account_id, at) DO NOTHING`);
}
