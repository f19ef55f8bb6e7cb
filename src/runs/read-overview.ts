import { and, asc, count, desc, eq, gt, isNull, lte, sql } from 'drizzle-orm';
import { LRUCache } from 'lru-cache';
import { type Db, type Executor, inOrder, pipelineTransaction, send } from '../db/client.ts';
import { jobs, operations, runs } from '../db/tables.ts';
import type { DeliveryRow } from '../deliveries/delivery.ts';
import { countAttention, listAttention } from '../deliveries/read-deliveries.ts';
import type { JobRow } from '../jobs/jobs.ts';
import { DAY } from '../lib/zoned-time.ts';
import {
  fillIntake,
  fillStatuses,
  findNextSlots,
  type IntakeDay,
  MAX_NEXT_SLOTS,
  type NextSlot,
  startOfIntake,
  startOfOpenDays,
  type StatusCount,
} from './overview.ts';
import type { RunRow } from './runs.ts';

/** Maximum length of the lists of an overview. */
export const MAX_LISTED = 20;

export interface Overview {
  readonly at: Date;
  readonly failingRuns: readonly RunRow[];
  readonly failingJobCount: number;
  readonly jobsWithWarnings: readonly JobRow[];
  readonly jobWithWarningsCount: number;
  readonly attentionDeliveries: readonly DeliveryRow[];
  readonly staleDeliveryCount: number;
  readonly missingDeliveryCount: number;
  readonly queueLagSeconds: number;
  readonly runsLast24Hours: readonly StatusCount[];
  readonly intake: readonly IntakeDay[];
  readonly nextSlots: readonly NextSlot[];
}

const MAX_ACCOUNTS = 1000;
/** Operations of earlier days appear only if the database is restored or an account is moved to it. */
const KEPT_MS = 3_600_000;

/** The intake of ended days by account: counting a million operations takes longer than the rest of an overview. */
export type IntakeCache = LRUCache<bigint, { readonly until: Date; readonly days: readonly IntakeDay[] }>;

export function createIntakeCache(): IntakeCache {
  return new LRUCache({ max: MAX_ACCOUNTS, ttl: KEPT_MS });
}

/** Reads the overview of an account in one round trip. */
export async function readOverview(db: Db, accountId: bigint, at: Date, intakeCache: IntakeCache): Promise<Overview> {
  const ended = intakeCache.get(accountId);
  const [failing, warned, attention, attentionCounts, queueLagSeconds, statuses, open, due, next] =
    await pipelineTransaction(db, (tx) =>
      inOrder([
        listFailing(tx, accountId),
        listWarned(tx, accountId),
        listAttention(tx, accountId, MAX_LISTED),
        countAttention(tx, accountId),
        readQueueLag(tx, accountId, at),
        countStatuses(tx, accountId, new Date(at.getTime() - DAY)),
        readIntake(tx, accountId, ended?.until ?? startOfIntake(at)),
        listDue(tx, accountId, at),
        listNext(tx, accountId, at),
      ]),
    );
  const intake = [...(ended?.days ?? []), ...open];
  const until = startOfOpenDays(at);
  if (!ended || ended.until < until)
    intakeCache.set(accountId, { until, days: intake.filter(({ date }) => date < until) });
  return {
    at,
    failingRuns: failing.map(({ run }) => run),
    failingJobCount: failing[0]?.total ?? 0,
    jobsWithWarnings: warned.map(({ job }) => job),
    jobWithWarningsCount: warned[0]?.total ?? 0,
    attentionDeliveries: attention,
    staleDeliveryCount: attentionCounts.stale,
    missingDeliveryCount: attentionCounts.missing,
    queueLagSeconds,
    runsLast24Hours: fillStatuses(statuses),
    intake: fillIntake(intake, at),
    nextSlots: findNextSlots([...due, ...next], at),
  };
}

