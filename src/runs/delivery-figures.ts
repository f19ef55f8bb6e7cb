import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import { countByState } from '../deliveries/read-deliveries.ts';
import type { DeliveryState } from '../deliveries/delivery.ts';

/** Figures about the deliveries of all accounts, read from the database. */
export interface DeliveryFigures {
  readonly states: ReadonlyMap<DeliveryState, number>;
  /** Seconds since the oldest correction whose restatement has not SUCCEEDED; 0 if none waits. */
  readonly oldestRestatementSeconds: number;
  /** Seconds since the ledger was scanned that was scanned longest ago; 0 without deliveries. */
  readonly scanLagSeconds: number;
  /** Restatements that ended since the last reading. */
  readonly restatements: ReadonlyMap<RestatementOutcome, number>;
  /** Database time up to which `restatements` are counted: `endedSince` of the next reading. */
  readonly endedUntil: string;
}

export const RESTATEMENT_OUTCOMES = ['succeeded', 'unchanged', 'failed', 'canceled'] as const;
export type RestatementOutcome = (typeof RESTATEMENT_OUTCOMES)[number];

/** finished_at is set shortly before COMMIT makes it visible. After this delay all ends are assumed to be visible. */
const SETTLED = sql.raw(`interval '10 seconds'`);
/** Restatements that ended earlier are not counted if metrics were not scraped for a while. */
const LOOK_BACK = sql.raw(`interval '1 hour'`);

/** Reads the figures. The states are counted by a scan of the deliveries, so callers must keep the result for a while. */
export async function readDeliveryFigures(
  db: Db,
  { endedSince, limitMs }: { readonly endedSince: string | null; readonly limitMs: number },
): Promise<DeliveryFigures> {
  return db.transaction(async (tx) => {
    await tx.execute(sql.raw(`SET LOCAL statement_timeout = ${limitMs}`));
    const states = await countByState(tx);
    const { rows: ages } = await tx.execute<{ seconds: number | null }>(sql`
      SELECT extract(epoch FROM clock_timestamp() - min(d.stale_since))::float8 AS seconds
      FROM deliveries d JOIN jobs j ON j.id = d.job_id AND j.deleted_at IS NULL AND j.enabled AND j.output_sha256 = d.output_sha256
      WHERE d.stale_since IS NOT NULL AND (d.touched_at IS NOT NULL OR EXISTS (
        SELECT 1 FROM runs r WHERE r.job_id = d.job_id AND r.bucket = d.bucket AND r.manifest_key = d.manifest_key
          AND r.trigger = 'RESTATEMENT' AND r.status IN ('QUEUED', 'RUNNING')))`);
    const { rows: lags } = await tx.execute<{ seconds: number | null }>(
      sql`SELECT extract(epoch FROM clock_timestamp() - min(scanned_at))::float8 AS seconds FROM ledger_cursors`,
    );
    const { rows: ended } = await tx.execute<{ until: string; outcome: RestatementOutcome | null; runs: number }>(sql`
      WITH span AS (
        SELECT greatest(${endedSince}::timestamptz, now() - ${LOOK_BACK}) AS since, now() - ${SETTLED} AS until
      )
      SELECT span.until::text AS until, r.outcome, coalesce(r.runs, 0)::int AS runs
      FROM span LEFT JOIN LATERAL (
        SELECT CASE WHEN status = 'CANCELED' AND error ->> 'code' = 'UNCHANGED' THEN 'unchanged' ELSE lower(status) END AS outcome, count(*) AS runs
        FROM runs WHERE ${endedSince}::timestamptz IS NOT NULL AND trigger = 'RESTATEMENT' AND finished_at > span.since AND finished_at <= span.until
        GROUP BY 1
      ) r ON true`);
    return {
      states,
      oldestRestatementSeconds: Math.max(0, ages[0]?.seconds ?? 0),
      scanLagSeconds: Math.max(0, lags[0]?.seconds ?? 0),
      restatements: new Map(ended.flatMap(({ outcome, runs }) => (outcome === null ? [] : [[outcome, runs] as const]))),
      endedUntil: ended[0]?.until ?? '',
    };
  });
}
