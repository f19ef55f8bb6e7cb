import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

const DEADLINE_MS = 20_000;

/**
 * Lets the statements on the table of runs pass one by one, and resolves when a statement waits that begins with these
 * words. The statement continues when `release` is called. `begin` starts the work that sends it.
 */
export const catchStatement = async (
  url: string,
  words: string,
  begin: () => void,
): Promise<{ release(): Promise<void> }> => {
  const [watcher, ...lockers] = await Promise.all(
    [1, 2, 3].map(async () => {
      const client = new pg.Client({ connectionString: url, application_name: 'sluice-tests' });
      await client.connect();
      return client;
    }),
  );
  const [first, second] = lockers;
  if (!watcher || !first || !second) throw new Error('There are three connections.');
  let [holder, next] = [first, second];
  const lock = async (client: pg.Client): Promise<void> => {
    await client.query('BEGIN');
    await client.query('LOCK TABLE runs IN ACCESS EXCLUSIVE MODE');
  };
  const waiting = async (condition: string, value: string): Promise<boolean> => {
    const { rows } = await watcher.query<{ found: boolean }>(
      `SELECT count(*) > 0 AS found FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND ${condition}`,
      [value],
    );
    return rows[0]?.found ?? false;
  };
  await lock(holder);
  begin();
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const locked = lock(next);
    // Later statements wait for this lock, so the next check sees all statements that pass now.
    const place = `application_name = 'sluice-tests' AND query LIKE $1`;
    while (!(await waiting(place, 'LOCK TABLE runs %'))) await delay(1);
    const isCaught = await waiting(
      `application_name <> 'sluice-tests' AND ltrim(query, E' \\n') LIKE $1 || '%'`,
      words,
    );
    const release = async (): Promise<void> => {
      await holder.query('COMMIT');
      await locked;
      await next.query('COMMIT');
      await Promise.all([watcher.end(), first.end(), second.end()]);
    };
    if (isCaught) return { release };
    if (performance.now() > deadline) {
      await release();
      throw new Error(`No statement came that begins with ${words}`);
    }
    await holder.query('COMMIT');
    await locked;
    [holder, next] = [next, holder];
  }
};
