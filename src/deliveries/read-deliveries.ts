import { and, asc, count, desc, eq, inArray, isNull, type SQL, sql } from 'drizzle-orm';
import type { Db, Executor } from '../db/client.ts';
import { isTimestampAndId, type Page, type PageArguments, readPage, toPage } from '../db/paging.ts';
import { deliveries } from '../db/delivery-tables.ts';
import { jobs } from '../db/tables.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { newestSlots } from '../jobs/schedule/schedule.ts';
import { computeWindow } from '../jobs/schedule/window.ts';
import type { JobSettings } from '../jobs/settings.ts';
import { isUuid } from '../lib/ids.ts';
import {
  DELIVERY_STATES,
  type DeliveryRow,
  type DeliveryState,
  findGaps,
  mergeSpans,
  type TimeSpan,
} from './delivery.ts';

export async function loadDeliveries(db: Executor, accountId: bigint, ids: readonly string[]): Promise<DeliveryRow[]> {
  const wanted = ids.filter(isUuid);
  if (wanted.length === 0) return [];
  return db
    .select()
    .from(deliveries)
    .where(and(eq(deliveries.accountId, accountId), inArray(deliveries.id, wanted)));
}

/** A run whose delivery is looked up. */
export interface RunPlace {
  readonly jobId: string;
  readonly bucket: string;
  /** The current name of the manifest. */
  readonly manifestKey: string;
}

/** Returns the deliveries of runs, in any order. */
export async function loadDeliveriesOfRuns(
  db: Executor,
  accountId: bigint,
  places: readonly RunPlace[],
): Promise<DeliveryRow[]> {
  if (places.length === 0) return [];
  const keys = places.map(({ jobId, bucket, manifestKey }) => sql`(${bucket}, ${manifestKey}, ${jobId}::uuid)`);
  return db
    .select()
    .from(deliveries)
    .where(
      and(
        eq(deliveries.accountId, accountId),
        sql`(${deliveries.bucket}, ${deliveries.manifestKey}, ${deliveries.jobId}) IN (${sql.join(keys, sql`, `)})`,
      ),
    );
}

export interface DeliveryListArguments extends PageArguments {
  readonly state?: readonly DeliveryState[] | null | undefined;
  readonly jobId?: string | null | undefined;
  /** Only windows that overlap the span. */
  readonly from?: Date | null | undefined;
  readonly to?: Date | null | undefined;
}

/** SQL: the states of findState(), of the delivery and its live job. */
const STATES: Readonly<Record<DeliveryState, SQL>> = (() => {
  const missing = sql`${deliveries.revision} = 0`;
  const retired = sql`(${jobs.id} IS NULL OR ${jobs.outputSha256} IS DISTINCT FROM ${deliveries.outputSha256})`;
  const superseded = sql`${deliveries.owedUntil} <= ${deliveries.windowStart}`;
  const owed = sql`NOT ${missing} AND NOT ${retired} AND NOT (${superseded})`;
  return {
    MISSING: missing,
    RETIRED: sql`NOT ${missing} AND ${retired}`,
    SUPERSEDED: sql`NOT ${missing} AND NOT ${retired} AND ${superseded}`,
    STALE: sql`${owed} AND ${deliveries.staleSince} IS NOT NULL`,
    TOUCHED: sql`${owed} AND ${deliveries.staleSince} IS NULL AND ${deliveries.touchedAt} IS NOT NULL`,
    CURRENT: sql`${owed} AND ${deliveries.staleSince} IS NULL AND ${deliveries.touchedAt} IS NULL`,
  };
})();

/** Counts the deliveries of all accounts by state. Reads all deliveries. */
export async function countByState(db: Executor): Promise<Map<DeliveryState, number>> {
  const cases = DELIVERY_STATES.map((state) => sql`WHEN ${STATES[state]} THEN ${state}`);
  const state = sql<DeliveryState>`CASE ${sql.join(cases, sql` `)} END`;
  const rows = await db
    .select({ state: state.as('state'), count: count() })
    .from(deliveries)
    .leftJoin(jobs, and(eq(jobs.id, deliveries.jobId), isNull(jobs.deletedAt)))
    .groupBy(sql`1`);
  return new Map(rows.map((row) => [row.state, row.count]));
}

/** Condition of the partial index deliveries_attention. */
const MAY_NEED_ATTENTION = sql`(${deliveries.revision} = 0 OR ${deliveries.staleSince} IS NOT NULL)`;

function needsAttention(accountId: bigint): SQL | undefined {
  return and(eq(deliveries.accountId, accountId), MAY_NEED_ATTENTION, sql`(${STATES.STALE} OR ${STATES.MISSING})`);
}

/** Returns the STALE and MISSING deliveries of jobs that are not deleted, by the end of their windows, newest first. */
export async function listAttention(db: Executor, accountId: bigint, limit: number): Promise<DeliveryRow[]> {
  const rows = await db
    .select({ delivery: deliveries })
    .from(deliveries)
    .innerJoin(jobs, and(eq(jobs.id, deliveries.jobId), isNull(jobs.deletedAt)))
    .where(needsAttention(accountId))
    .orderBy(desc(deliveries.windowEnd), desc(deliveries.id))
    .limit(limit);
  return rows.map(({ delivery }) => delivery);
}

