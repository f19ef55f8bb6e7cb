import { querySql } from './job-steps.ts';
import { eventually, type TestServer } from './server.ts';

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
    () =>
      querySql<{ waits: number }>(
        server,
        'SELECT count(*)::int AS waits FROM pg_locks WHERE locktype = $1 AND NOT granted',
        [lockType],
      ),
    ([row]) => isSettled || (row?.waits ?? 0) > 0,
  );
}
