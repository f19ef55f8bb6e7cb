import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';

/** Figures about the runs and slots of all servers, read from the database. */
export interface DeploymentFigures {
  /** Number of QUEUED runs that wait only for a free worker or an earlier run of their job. */
  readonly waiting: number;
  /** Number of QUEUED runs in the pause between two attempts. */
  readonly paused: number;
  readonly running: number;
  /** Seconds for which the oldest waiting run could have been started; 0 if none waits. */
  readonly oldestWaitingSeconds: number;
  /** Seconds since the oldest slot without a run; 0 if none is due. */
  readonly slotLagSeconds: number;
  /** Runs that ended since the last reading. */
  readonly ended: readonly EndedRuns[];
  /** Database time up to which `ended` is counted: `endedSince` of the next reading. */
  readonly endedUntil: string;
}

export interface EndedRuns {
  readonly status: 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  /** Code of runs that no request canceled. */
  readonly reason: 'MISSED' | 'SUPERSEDED' | 'UNCHANGED' | 'JOB_CHANGED' | 'DELIVERED' | null;
  readonly runs: number;
}

/** finished_at is set shortly before COMMIT makes it visible. After this delay all ends are assumed to be visible. */
const SETTLED = '10 seconds';
/** Runs that ended earlier than this are not counted if metrics were not scraped for a while: an hour may be many rows. */
const LOOK_BACK = '10 minutes';

/**
 * Reads the figures with three pipelined statements. They use only indexes of active, due and recently ended rows: jobs_due (its
 * first entry), runs_active and runs_by_finish.
 */
export async function readDeploymentFigures(
  db: Db,
  { endedSince, limitMs }: { readonly endedSince: string | null; readonly limitMs: number },
): Promise<DeploymentFigures> {
  return db.transaction(async (tx) => {
    const [, active, due, ended] = await Promise.all([
      tx.execute(sql.raw(`SET LOCAL statement_timeout = ${limitMs}`)),
      tx.execute<{ waiting: number; paused: number; running: number; seconds: number | null }>(sql`
        SELECT count(*) FILTER (WHERE status = 'QUEUED' AND (not_before IS NULL OR not_before <= clock_timestamp()))::int AS waiting,
          count(*) FILTER (WHERE status = 'QUEUED' AND not_before > clock_timestamp())::int AS paused,
          count(*) FILTER (WHERE status = 'RUNNING')::int AS running,
          extract(epoch FROM clock_timestamp() - min(greatest(created_at, not_before))
            FILTER (WHERE status = 'QUEUED' AND (not_before IS NULL OR not_before <= clock_timestamp())))::float8 AS seconds
        FROM runs WHERE status IN ('QUEUED', 'RUNNING')`),
      tx.execute<{ seconds: number | null }>(sql`
        SELECT extract(epoch FROM clock_timestamp() - min(next_run_at))::float8 AS seconds
        FROM jobs WHERE next_run_at IS NOT NULL`),
      tx.execute<{ until: string; status: EndedRuns['status'] | null; reason: EndedRuns['reason']; runs: number }>(sql`
        WITH span AS (
          SELECT greatest(${endedSince}::timestamptz, now() - ${sql.raw(`interval '${LOOK_BACK}'`)}) AS since,
            now() - ${sql.raw(`interval '${SETTLED}'`)} AS until
        )
        SELECT span.until::text AS until, r.status, r.reason, coalesce(r.runs, 0)::int AS runs
        FROM span LEFT JOIN LATERAL (
          SELECT status, CASE WHEN status = 'CANCELED' AND error ->> 'code' IN ('MISSED', 'SUPERSEDED', 'UNCHANGED', 'JOB_CHANGED', 'DELIVERED') THEN error ->> 'code' END AS reason,
            count(*) AS runs
          FROM runs WHERE ${endedSince}::timestamptz IS NOT NULL AND finished_at > span.since AND finished_at <= span.until
          GROUP BY 1, 2
        ) r ON true`),
    ]);
    const counts = active.rows[0];
    return {
      waiting: counts?.waiting ?? 0,
      paused: counts?.paused ?? 0,
      running: counts?.running ?? 0,
      oldestWaitingSeconds: Math.max(0, counts?.seconds ?? 0),
      slotLagSeconds: Math.max(0, due.rows[0]?.seconds ?? 0),
      ended: ended.rows.flatMap(({ status, reason, runs }) => (status === null ? [] : [{ status, reason, runs }])),
      endedUntil: ended.rows[0]?.until ?? '',
    };
  });
}