/** Counts the STALE and the MISSING deliveries of jobs that are not deleted. */
export async function countAttention(db: Executor, accountId: bigint): Promise<{ stale: number; missing: number }> {
  const [counts] = await db
    .select({
      stale: sql`count(*) FILTER (WHERE ${STATES.STALE})`.mapWith(Number),
      missing: sql`count(*) FILTER (WHERE ${STATES.MISSING})`.mapWith(Number),
    })
    .from(deliveries)
    .innerJoin(jobs, and(eq(jobs.id, deliveries.jobId), isNull(jobs.deletedAt)))
    .where(needsAttention(accountId));
  return counts ?? { stale: 0, missing: 0 };
}

/** Lists deliveries by the end of their windows, newest first. */
export async function listDeliveries(
  db: Db,
  accountId: bigint,
  args: DeliveryListArguments,
): Promise<Page<DeliveryRow>> {
  const page = readPage(args, 2, isTimestampAndId);
  const { state, jobId, from, to } = args;
  const order = page.backward ? asc : desc;
  const rows = await db
    .select({ delivery: deliveries })
    .from(deliveries)
    .leftJoin(jobs, and(eq(jobs.id, deliveries.jobId), isNull(jobs.deletedAt)))
    .where(
      and(
        eq(deliveries.accountId, accountId),
        jobId == null ? undefined : isUuid(jobId) ? eq(deliveries.jobId, jobId) : sql`false`,
        from ? sql`${deliveries.windowEnd} > ${from.toISOString()}::timestamptz` : undefined,
        to ? sql`${deliveries.windowStart} < ${to.toISOString()}::timestamptz` : undefined,
        state == null
          ? undefined
          : sql`(${
              state.length === 0
                ? sql`false`
                : sql.join(
                    state.map((one) => sql`(${STATES[one]})`),
                    sql` OR `,
                  )
            })`,
        page.after
          ? sql`(${deliveries.windowEnd}, ${deliveries.id}) < (${page.after[0]}::timestamptz, ${page.after[1]}::uuid)`
          : undefined,
        page.before
          ? sql`(${deliveries.windowEnd}, ${deliveries.id}) > (${page.before[0]}::timestamptz, ${page.before[1]}::uuid)`
          : undefined,
      ),
    )
    .orderBy(order(deliveries.windowEnd), order(deliveries.id))
    .limit(page.limit + 1);
  return toPage(
    page,
    rows.map(({ delivery }) => delivery),
  );
}

export interface Coverage extends TimeSpan {
  readonly delivered: readonly TimeSpan[];
  /** Parts for which STALE and TOUCHED deliveries are responsible. */
  readonly stale: readonly TimeSpan[];
  readonly gaps: readonly TimeSpan[];
}

const later = (a: Date, b: Date): Date => (a > b ? a : b);
const earlier = (a: Date, b: Date): Date => (a < b ? a : b);

/** Returns the end of the window of the last slot that is due; null if there is none. Without a schedule, every window may be due. */
function findLastWindowEnd(settings: JobSettings, now: Date): Date | null {
  const { cron, timeZone, scheduledTimeInSeconds } = settings;
  if (cron !== null) {
    const [slot] = newestSlots(cron, timeZone, now, new Date(0), 1);
    return slot ? computeWindow(settings, slot).end : null;
  }
  const once = scheduledTimeInSeconds === null ? now : new Date(scheduledTimeInSeconds * 1000);
  return once <= now ? computeWindow(settings, once).end : null;
}

/** Returns which parts of a span the delivered windows of the job's current output contain. */
export async function readCoverage(
  db: Db,
  job: { readonly id: string; readonly accountId: bigint; readonly settings: JobSettings },
  asked: TimeSpan,
  now: Date,
): Promise<Coverage> {
  const to = earlier(asked.to, findLastWindowEnd(job.settings, now) ?? asked.from);
  if (asked.from >= to) return { from: asked.from, to: asked.from, delivered: [], stale: [], gaps: [] };
  const span = { from: asked.from, to };
  const rows = await db
    .select({
      from: deliveries.windowStart,
      to: deliveries.windowEnd,
      owedUntil: deliveries.owedUntil,
      staleSince: deliveries.staleSince,
      touchedAt: deliveries.touchedAt,
    })
    .from(deliveries)
    .where(
      and(
        eq(deliveries.accountId, job.accountId),
        eq(deliveries.jobId, job.id),
        sql`${deliveries.revision} > 0 AND ${deliveries.outputSha256} = ${hashOutput(job.settings)}::bytea`,
        sql`${deliveries.windowEnd} > ${span.from.toISOString()}::timestamptz AND ${deliveries.windowStart} < ${span.to.toISOString()}::timestamptz`,
      ),
    );
  const within = ({ from, to }: TimeSpan): TimeSpan => ({ from: later(from, span.from), to: earlier(to, span.to) });
  const delivered = mergeSpans(rows.map(within));
  const stale = rows
    .filter(({ staleSince, touchedAt }) => staleSince !== null || touchedAt !== null)
    .map(({ from, owedUntil }) => within({ from, to: owedUntil }))
    .filter(({ from, to }) => from < to);
  return { ...span, delivered, stale: mergeSpans(stale), gaps: findGaps(span, delivered) };
}
