import { type SQL, sql } from 'drizzle-orm';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatArray, formatPlainArray } from '../db/array-text.ts';
import { isSeen, readEpoch, readEpochStart, takeWatermark } from '../db/as-of.ts';
import type { Db } from '../db/client.ts';
import { MovedError } from '../errors/errors.ts';
import { isAsLeased, isUnknown, type LeasedCursor } from './ledger-cursors.ts';

// After a restore or a move of the account, the snapshots of its deliveries and of its cursor belong to another epoch of the ledger, and
// are not comparable with its operations. So deliveries are judged by the time at which operations were received.

/** Margin for operations that were received before a scan and committed after it, in addition to the time that a write may take. */
const MARGIN_SECONDS = 600;
/** Maximum number of deliveries in one transaction, as for marks. */
const BATCH = 1000;
const MAX_BATCHES = 100_000;
/** Pause before rows are tried again that other transactions have locked. */
const RETRY_MS = 50;

/** Operations of a stream that were received in one hour. */
interface ReceivedSpan {
  readonly name: string;
  readonly isCalendar: boolean;
  readonly first: string | null;
  readonly last: string | null;
  readonly receivedAt: string;
}

/**
 * Brings the deliveries and the cursor of the account into the current epoch of its ledger. Deliveries that were marked or STALE, and
 * those with buckets of operations that were received when the last scan may have missed them, count as different from the ledger:
 * their watermark becomes null. All others get the snapshot at the start of the epoch, from which the next scan continues. Each batch can
 * be repeated, and the cursor moves last. Throws MovedError if the account moves meanwhile.
 */
export async function enterEpoch(
  db: Db,
  cursor: LeasedCursor,
  { writeSeconds }: { readonly writeSeconds: number },
): Promise<void> {
  const { accountId, scanned, at } = cursor;
  const { epoch } = await takeWatermark(db, accountId);
  const start = await readEpochStart(db, accountId);
  const margin = `${MARGIN_SECONDS + writeSeconds} s`;
  /** SQL: the time from which operations may be missing in the delivery `d`. Only scanned ledgers have a margin for slow writes. */
  const since = sql`coalesce(CASE WHEN d.watermark_epoch = ${scanned.epoch} THEN ${cursor.scannedAt}::timestamptz - ${margin}::interval
    ELSE d.watermark_at END, '-infinity')`;
  const isOther = sql`d.account_id = ${accountId} AND d.revision > 0 AND d.watermark_epoch IS DISTINCT FROM ${epoch}`;
  const { rows } = await db.execute<{ since: string | null }>(
    sql`SELECT min(${since})::text AS since FROM deliveries d WHERE ${isOther}`,
  );
  const earliest = rows[0]?.since;
  if (earliest != null) {
    const received = await readReceived(db, accountId, earliest, start);
    if ((await readEpoch(db, accountId)) !== epoch) throw new MovedError();
    await bringDeliveries(db, { epoch, start, at, isOther, since, received });
  }
  await db.transaction(async (tx) => {
    const history = isUnknown(cursor) ? sql`history_from` : sql`${at}::timestamptz`;
    const { rowCount } = await tx.execute(sql`
      UPDATE ledger_cursors SET scanned = ${start}, scanned_epoch = ${epoch}, scan_at = clock_timestamp(), history_from = ${history}
      WHERE ${isAsLeased(cursor)}`);
    if (rowCount === 0 || isUnknown(cursor)) return;
    await tx.execute(sql`DELETE FROM corrections WHERE account_id = ${accountId}`);
    await tx.execute(sql`DELETE FROM ledger_moments WHERE account_id = ${accountId} AND epoch <> ${epoch}`);
  });
}

/** Reads the operations that were received after the time and belong to the start of the epoch: the next scan finds all others. */
async function readReceived(db: Db, accountId: bigint, since: string, start: string): Promise<ReceivedSpan[]> {
  const { rows } = await db.execute<{
    name: string;
    is_calendar: boolean;
    first: string | null;
    last: string | null;
    received_at: string;
  }>(sql`
    SELECT s.name, s.granularity <> 'HOURLY' AS is_calendar,
      CASE WHEN NOT bool_or(o.first_bucket IS NULL) THEN min(o.first_bucket)::text END AS first,
      CASE WHEN NOT bool_or(o.last_bucket IS NULL) THEN max(o.last_bucket)::text END AS last, max(o.received_at)::text AS received_at
    FROM operations o JOIN streams s ON s.account_id = ${accountId} AND s.id = o.stream_id
    WHERE o.account_id = ${accountId} AND o.received_at > ${since}::timestamptz AND o.kind <> 'COMPLETE'
      AND ${isSeen(sql`o.xid`, sql`${start}`)}
    GROUP BY s.id, s.name, s.granularity, date_trunc('hour', o.received_at)`);
  return rows.map((row) => ({
    name: row.name,
    isCalendar: row.is_calendar,
    first: row.first,
    last: row.last,
    receivedAt: row.received_at,
  }));
}

interface Bringing {
  readonly epoch: string;
  readonly start: string;
  readonly at: string;
  readonly isOther: SQL;
  readonly since: SQL;
  readonly received: readonly ReceivedSpan[];
}

async function bringDeliveries(db: Db, { epoch, start, at, isOther, since, received }: Bringing): Promise<void> {
  const spans = sql`unnest(${formatArray(received.map(({ name }) => name))}::text[],
    ${formatPlainArray(received.map(({ isCalendar }) => String(isCalendar)))}::bool[],
    ${formatArray(received.map(({ first }) => first ?? '-infinity'))}::timestamptz[],
    ${formatArray(received.map(({ last }) => last ?? 'infinity'))}::timestamptz[],
    ${formatArray(received.map(({ receivedAt }) => receivedAt))}::timestamptz[]) AS s(name, calendar, first, last, received_at)`;
  const differs = sql`(d.touched_at IS NOT NULL OR d.stale_since IS NOT NULL OR EXISTS (
    SELECT 1 FROM jobs j, ${spans}
    WHERE j.id = d.job_id AND s.received_at > ${since}
      AND (j.settings -> 'meterApiNames' = 'null' OR j.settings -> 'meterApiNames' ? s.name)
      AND CASE WHEN s.calendar THEN d.date_owed_until > s.first::date AND d.date_start <= s.last::date
        ELSE d.owed_until > s.first AND d.window_start <= s.last END))`;
  for (let batches = 0; batches < MAX_BATCHES; batches += 1) {
    const { rowCount } = await db.execute(sql`
      WITH brought AS MATERIALIZED (
        SELECT d.id, ${differs} AS differs FROM deliveries d WHERE ${isOther} LIMIT ${BATCH} FOR UPDATE OF d SKIP LOCKED)
      UPDATE deliveries d SET watermark_epoch = ${epoch}, checking = NULL,
        watermark = CASE WHEN NOT b.differs THEN ${start} END,
        stale_since = CASE WHEN b.differs THEN coalesce(d.stale_since, ${at}::timestamptz) END,
        touched_at = CASE WHEN b.differs THEN coalesce(d.touched_at, ${at}::timestamptz) END,
        check_at = CASE WHEN b.differs THEN ${at}::timestamptz END
      FROM brought b WHERE d.id = b.id AND ${isOther}`);
    const { rows } = await db.execute(sql`SELECT 1 FROM deliveries d WHERE ${isOther} LIMIT 1`);
    if (rows.length === 0) return;
    if (rowCount === 0) await sleep(RETRY_MS);
  }
  throw new Error('Deliveries are locked, so they cannot be brought into another epoch. The scan is repeated.');
}
