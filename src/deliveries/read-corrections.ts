import { type SQL, sql } from 'drizzle-orm';
import { formatPlainArray } from '../db/array-text.ts';
import type { Db } from '../db/client.ts';
import { createVisibility, findOldestUnseen } from '../db/snapshots.ts';
import type { JobRow } from '../jobs/jobs.ts';
import type { DeliveryRow } from './delivery.ts';
import type { CorrectedStream } from './net-change.ts';

// Reads the operations that touched the window of a delivery, from the corrections and, for summary rows, from the ledger.

/** Returns the streams of the account with corrections, also deleted ones. */
export async function readCorrectedStreams(db: Db, accountId: bigint): Promise<CorrectedStream[]> {
  const { rows: ids } = await db.execute<{ id: string }>(
    sql`SELECT DISTINCT stream_id AS id FROM corrections WHERE account_id = ${accountId}`,
  );
  if (ids.length === 0) return [];
  const { rows } = await db.execute<{
    id: string;
    name: string;
    is_calendar: boolean;
    is_deleted: boolean;
    purged_before: string | null;
  }>(sql`
    SELECT id, name, granularity <> 'HOURLY' AS is_calendar, deleted_at IS NOT NULL AS is_deleted, purged_before::text AS purged_before
    FROM streams WHERE account_id = ${accountId} AND id = ANY(${formatPlainArray(ids.map(({ id }) => id))}::bigint[])`);
  return rows.map((row) => ({
    id: BigInt(row.id),
    name: row.name,
    isCalendar: row.is_calendar,
    isDeleted: row.is_deleted,
    purgedBefore: row.purged_before,
  }));
}

/** An operation that touched a window, or a summary row of such operations. */
export interface Touching {
  readonly streamId: bigint;
  readonly operationId: bigint;
  readonly xid: bigint;
  /** Unix milliseconds. */
  readonly foundAt: number;
}

export function readsStream({ settings }: Pick<JobRow, 'settings'>, { name }: CorrectedStream): boolean {
  return settings.meterApiNames === null || settings.meterApiNames.includes(name);
}

/** SQL: whether the operation or correction with these bounds may touch a bucket of the window. */
function touchesWindow(isCalendar: boolean, window: DeliveryRow): SQL {
  const { from, to } = findBounds(isCalendar, window);
  return sql`(first_bucket IS NULL OR first_bucket < ${to}::timestamptz) AND (last_bucket IS NULL OR last_bucket >= ${from}::timestamptz)`;
}

export function findBounds(isCalendar: boolean, window: DeliveryRow): { from: string; to: string } {
  return isCalendar
    ? { from: `${window.dateStart}T00:00:00Z`, to: `${window.dateWholeUntil}T00:00:00Z` }
    : { from: window.windowStart.toISOString(), to: window.wholeUntil.toISOString() };
}

export async function readCorrections(
  db: Db,
  accountId: bigint,
  streams: readonly CorrectedStream[],
  window: DeliveryRow,
  oldest: bigint,
): Promise<Touching[]> {
  const touching: Touching[] = [];
  for (const [isCalendar, some] of Map.groupBy(streams, (stream) => stream.isCalendar)) {
    const ids = formatPlainArray(some.map(({ id }) => String(id)));
    const { rows } = await db.execute<{ stream_id: string; operation_id: string; xid: string; found_at: number }>(sql`
      SELECT stream_id, operation_id, xid::text AS xid, (extract(epoch FROM found_at) * 1000)::float8 AS found_at FROM corrections
      WHERE account_id = ${accountId} AND stream_id = ANY(${ids}::bigint[]) AND xid >= ${String(oldest)}::xid8
        AND ${touchesWindow(isCalendar, window)}`);
    for (const row of rows) {
      touching.push({
        streamId: BigInt(row.stream_id),
        operationId: BigInt(row.operation_id),
        xid: BigInt(row.xid),
        foundAt: row.found_at,
      });
    }
  }
  return touching;
}

/** Returns a condition: the watermark may not see the operation. It may see the newest one of a summary row, but no earlier one. */
export function mayBeUnseen(watermark: string, isSeen: (xid: bigint) => boolean): (touching: Touching) => boolean {
  const oldest = findOldestUnseen(watermark);
  return ({ operationId, xid }) => (operationId < 0n ? xid >= oldest : !isSeen(xid));
}

export interface Operation {
  readonly id: bigint;
  readonly xid: bigint;
}

/** Reads the operations that touch the window and that a summary row represents. */
export async function readOperations(
  db: Db,
  accountId: bigint,
  stream: CorrectedStream,
  window: DeliveryRow,
  oldest: bigint,
  limit: SQL,
): Promise<readonly Operation[]> {
  const { rows } = await db.execute<{ id: string; xid: string }>(sql`
    SELECT id, xid::text AS xid FROM operations
    WHERE account_id = ${accountId} AND stream_id = ${stream.id} AND xid >= ${String(oldest)}::xid8 AND kind <> 'COMPLETE'
      AND ${touchesWindow(stream.isCalendar, window)} ${limit}`);
  return rows.map(({ id, xid }) => ({ id: BigInt(id), xid: BigInt(xid) }));
}

/** Returns the ids of the operations that touched the window of a delivery and are not in its revision, newest first. */
export async function readPendingOperations(
  db: Db,
  delivery: DeliveryRow,
  job: Pick<JobRow, 'settings'>,
  limit: number,
): Promise<bigint[]> {
  const { accountId, watermark } = delivery;
  if (watermark === null) return [];
  const isSeen = createVisibility(watermark);
  const oldest = findOldestUnseen(watermark);
  const streams = (await readCorrectedStreams(db, accountId)).filter((stream) => readsStream(job, stream));
  const touching = await readCorrections(db, accountId, streams, delivery, oldest);
  const ids = new Set<bigint>();
  for (const [streamId, some] of Map.groupBy(touching.filter(mayBeUnseen(watermark, isSeen)), (one) => one.streamId)) {
    const singles = some.filter(({ operationId }) => operationId > 0n);
    for (const { operationId } of singles) ids.add(operationId);
    const stream = streams.find(({ id }) => id === streamId);
    if (!stream || singles.length === some.length) continue;
    const newest = sql`ORDER BY id DESC LIMIT ${limit}`;
    for (const { id, xid } of await readOperations(db, accountId, stream, delivery, oldest, newest)) {
      if (!isSeen(xid)) ids.add(id);
    }
  }
  return [...ids].toSorted((a, b) => (a < b ? 1 : -1)).slice(0, limit);
}
