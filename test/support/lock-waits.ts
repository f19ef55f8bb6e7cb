import { querySql } from './job-steps.ts';
import { eventually, type TestServer } from './server.ts';

/**
 * Returns a query for the backends that wait for a lock that meets the condition. The databases of other files are in the same cluster
 * and are copies of the same template, so their tables have the same ids. The query does not read pg_stat_activity, of which a
 * transaction sees only the state at its first read.
 */
export function selectWaiting(condition: string): string {
  return `SELECT pid FROM pg_locks WHERE NOT granted AND ${condition}
    AND pid IN (SELECT pid FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()))`;
}

/**
 * Waits until a statement waits for a lock of this type. Returns too if the work that should wait has settled, so that the test fails
 * by its own assertion.
 */
export async function untilLockWaits(
  server: Pick<TestServer, 'database'>,
  lockType: 'advisory' | 'transactionid',
  work: Promise<unknown>,
): Promise<void> {
  let isSettled = false;
  const settle = (): void => {
    isSettled = true;
  };
  work.then(settle, settle);
  await eventually(
    () => querySql(server, selectWaiting(`locktype = '${lockType}'`)),
    (waiting) => isSettled || waiting.length > 0,
  );
}
