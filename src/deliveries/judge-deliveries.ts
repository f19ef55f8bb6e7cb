import { inArray, sql } from 'drizzle-orm';
import type { LRUCache } from 'lru-cache';
import { formatPlainArray } from '../db/array-text.ts';
import { readEpoch } from '../db/as-of.ts';
import type { Db } from '../db/client.ts';
import { createVisibility, findOldestUnseen } from '../db/snapshots.ts';
import { deliveries } from '../db/delivery-tables.ts';
import { jobs } from '../db/tables.ts';
import type { JobRow } from '../jobs/jobs.ts';
import { ChangeIndex } from './compare-changes.ts';
import { findComplete, isRepeatedWhenComplete } from './complete-deliveries.ts';
import { type DeliveryRow, isOwed, isRestated } from './delivery.ts';
import { IS_OVERWRITTEN } from './end-deliveries.ts';
import { type CorrectedStream, readNetChange } from './net-change.ts';
import {
  findBounds,
  mayBeUnseen,
  type Operation,
  readCorrectedStreams,
  readCorrections,
  readOperations,
  readsStream,
  type Touching,
} from './read-corrections.ts';

// The check of marked deliveries: whether their rows differ from the ledger. The lease of a check is committed before the corrections are
// read. A scan that passed over a delivery because it was marked has committed its corrections before, so they are read here; a later scan
// clears `checking`, and the verdict changes nothing (runs/restatements.ts).

/** Net changes that were read, so that the batches of one window read them once. */
export type ChangeCache = LRUCache<string, ChangeIndex>;

export interface JudgeOptions {
  /** DELIVERY_CHECK_SECONDS. */
  readonly checkSeconds: number;
  /** MAX_CHANGED_KEYS. */
  readonly maxChangedKeys: number;
  /** CORRECTION_RETENTION_DAYS. */
  readonly retentionDays: number;
  readonly changes: ChangeCache;
  /** Called if the deliveries of a window cannot be judged. They stay marked, and are checked again when the lease ends. */
  readonly onError: (error: unknown) => void;
}

/**
 * COMPLETE: it was delivered before its streams were complete, and they are now. SAME: its rows agree with the ledger. DIFFERENT: they do not. NOT_OWED: the window was never delivered, or the job has another output
 * now, so the mark stays until that changes. LATER: the ledger was repaired, and the scan has not entered its new epoch.
 */
export type Verdict = 'COMPLETE' | 'SAME' | 'DIFFERENT' | 'NOT_OWED' | 'LATER';

export interface Judged {
  readonly delivery: DeliveryRow;
  /** Undefined if the job is deleted. */
  readonly job: JobRow | undefined;
  readonly verdict: Verdict;
  /** When the newest of its corrections was found; null if that is unknown. */
  readonly foundAt: Date | null;
}

/** In addition to the time limit of a check, before another check may begin. */
const MARGIN_SECONDS = 300;

/** Leases deliveries whose check is due, those first that have been due for the longest time. */
export function leaseDeliveries(db: Db, token: string, checkSeconds: number, limit: number): Promise<DeliveryRow[]> {
  return db
    .update(deliveries)
    .set({
      checking: token,
      checkAt: sql`clock_timestamp() + ${checkSeconds + MARGIN_SECONDS} * interval '1 second'`,
    })
    .where(
      sql`${deliveries.id} = ANY(ARRAY(
        SELECT id FROM deliveries WHERE check_at <= clock_timestamp() ORDER BY check_at LIMIT ${limit} FOR UPDATE SKIP LOCKED))`,
    )
    .returning();
}

/** Judges leased deliveries. Those that could not be judged are left out. */
export async function judgeDeliveries(
  db: Db,
  leased: readonly DeliveryRow[],
  options: JudgeOptions,
): Promise<Judged[]> {
  const judged: Judged[] = [];
  for (const [accountId, rows] of Map.groupBy(leased, ({ accountId }) => accountId)) {
    try {
      judged.push(...(await judgeAccount(db, accountId, rows, options)));
    } catch (error) {
      options.onError(error);
    }
  }
  return judged;
}

