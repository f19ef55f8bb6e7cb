import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';

/** What the database tells of the runs and slots of all servers. */
export interface DeploymentFigures {
  /** QUEUED, and nothing but a free worker or an earlier run of the job is waited for. */
  readonly waiting: number;
  /** QUEUED, in the pause between two attempts. */
  readonly paused: number;
  readonly running: number;
  /** Seconds for which the oldest of those waiting could have been started; 0 where there is none. */
  readonly oldestWaitingSeconds: number;
  /** Seconds since the oldest slot that has no run yet; 0 where none is due. */
  readonly slotLagSeconds: number;
  /** Runs that ended since the last reading. */
  readonly ended: readonly EndedRuns[];
  /** Up to which moment they are counted, by the database's clock: for the next reading. */
  readonly endedUntil: string;
}

export interface EndedRuns {
  readonly status: 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  /** Whether nobody canceled it: its slot was missed, or a later one's window holds its own. */
  readonly reason: 'MISSED' | 'SUPERSEDED' | null;
  readonly runs: number;
}

/** The end of a run is written down a moment before it can be seen; later than this nobody expects it any more. */
const SETTLED = '10 seconds';
/** Where nobody asked for long, what ended before is not counted: an hour of it may be many rows. */
const LOOK_BACK = '10 minutes';

/**
 * Reads indexes alone that hold what is under way, due, or ended within minutes: jobs_due (its first entry), runs_active and
 * runs_by_finish. Three statements that leave together.
 */
export const readDeploymentFigures = async (
  db: Db,
  { endedSince, limitMs }: { readonly endedSince: string | null; readonly limitMs: number },
): Promise<DeploymentFigures> =>
  db.transaction(async (tx) => {
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
          SELECT status, CASE WHEN status = 'CANCELED' AND error ->> 'code' IN ('MISSED', 'SUPERSEDED') THEN error ->> 'code' END AS reason,
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
