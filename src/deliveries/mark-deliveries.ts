import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import type { JobRow } from '../jobs/jobs.ts';

/** Deliveries that one statement locks, so that the end of a run does not wait for long. */
const BATCH = 1000;

/**
 * Marks the deliveries of the job that have the output, before the job gets it: while it had another one, the scan did not look for
 * corrections of their streams. A mark of a delivery that is RETIRED changes nothing, so the marks remain if the job is not updated then.
 * Deliveries that another transaction has locked are skipped and tried again, so that two statements never wait for each other.
 */
export async function markDeliveriesOf(
  db: Db,
  { id, accountId }: Pick<JobRow, 'id' | 'accountId'>,
  output: Buffer,
  settleSeconds: number,
): Promise<void> {
  const unmarked = sql`account_id = ${accountId} AND job_id = ${id} AND output_sha256 = ${output}::bytea
    AND (touched_at IS NULL OR check_at IS NULL OR checking IS NOT NULL)`;
  for (;;) {
    const { rowCount } = await db.execute(sql`
      UPDATE deliveries SET touched_at = coalesce(touched_at, clock_timestamp()), checking = NULL,
        check_at = clock_timestamp() + ${settleSeconds} * interval '1 second'
      WHERE account_id = ${accountId} AND id = ANY(ARRAY(SELECT id FROM deliveries WHERE ${unmarked} LIMIT ${BATCH} FOR UPDATE SKIP LOCKED))`);
    if ((rowCount ?? 0) > 0) continue;
    const { rows } = await db.execute(sql`SELECT 1 FROM deliveries WHERE ${unmarked} LIMIT 1`);
    if (rows.length === 0) return;
  }
}