async function judgeAccount(
  db: Db,
  accountId: bigint,
  rows: readonly DeliveryRow[],
  options: JudgeOptions,
): Promise<Judged[]> {
  const ids = rows.map(({ jobId }) => jobId);
  const found = await db.select().from(jobs).where(inArray(jobs.id, ids));
  const jobsById = new Map(found.filter(({ deletedAt }) => deletedAt === null).map((job) => [job.id, job]));
  const epoch = await readEpochs(db, accountId);
  const complete = await findCompleteNow(db, accountId, rows, jobsById);
  const overwritten = await findOverwritten(db, accountId, rows);
  const judged: Judged[] = [];
  const compared: Compared[] = [];
  for (const delivery of rows) {
    const job = jobsById.get(delivery.jobId);
    const state = judgeState(delivery, job, epoch, options.retentionDays);
    const verdict = complete.has(delivery.id)
      ? 'COMPLETE'
      : (state ?? (overwritten.has(delivery.id) ? 'DIFFERENT' : null));
    if (verdict !== null || !job) judged.push({ delivery, job, verdict: verdict ?? 'NOT_OWED', foundAt: null });
    else compared.push({ delivery, job });
  }
  if (compared.length === 0) return judged;
  const streams = await readCorrectedStreams(db, accountId);
  for (const group of Map.groupBy(compared, ({ delivery }) => formatSpan(delivery)).values()) {
    try {
      judged.push(...(await judgeWindow(db, accountId, streams, group, options)));
    } catch (error) {
      options.onError(error);
    }
  }
  return judged;
}

/** Returns the ids of deliveries that a run with the reason COMPLETE would deliver again. */
async function findCompleteNow(
  db: Db,
  accountId: bigint,
  rows: readonly DeliveryRow[],
  jobsById: ReadonlyMap<string, JobRow>,
): Promise<ReadonlySet<string>> {
  const now = new Date();
  const windows = rows.flatMap((delivery) => {
    const job = jobsById.get(delivery.jobId);
    if (!job || delivery.complete !== false || !isRepeatedWhenComplete(job.settings)) return [];
    if (!isDelivered(delivery, job) || !isRestated(job, delivery, null, now)) return [];
    const window = { start: delivery.windowStart, end: delivery.windowEnd };
    return [{ id: delivery.id, window, settings: job.settings }];
  });
  return new Set(await findComplete(db, accountId, windows));
}

/** Whether the S3 bucket contains the window with the current output of the job. */
export function isDelivered({ revision, outputSha256 }: DeliveryRow, job: JobRow | undefined): boolean {
  return revision > 0 && job?.outputSha256?.equals(outputSha256) === true;
}

/** Returns the ids of deliveries whose revision in the S3 bucket may have been overwritten. */
async function findOverwritten(db: Db, accountId: bigint, rows: readonly DeliveryRow[]): Promise<ReadonlySet<string>> {
  const ids = formatPlainArray(rows.map(({ id }) => id));
  const { rows: found } = await db.execute<{ id: string }>(sql`
    SELECT d.id FROM deliveries d WHERE d.account_id = ${accountId} AND d.id = ANY(${ids}::uuid[]) AND ${IS_OVERWRITTEN}`);
  return new Set(found.map(({ id }) => id));
}

interface Epochs {
  readonly ledger: string | undefined;
  readonly scanned: string | undefined;
}

async function readEpochs(db: Db, accountId: bigint): Promise<Epochs> {
  const { rows } = await db.execute<{ epoch: string }>(
    sql`SELECT scanned_epoch AS epoch FROM ledger_cursors WHERE account_id = ${accountId}`,
  );
  return { ledger: await readEpoch(db, accountId), scanned: rows[0]?.epoch };
}

const DAY_MS = 86_400_000;

/** Returns the verdict if it does not depend on the corrections; else null. */
function judgeState(
  delivery: DeliveryRow,
  job: JobRow | undefined,
  { ledger, scanned }: Epochs,
  retentionDays: number,
): Verdict | null {
  if (!isDelivered(delivery, job)) return 'NOT_OWED';
  if (!isOwed(delivery)) return 'SAME';
  if (ledger !== scanned) return 'LATER';
  if (delivery.watermark === null || delivery.watermarkEpoch !== ledger) return 'DIFFERENT';
  // Its corrections may be deleted.
  const since = delivery.staleSince ?? delivery.touchedAt;
  if (since && since.getTime() < Date.now() - retentionDays * DAY_MS) return 'DIFFERENT';
  return null;
}

