import { and, inArray, isNull, type SQL, sql } from 'drizzle-orm';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatPlainArray } from '../db/array-text.ts';
import type { Db, Transaction } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import { WAITING_SINCE } from '../db/delivery-tables.ts';
import { type Queue, sendWakeUps } from '../db/queue.ts';
import { jobs, runs } from '../db/tables.ts';
import { isRestated } from '../deliveries/delivery.ts';
import { isDelivered, type Judged } from '../deliveries/judge-deliveries.ts';
import { manifestNames } from '../jobs/destination.ts';
import type { JobRow } from '../jobs/jobs.ts';
import { newIds } from '../lib/ids.ts';
import { notifyRuns } from './run-notifications.ts';
import { newRun } from './runs.ts';

// Applies the verdicts of a check. Only here marks are cleared, and only if neither a scan nor a run has changed the delivery since the
// check began: `checking` is still the token of the check, and the revision the same. A run that took its watermark before the mark was
// cleared marks the delivery again when it ends (`checked_at`).

export interface RestatementLimits {
  /** Maximum restatements of the deployment that have not ended (RESTATEMENT_CONCURRENCY). */
  readonly deployment: number;
  /** The same for one account (RESTATEMENTS_PER_ACCOUNT). */
  readonly account: number;
}

/** Pause before a delivery is checked again that has a restatement for another reason, or whose ledger is being repaired. */
const LATER_SECONDS = 60;

/** Applies the verdicts of a check, and queues the restatements that are due. Releases the other deliveries of the check. */
export async function applyVerdicts(
  db: Db,
  queue: Queue,
  token: string,
  judged: readonly Judged[],
  limits: RestatementLimits,
): Promise<void> {
  const by = Map.groupBy(judged, ({ verdict }) => verdict);
  await update(db, token, by.get('SAME') ?? [], sql`${CLEARED}, stale_since = NULL, failures = 0`);
  await update(db, token, by.get('NOT_OWED') ?? [], sql`check_at = NULL, checking = NULL`);
  await update(db, token, by.get('LATER') ?? [], LATER);
  await applyRestated(db, queue, token, [...(by.get('DIFFERENT') ?? []), ...(by.get('COMPLETE') ?? [])], limits);
  await release(db, token, judged);
}

/** Pause before rows are tried again that other transactions have locked. */
const RETRY_MS = 50;
/** A transaction that holds a lock this long is about to be ended by PostgreSQL. */
const MAX_RETRIES = 600;

/**
 * Makes the other deliveries of the check due again: those that had changed, and those that another transaction had locked, such as the
 * end of a run of a later window. One that stays locked is tried again, because its lease would last for minutes.
 */
async function release(db: Db, token: string, judged: readonly Judged[]): Promise<void> {
  const held = sql`id = ANY(${formatPlainArray(judged.map(({ delivery }) => delivery.id))}::uuid[]) AND checking = ${token}`;
  for (let tries = 0; tries < MAX_RETRIES; tries += 1) {
    const { rows } = await db.execute(sql`SELECT 1 FROM deliveries WHERE ${held} LIMIT 1`);
    if (rows.length === 0) return;
    if (tries > 0) await sleep(RETRY_MS);
    await db.execute(sql`
      UPDATE deliveries SET checking = NULL, check_at = clock_timestamp()
      WHERE id = ANY(ARRAY(SELECT id FROM deliveries WHERE ${held} FOR UPDATE SKIP LOCKED))`);
  }
  throw new Error('Deliveries are locked, so their check cannot end. They are checked again when its lease ends.');
}

const CLEARED = sql`touched_at = NULL, check_at = NULL, checking = NULL, checked_at = clock_timestamp()`;
const LATER = sql`check_at = clock_timestamp() + ${LATER_SECONDS} * interval '1 second', checking = NULL`;
/** Until admitWaiting() makes its check due: checking all of them again and again would take much of a processor. */
const WAITING = sql`check_at = 'infinity', checking = NULL`;
const DIFFERS = sql`stale_since = coalesce(d.stale_since, d.touched_at, clock_timestamp())`;

/** SQL: whether the rows differ. COMPLETE does not compare them. */
function differs(verdict: Judged['verdict']): SQL {
  return verdict === 'COMPLETE' ? sql`stale_since = d.stale_since` : DIFFERS;
}

/** Changes the deliveries that neither a scan nor a run has changed since the check began, and that no transaction has locked. */
async function update(db: Db | Transaction, token: string, judged: readonly Judged[], changes: SQL): Promise<void> {
  if (judged.length === 0) return;
  await db.execute(sql`UPDATE deliveries d SET ${changes} WHERE d.id = ANY(ARRAY(${guarded(token, judged)}))`);
}

