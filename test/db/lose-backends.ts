/**
 * Run by dying-backends.test.ts in a process of its own, since the test checks that the process survives. Terminates
 * the backends of connections in every state, and writes the outcome of each as a line of JSON.
 *
 * Arguments: the connection string, and `deaf` to remove the listeners of src/db/pool.ts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import pg from 'pg';
import { openDatabase } from '../../src/db/client.ts';
import { isUnavailable } from '../../src/db/failures.ts';
import { openQueue, RUN_QUEUE } from '../../src/db/queue.ts';
import { openRowReader } from '../support/row-reader.ts';
import { scrubError } from '../../src/lib/scrub-error.ts';
import { startRunFeed } from '../../src/runs/run-feed.ts';

const [url = '', mode] = process.argv.slice(2);

const admin = new pg.Client({ connectionString: url, application_name: 'sluice-tests' });
await admin.connect();
let told = 0;
const database = openDatabase({
  url,
  // With a single connection, one that is not released blocks the next statement.
  poolSize: 1,
  applicationName: 'sluice-lost',
  statementTimeoutMs: 30_000,
  onConnectionError: () => {
    told += 1;
  },
});
const db = database.forAccount(1n);
if (mode === 'deaf') database.pool.on('connect', (client) => client.removeAllListeners('error'));

const backends = async (applicationName: string): Promise<number[]> => {
  const { rows } = await admin.query<{ pid: number }>(
    'SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()',
    [applicationName],
  );
  return rows.map(({ pid }) => pid);
};
/** Terminates the backends of an application and waits until they are gone. */
const terminate = async (applicationName: string): Promise<number> => {
  const pids = await backends(applicationName);
  for (const pid of pids) await admin.query('SELECT pg_terminate_backend($1)', [pid]);
  while ((await backends(applicationName)).some((pid) => pids.includes(pid))) await delay(5);
  // The process gets the event in a later round of its loop.
  await delay(50);
  return pids.length;
};

const failureOf = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    await work();
    return null;
  } catch (error) {
    return error;
  }
};
const scenario = async (name: string, applicationName: string, work: () => Promise<unknown>): Promise<void> => {
  const error = await failureOf(work);
  // The pool works in every case.
  const { rows } = await db.execute<{ one: number }>(sql`SELECT 1 AS one`);
  const { message, cause } = scrubError(error);
  // PostgreSQL lists the backend of a closed connection for some more milliseconds. That of the pool stays.
  const mayStay = applicationName === 'sluice-lost' ? 1 : 0;
  const deadline = performance.now() + 20_000;
  while ((await backends(applicationName)).length > mayStay && performance.now() < deadline) await delay(10);
  console.log(
    JSON.stringify({
      name,
      unavailable: isUnavailable(error),
      serves: rows[0]?.one === 1,
      words: `${message} ${cause?.message ?? ''}`,
      left: (await backends(applicationName)).length,
    }),
  );
};
const ROWS = 'SELECT repeat($$secret-row$$, 100) FROM generate_series(1, 200000)';

await db.execute(sql`SELECT 1`);
await scenario('idle in the pool', 'sluice-lost', () => terminate('sluice-lost'));
await scenario('in a transaction', 'sluice-lost', () =>
  db.transaction(async (tx) => {
    await tx.execute(sql`SELECT 'secret-row'`);
    await terminate('sluice-lost');
    await tx.execute(sql`SELECT 'secret-row'`);
  }),
);
await scenario('in a statement', 'sluice-lost', async () => {
  // Drizzle runs a statement each time that its promise is awaited, so it is awaited only here.
  const slow = failureOf(() => db.execute(sql`SELECT pg_sleep(60), ${'secret-row'}`));
  while ((await backends('sluice-lost')).length === 0) await delay(5);
  await delay(50);
  await terminate('sluice-lost');
  throw await slow;
});
await scenario('in a COPY that is being read', 'sluice-export', async () => {
  const reader = await openRowReader(url, 1n, new AbortController().signal);
  let chunks = 0;
  try {
    for await (const chunk of reader.lines(`COPY (${ROWS}) TO STDOUT`)) {
      chunks += chunk.length > 0 ? 1 : 0;
      if (chunks === 3) await terminate('sluice-export');
    }
  } finally {
    reader.close();
  }
});
await scenario('in a COPY that is not read', 'sluice-export', async () => {
  const reader = await openRowReader(url, 1n, new AbortController().signal);
  const lines = reader.lines(`COPY (${ROWS}) TO STDOUT`);
  await lines.next();
  await terminate('sluice-export');
  reader.close();
  // Rows that were received before may still be read; then the connection fails.
  for await (const chunk of lines) if (chunk.length === 0) break;
});
await scenario('in LISTEN', 'sluice-feed', async () => {
  const { promise: heard, resolve } = Promise.withResolvers<void>();
  const feed = startRunFeed({
    db: database.acrossAccounts,
    dbOf: (accountId) => database.forAccount(accountId),
    url,
    applicationName: 'sluice-feed',
    resyncMs: 1000,
    onInterrupted: () => resolve(),
    onResumed: () => undefined,
    onError: () => undefined,
  });
  await feed.started;
  await terminate('sluice-feed');
  await heard;
  while ((await backends('sluice-feed')).length === 0) await delay(20);
  await feed.stop();
});
await scenario('in the queue', 'sluice-queue', async () => {
  const queue = openQueue({ url, applicationName: 'sluice-queue', worker: true, onError: () => undefined });
  await queue.start();
  const terminated = await terminate('sluice-queue');
  if (terminated === 0) throw new Error('The queue had no connection.');
  // The first message may fail on the broken connection; later ones succeed.
  while ((await failureOf(() => queue.send(RUN_QUEUE, { jobId: 'x' }))) !== null) await delay(20);
  await queue.stop({ graceful: false });
});

await database.close();
await admin.end();
console.log(JSON.stringify({ name: 'end', told }));