function formatSpan({ windowStart, wholeUntil, dateStart, dateWholeUntil }: DeliveryRow): string {
  return JSON.stringify([windowStart, wholeUntil, dateStart, dateWholeUntil]);
}

interface Compared {
  readonly delivery: DeliveryRow;
  readonly job: JobRow;
}

/** Judges deliveries of one window. */
async function judgeWindow(
  db: Db,
  accountId: bigint,
  streams: readonly CorrectedStream[],
  group: readonly Compared[],
  options: JudgeOptions,
): Promise<Judged[]> {
  const [first] = group;
  if (!first) return [];
  const window = first.delivery;
  const snapshots = new Set(group.map(({ delivery }) => delivery.watermark ?? ''));
  const visibility = new Map([...snapshots].map((snapshot) => [snapshot, createVisibility(snapshot)]));
  const oldest = [...snapshots].map(findOldestUnseen).reduce((a, b) => (a < b ? a : b));
  const touching = Map.groupBy(
    await readCorrections(db, accountId, streams, window, oldest),
    ({ streamId }) => streamId,
  );
  const readChange = createChangeReader(db, accountId, window, oldest, options);
  const judged: Judged[] = [];
  for (const { delivery, job } of group) {
    const { watermark } = delivery;
    const isSeen = visibility.get(watermark ?? '');
    if (watermark === null || !isSeen) continue;
    let foundAt: number | null = null;
    let differs = false;
    for (const stream of streams) {
      if (!readsStream(job, stream)) continue;
      const unseen = (touching.get(stream.id) ?? []).filter(mayBeUnseen(watermark, isSeen));
      if (unseen.length === 0) continue;
      for (const one of unseen) foundAt = Math.max(foundAt ?? 0, one.foundAt);
      if (differs) continue;
      const index = await readChange(stream, unseen, isSeen);
      differs = index === null || index.concerns({ ...delivery, filter: job.settings.filter });
    }
    judged.push({
      delivery,
      job,
      verdict: differs ? 'DIFFERENT' : 'SAME',
      foundAt: foundAt === null ? null : new Date(foundAt),
    });
  }
  return judged;
}

type ReadChange = (
  stream: CorrectedStream,
  unseen: readonly Touching[],
  isSeen: (xid: bigint) => boolean,
) => Promise<ChangeIndex | null>;

const NOTHING = new ChangeIndex({ isCalendar: false, keys: [], dimensions: new Map() });

/** Returns a function that reads the net change of operations in the window; null if there are too many operations. */
function createChangeReader(
  db: Db,
  accountId: bigint,
  window: DeliveryRow,
  oldest: bigint,
  { changes, maxChangedKeys, checkSeconds }: JudgeOptions,
): ReadChange {
  const summarized = new Map<bigint, Promise<readonly Operation[]>>();
  return async (stream, unseen, isSeen) => {
    const singles = unseen.filter(({ operationId }) => operationId > 0n);
    const ids = new Set(singles.map(({ operationId }) => operationId));
    if (singles.length < unseen.length) {
      let reading = summarized.get(stream.id);
      if (!reading) {
        reading = readOperations(db, accountId, stream, window, oldest, sql`LIMIT ${maxChangedKeys + 1}`);
        summarized.set(stream.id, reading);
      }
      const operations = await reading;
      if (operations.length > maxChangedKeys) return null;
      for (const { id, xid } of operations) if (!isSeen(xid)) ids.add(id);
    }
    if (ids.size === 0) return NOTHING;
    const operations = [...ids].toSorted((a, b) => (a < b ? -1 : 1));
    const { from, to } = findBounds(stream.isCalendar, window);
    // A delivery with the same operations has the same change, even if records changed since it was read: by operations that are not
    // scanned yet, whose scan marks the delivery again.
    const key = [accountId, stream.id, stream.isDeleted, stream.purgedBefore, from, to, ...operations].join(' ');
    const known = changes.get(key);
    if (known) return known;
    const query = { accountId, stream, from, to, operations, maxKeys: maxChangedKeys, timeoutMs: checkSeconds * 1000 };
    const index = new ChangeIndex(await readNetChange(db, query));
    changes.set(key, index);
    return index;
  };
}