/** Like update(), and stores whether the rows differ. */
async function updateByVerdict(
  db: Db | Transaction,
  token: string,
  judged: readonly Judged[],
  changes: SQL,
): Promise<void> {
  for (const [verdict, some] of Map.groupBy(judged, (one) => one.verdict)) {
    await update(db, token, some, sql`${changes}, ${differs(verdict)}`);
  }
}

function guarded(token: string, judged: readonly Judged[]): SQL {
  return sql`
    SELECT g.id FROM deliveries g JOIN unnest(${formatPlainArray(judged.map(({ delivery }) => delivery.id))}::uuid[],
      ${formatPlainArray(judged.map(({ delivery }) => delivery.revision))}::int[]) AS seen(id, revision) ON seen.id = g.id
    WHERE g.checking = ${token} AND g.revision = seen.revision FOR UPDATE OF g SKIP LOCKED`;
}

/** A delivery that differs from the ledger and is delivered again, with its job. */
interface Restated extends Judged {
  readonly job: JobRow;
}

async function applyRestated(
  db: Db,
  queue: Queue,
  token: string,
  judged: readonly Judged[],
  limits: RestatementLimits,
): Promise<void> {
  if (judged.length === 0) return;
  const now = await databaseNow(db);
  const restated: Restated[] = [];
  const others: Judged[] = [];
  const disabled: Judged[] = [];
  for (const one of judged) {
    const { job, delivery, foundAt } = one;
    if (!job || !isRestated(job, delivery, foundAt, now)) others.push(one);
    else if (job.enabled) restated.push({ ...one, job });
    else disabled.push(one);
  }
  await update(db, token, others, sql`${CLEARED}, ${DIFFERS}`);
  // They keep the mark: the sweep makes it due when the job is enabled, and a later correction does so too.
  await updateByVerdict(db, token, disabled, sql`check_at = NULL, checking = NULL`);
  if (restated.length === 0) return;
  restated.sort((a, b) => waitingSince(a, now) - waitingSince(b, now));
  await db.transaction((tx) => queueRestatements(tx, queue, token, restated, limits, now));
}

/** Returns the time of WAITING_SINCE. */
function waitingSince({ delivery }: Judged, now: Date): number {
  return (delivery.staleSince ?? delivery.touchedAt ?? now).getTime();
}

