import { sql } from 'drizzle-orm';
import type { Transaction } from '../db/client.ts';

/** The channel on which servers tell one another that a run has changed. */
export const RUN_CHANNEL = 'sluice_runs';

/** Ids only: a payload over 8,000 bytes fails, and the state is read from the row anyway. */
export interface RunEventPayload {
  readonly id: string;
  readonly accountId: string;
  readonly jobId: string;
}

/** Delivered when the transaction commits: whoever hears it finds the new state. One statement for any number. */
export const notifyRuns = async (
  tx: Transaction,
  changed: readonly { readonly id: string; readonly accountId: bigint; readonly jobId: string }[],
): Promise<void> => {
  if (changed.length === 0) return;
  const payloads = changed.map((run) =>
    JSON.stringify({ id: run.id, accountId: String(run.accountId), jobId: run.jobId } satisfies RunEventPayload),
  );
  await tx.execute(
    sql`SELECT pg_notify(${RUN_CHANNEL}, payload) FROM unnest(${sql.param(payloads)}::text[]) AS payload`,
  );
};