/** The newest ended run of each job is found by one probe of runs_by_job for each job. */
function listFailing(tx: Executor, accountId: bigint): Promise<{ run: RunRow; total: number }[]> {
  const failing = sql`(
    SELECT newest.id, count(*) OVER () AS total FROM jobs j CROSS JOIN LATERAL (
      SELECT r.id, r.status, r.finished_at FROM runs r
      WHERE r.job_id = j.id AND r.account_id = ${accountId} AND r.status IN ('SUCCEEDED', 'FAILED', 'CANCELED')
      ORDER BY r.created_at DESC, r.id DESC LIMIT 1) newest
    WHERE j.account_id = ${accountId} AND j.deleted_at IS NULL AND newest.status = 'FAILED'
    ORDER BY newest.finished_at DESC, newest.id DESC LIMIT ${MAX_LISTED}) failing`;
  return send(
    tx
      .select({ run: runs, total: sql`failing.total`.mapWith(Number) })
      .from(runs)
      .innerJoin(failing, sql`failing.id = ${runs.id}`)
      .where(eq(runs.accountId, accountId))
      .orderBy(desc(runs.finishedAt), desc(runs.id)),
  );
}

function listWarned(tx: Executor, accountId: bigint): Promise<{ job: JobRow; total: number }[]> {
  return send(
    tx
      .select({ job: jobs, total: sql`count(*) OVER ()`.mapWith(Number) })
      .from(jobs)
      .where(and(eq(jobs.accountId, accountId), isNull(jobs.deletedAt), sql`cardinality(${jobs.warnings}) > 0`))
      .orderBy(asc(jobs.name))
      .limit(MAX_LISTED),
  );
}

/** A run that waits for completeness has a not_before in the future, as one between two attempts. */
async function readQueueLag(tx: Executor, accountId: bigint, at: Date): Promise<number> {
  const { rows } = await tx.execute<{ seconds: number | null }>(sql`
    SELECT extract(epoch FROM ${at.toISOString()}::timestamptz - min(greatest(created_at, not_before)))::float8 AS seconds
    FROM runs WHERE account_id = ${accountId} AND status = 'QUEUED'
      AND (not_before IS NULL OR not_before <= ${at.toISOString()}::timestamptz)`);
  return Math.max(0, Math.floor(rows[0]?.seconds ?? 0));
}

function countStatuses(tx: Executor, accountId: bigint, after: Date): Promise<StatusCount[]> {
  return send(
    tx
      .select({ status: runs.status, count: count() })
      .from(runs)
      .where(and(eq(runs.accountId, accountId), gt(runs.createdAt, after)))
      .groupBy(runs.status),
  );
}

async function readIntake(tx: Executor, accountId: bigint, from: Date): Promise<IntakeDay[]> {
  const { rows } = await tx.execute<{ date: string; operations: string; inserted: string; hidden: string }>(sql`
    SELECT (received_at AT TIME ZONE 'UTC')::date::text AS date, count(*) AS operations,
      sum(inserted_records) AS inserted, sum(hidden_records) AS hidden
    FROM ${operations} WHERE account_id = ${accountId} AND received_at >= ${from.toISOString()}::timestamptz GROUP BY 1`);
  return rows.map((row) => ({
    date: new Date(row.date),
    operations: Number(row.operations),
    insertedRecords: Number(row.inserted),
    hiddenRecords: Number(row.hidden),
  }));
}

/** Jobs whose slot is due and not queued yet: for about a second, unless no scheduler runs. */
function listDue(tx: Executor, accountId: bigint, at: Date): Promise<JobRow[]> {
  return send(
    tx
      .select()
      .from(jobs)
      .where(and(eq(jobs.accountId, accountId), lte(jobs.nextRunAt, at))),
  );
}

/** The jobs with the earliest slots. */
function listNext(tx: Executor, accountId: bigint, at: Date): Promise<JobRow[]> {
  return send(
    tx
      .select()
      .from(jobs)
      .where(and(eq(jobs.accountId, accountId), gt(jobs.nextRunAt, at)))
      .orderBy(asc(jobs.nextRunAt), asc(jobs.name))
      .limit(MAX_NEXT_SLOTS),
  );
}