/** Queues one restatement for each delivery that has none, up to the limits, in the order of the list. */
async function queueRestatements(
  tx: Transaction,
  queue: Queue,
  token: string,
  restated: readonly Restated[],
  limits: RestatementLimits,
  now: Date,
): Promise<void> {
  // One transaction at a time counts and queues.
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended('restatements', 0))`);
  const jobsNow = await lockJobs(tx, restated);
  const { rows: left } = await tx.execute<{ id: string }>(guarded(token, restated));
  const unchanged = new Set(left.map(({ id }) => id));
  const unended = await readUnended(tx);
  const places = new Map(unended.map((run) => [formatPlace(run), run]));
  const counts = new Map<bigint, number>();
  for (const { accountId } of unended) counts.set(accountId, (counts.get(accountId) ?? 0) + 1);
  let total = unended.length;
  const longest = await readLongestWaiting(tx);
  const queued: Restated[] = [];
  const cleared: Judged[] = [];
  const waiting: Judged[] = [];
  const later: Judged[] = [];
  for (const one of restated) {
    const { delivery } = one;
    const ofAccount = counts.get(delivery.accountId) ?? 0;
    const job = jobsNow.get(delivery.jobId);
    // Checked again, with the job as it is now.
    if (!unchanged.has(delivery.id) || !job || !isStillRestated(job, one, now)) continue;
    const run = places.get(formatPlace(delivery));
    // A run with another reason may end UNCHANGED, so it does not replace one with the reason COMPLETE.
    if (run) (one.verdict === 'COMPLETE' && run.reason !== 'COMPLETE' ? later : cleared).push(one);
    else if (total >= limits.deployment || ofAccount >= limits.account) waiting.push(one);
    else if (waitingSince(one, now) > (longest.get(delivery.accountId) ?? Infinity)) waiting.push(one);
    else {
      queued.push({ ...one, job });
      total += 1;
      counts.set(delivery.accountId, ofAccount + 1);
    }
  }
  const ids = newIds(queued.length, now);
  const values = queued.map(({ delivery, job, verdict }, index) => ({
    ...newRun(
      job,
      'RESTATEMENT',
      delivery.slot,
      { start: delivery.windowStart, end: delivery.windowEnd },
      now,
      ids[index],
    ),
    bucket: delivery.bucket,
    manifestKey: delivery.manifestKey,
    turn: 1,
    reason: verdict === 'COMPLETE' ? ('COMPLETE' as const) : ('CORRECTION' as const),
  }));
  const inserted = values.length === 0 ? [] : await tx.insert(runs).values(values).onConflictDoNothing().returning();
  await updateByVerdict(tx, token, [...cleared, ...queued], CLEARED);
  await updateByVerdict(tx, token, later, LATER);
  await updateByVerdict(tx, token, waiting, WAITING);
  await sendWakeUps(
    queue,
    tx,
    inserted.map(({ jobId }) => ({ jobId, isBackground: true })),
  );
  await notifyRuns(tx, inserted);
}

/**
 * Returns the jobs of the deliveries as they are now, and keeps updateJob and deleteJob waiting until the transaction ends. Leaves out
 * deleted jobs, and those that another transaction changes.
 */
async function lockJobs(tx: Transaction, restated: readonly Restated[]): Promise<ReadonlyMap<string, JobRow>> {
  const ids = [...new Set(restated.map(({ job }) => job.id))];
  const rows = await tx
    .select()
    .from(jobs)
    .where(and(inArray(jobs.id, ids), isNull(jobs.deletedAt)))
    .for('share', { skipLocked: true });
  return new Map(rows.map((job) => [job.id, job]));
}

/** Whether the job, which may have changed since the check began, still has its delivery restated. */
function isStillRestated(job: JobRow, { delivery, foundAt }: Judged, now: Date): boolean {
  return job.enabled && isDelivered(delivery, job) && isRestated(job, delivery, foundAt, now);
}

interface Place {
  readonly jobId: string;
  readonly bucket: string;
  readonly manifestKey: string;
}

/** A run may still have the former name of the manifest. */
function formatPlace({ jobId, bucket, manifestKey }: Place): string {
  return `${jobId} ${bucket}/${manifestNames(manifestKey).current}`;
}

/** SQL: the condition of the index runs_restating. */
const IS_UNENDED = sql`trigger = 'RESTATEMENT' AND status IN ('QUEUED', 'RUNNING')`;

function readUnended(tx: Transaction) {
  return tx
    .select({
      accountId: runs.accountId,
      jobId: runs.jobId,
      bucket: runs.bucket,
      manifestKey: runs.manifestKey,
      reason: runs.reason,
    })
    .from(runs)
    .where(IS_UNENDED);
}

/** SQL: the accounts with deliveries that wait, read one by one from the index deliveries_waiting, which has this order. */
const WAITING_ACCOUNTS = sql`waiting (account_id) AS (
  (SELECT account_id FROM deliveries WHERE check_at = 'infinity' ORDER BY account_id, ${WAITING_SINCE} LIMIT 1)
  UNION ALL
  SELECT (SELECT account_id FROM deliveries WHERE check_at = 'infinity' AND account_id > w.account_id ORDER BY account_id, ${WAITING_SINCE} LIMIT 1)
  FROM waiting w WHERE w.account_id IS NOT NULL)`;

/** Returns for each account since when the first of its deliveries waits, in milliseconds since 1970. */
async function readLongestWaiting(tx: Transaction): Promise<Map<bigint, number>> {
  const { rows } = await tx.execute<{ account_id: string; since: number }>(sql`
    WITH RECURSIVE ${WAITING_ACCOUNTS}
    SELECT w.account_id, (extract(epoch FROM (
      SELECT ${WAITING_SINCE} FROM deliveries WHERE account_id = w.account_id AND check_at = 'infinity' ORDER BY ${WAITING_SINCE} LIMIT 1
    )) * 1000)::float8 AS since
    FROM waiting w WHERE w.account_id IS NOT NULL`);
  return new Map(rows.map(({ account_id, since }) => [BigInt(account_id), since]));
}

/**
 * Makes the checks of as many waiting deliveries due as restatements may be queued, those first that wait longest. Each is checked
 * again, because its rows may agree with the ledger now. Returns whether there were any.
 */
export async function admitWaiting(db: Db, limits: RestatementLimits): Promise<boolean> {
  const { rowCount } = await db.execute(sql`
    WITH RECURSIVE ${WAITING_ACCOUNTS},
    unended AS MATERIALIZED (
      SELECT account_id, count(*) AS runs FROM runs WHERE ${IS_UNENDED} GROUP BY account_id)
    UPDATE deliveries SET check_at = clock_timestamp() WHERE id = ANY(ARRAY(
      SELECT first.id FROM waiting w CROSS JOIN LATERAL (
        SELECT id, ${WAITING_SINCE} AS since FROM deliveries WHERE account_id = w.account_id AND check_at = 'infinity'
        ORDER BY ${WAITING_SINCE}, id
        LIMIT greatest(0, ${limits.account} - coalesce((SELECT runs FROM unended u WHERE u.account_id = w.account_id), 0))
        FOR UPDATE SKIP LOCKED) first
      ORDER BY first.since, first.id LIMIT greatest(0, ${limits.deployment} - coalesce((SELECT sum(runs) FROM unended), 0))))`);
  return (rowCount ?? 0) > 0;
}
