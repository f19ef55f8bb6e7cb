import { sql } from 'drizzle-orm';
import type { Transaction } from '../db/client.ts';

/** The channel on which servers notify each other of changed runs. */
export const RUN_CHANNEL = 'sluice_runs';

/** Ids only: NOTIFY rejects payloads of 8,000 bytes and more, and the listener reads the state from the row anyway. */
export interface RunNotification {
  readonly id: string;
  readonly accountId: string;
  readonly jobId: string;
  /** Present if a backfill has changed; then `id` is that of the backfill. */
  readonly isBackfill?: true;
}

interface Changed {
  readonly id: string;
  readonly accountId: bigint;
  readonly jobId: string;
}

/** Notifies all servers of changed runs. PostgreSQL delivers the notifications after COMMIT, so listeners read the new state. */
export async function notifyRuns(tx: Transaction, changed: readonly Changed[]): Promise<void> {
  await notify(tx, changed, {});
}

/** Notifies all servers of changed backfills. Servers of earlier versions find no run with the id, and ignore it. */
export async function notifyBackfills(tx: Transaction, changed: readonly Changed[]): Promise<void> {
  await notify(tx, changed, { isBackfill: true });
}

async function notify(
  tx: Transaction,
  changed: readonly Changed[],
  kind: { readonly isBackfill?: true },
): Promise<void> {
  if (changed.length === 0) return;
  const payloads = changed.map(({ id, accountId, jobId }) =>
    JSON.stringify({ id, accountId: String(accountId), jobId, ...kind } satisfies RunNotification),
  );
  await tx.execute(
    sql`SELECT pg_notify(${RUN_CHANNEL}, payload) FROM unnest(${sql.param(payloads)}::text[]) AS payload`,
  );
}
