import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

const DEADLINE_MS = 20_000;

/**
 * Lets the statements on the table of runs through one after another, and resolves while one waits that begins with these
 * words: whoever sent it gets its answer when `release` is called. `begin` lets come what is to be caught.
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
  const release = async (): Promise<void> => {
    await holder.query('COMMIT');
    await Promise.all([watcher.end(), first.end(), second.end()]);
  };
  await lock(holder);
  begin();
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const { rows } = await watcher.query<{ caught: boolean }>(
      `SELECT count(*) FILTER (WHERE ltrim(query, E' \\n') LIKE $1 || '%') > 0 AS caught FROM pg_stat_activity
       WHERE wait_event_type = 'Lock' AND application_name <> 'sluice-tests'`,
      [words],
    );
    if (rows[0]?.caught) return { release };
    if (performance.now() > deadline) {
      await release();
      throw new Error(`No statement came that begins with ${words}`);
    }
    // Those that wait go before it, and what is sent then waits for it.
    const locked = lock(next);
    await delay(20);
    await holder.query('COMMIT');
    await locked;
    [holder, next] = [next, holder];
    await delay(20);
  }
};
