import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Db } from '../../src/db/client.ts';
import { findAccount } from '../../src/accounts/accounts.ts';
import { type RunFeed, startRunFeed } from '../../src/runs/run-feed.ts';
import type { RunSelection } from '../../src/runs/run-subscription.ts';
import type { RunRow } from '../../src/runs/runs.ts';
import { createGate } from '../support/faults.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let accountId: bigint;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  accountId = (await findAccount(server.resources.database.acrossAccounts, 'default'))?.id ?? 0n;
});
afterAll(() => server.stop());

interface Hold {
  readonly db: Db;
  /** Resolves when the rows have been read and are withheld. */
  readonly reached: Promise<void>;
  readonly open: () => void;
}

/**
 * The database, except that the rows of the first ordered SELECT arrive only after `open`. They are the current states
 * of the first subscription; the SELECTs after a notification have no order.
 */
const holdPresentStates = (db: Db): Hold => {
  const { opened, open } = createGate();
  const { opened: reached, open: reach } = createGate();
  let isHeld = false;
  const keep = async (rows: unknown): Promise<unknown> => {
    reach();
    await opened;
    return rows;
  };
  const wrap = <Target extends object>(target: Target, isKept: boolean): Target =>
    new Proxy(target, {
      get: (_, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name === 'then' && isKept) {
          return (resolve: (rows: unknown) => void, reject: (error: unknown) => void) => {
            Promise.resolve(Reflect.apply(value, target, [keep])).then(resolve, reject);
          };
        }
        return (...args: unknown[]) => {
          const result: unknown = Reflect.apply(value, target, args);
          if (!['select', 'from', 'where', 'orderBy'].includes(String(name))) return result;
          const isNowKept = name === 'orderBy' && !isHeld;
          isHeld ||= isNowKept;
          return wrap(result as object, isNowKept);
        };
      },
    });
  return { db: wrap(db, false), reached, open };
};

const start = async (db: Db): Promise<RunFeed> => {
  const feed = startRunFeed({
    db,
    dbOf: () => db,
    url: server.database.url,
    applicationName: 'sluice-feed',
    // No resync within a test: all changes here arrive by notification.
    resyncMs: 3_600_000,
    onInterrupted: () => {},
    onResumed: () => {},
    onError: () => {},
  });
  await feed.started;
  return feed;
};

const readAll = (
  feed: RunFeed,
  selection: Omit<RunSelection, 'accountId'>,
  signal = new AbortController().signal,
): { states: string[]; ended: Promise<void> } => {
  const states: string[] = [];
  const read = async (): Promise<void> => {
    for await (const run of feed.follow({ accountId, ...selection }, signal)) states.push(stateOf(run));
  };
  return { states, ended: read() };
};
const stateOf = (run: RunRow): string => `${run.status} ${run.rowsWritten}`;
const innerId = (id: string): string => Buffer.from(id, 'base64url').toString().split(':')[1] ?? '';

test('run feed > delivers a change that happens while the current states are read', async () => {
  const { db, reached, open } = holdPresentStates(server.resources.database.acrossAccounts);
  const feed = await start(db);
  const run = await (await createSteppedJob(server)).run();
  await run.start();
  const slow = readAll(feed, { runId: innerId(run.id) });
  await reached;
  const quick = readAll(feed, { runId: innerId(run.id) });
  await eventually(
    () => Promise.resolve(quick.states),
    (states) => states.length === 1,
  );
  await run.progress(3);
  await run.succeed();
  // Once one subscription has received it, all have.
  await quick.ended;
  expect(slow.states).toEqual([]);
  open();
  await slow.ended;
  expect(slow.states.at(-1)).toBe('SUCCEEDED 7');
  expect(feed.size).toBe(0);
  await feed.stop();
});

test('run feed > does not deliver a run that ended before the subscription, even if its notification arrives late', async () => {
  const { db, reached, open } = holdPresentStates(server.resources.database.acrossAccounts);
  const feed = await start(db);
  const job = await createSteppedJob(server);
  const early = await job.run();
  await early.start();
  const leaving = new AbortController();
  // Its current states are in flight when the run ends, so the run was active for this subscription.
  const first = readAll(feed, { jobId: innerId(job.id) }, leaving.signal);
  await reached;
  await early.succeed();
  const second = readAll(feed, { jobId: innerId(job.id) }, leaving.signal);
  const late = await job.run();
  await eventually(
    () => Promise.resolve(second.states),
    (states) => states.length === 1,
  );
  open();
  await eventually(
    () => Promise.resolve(first.states),
    (states) => states.length >= 2,
  );
  await late.start();
  await eventually(
    () => Promise.resolve([first.states.at(-1), second.states.at(-1)]),
    (states) => states.every((state) => state === 'RUNNING 0'),
  );
  expect(first.states).toContain('SUCCEEDED 7');
  expect(second.states).toEqual(['QUEUED 0', 'RUNNING 0']);
  leaving.abort();
  await Promise.all([first.ended, second.ended]);
  await feed.stop();
});

test('run feed > ends its subscriptions with FeedStoppedError when it stops', async () => {
  const feed = await start(server.resources.database.acrossAccounts);
  const run = await (await createSteppedJob(server)).run();
  const reader = readAll(feed, { runId: innerId(run.id) });
  await eventually(
    () => Promise.resolve(reader.states),
    (states) => states.length === 1,
  );
  await feed.stop();
  await feed.stop();
  await expect(reader.ended).rejects.toThrow('');
  expect(reader.states).toEqual(['QUEUED 0']);
  expect(feed.size).toBe(0);
});
