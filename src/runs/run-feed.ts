import { and, eq, gt, inArray, or, sql } from 'drizzle-orm';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import { buildSessionConnection } from '../db/connection-options.ts';
import { SessionClient } from '../db/session-client.ts';
import { runs } from '../db/tables.ts';
import type { Stoppable } from '../lib/lifecycle.ts';
import { type BackfillFeed, createBackfillFeed } from './backfills/backfill-feed.ts';
import { RUN_CHANNEL, type RunNotification } from './run-notifications.ts';
import { LOOK_BACK_MS, RunSubscription, type RunSelection } from './run-subscription.ts';
import { isEnded, statusesBefore } from './run-status.ts';
import type { RunRow } from './runs.ts';

export interface RunFeed extends Stoppable {
  /** Resolves when the first LISTEN has succeeded. */
  readonly started: Promise<void>;
  /**
   * Yields the current states first (of the one run, or of all runs that wait or run), then each change. Ends when the one run has
   * ended or `signal` is aborted. If the client is slow, only the newest state of each run waits. Throws SlowSubscriberError if too
   * many runs wait, and FeedStoppedError when the feed stops.
   */
  follow(selection: RunSelection, signal: AbortSignal): AsyncGenerator<RunRow, void>;
  /** Yields a backfill first, then its state after changes, at most once per second, until it has ended. */
  readonly followBackfill: BackfillFeed['follow'];
  /** Number of active subscriptions. */
  readonly size: number;
}

export interface RunFeedOptions {
  readonly db: Db;
  /** The reads at the start of a subscription count as a request of its account. */
  readonly dbOf: (accountId: bigint) => Db;
  readonly url: string;
  readonly applicationName: string;
  /** Interval at which the states are read without a notification: a change that a broken connection lost arrives late. */
  readonly resyncMs: number;
  /** Called once when the connection is lost, and not again until it is restored. */
  readonly onInterrupted: (error: unknown) => void;
  /** Called when the connection is restored and the missed changes have been read. */
  readonly onResumed: () => void;
  /** Called when reading changes fails; the next resync reads them. */
  readonly onError: (error: unknown) => void;
}

const RECONNECT_MS = 500;

/** Ends all subscriptions when the feed stops. Their runs have not ended: clients can resubscribe at another server. */
export class FeedStoppedError extends Error {}

/**
 * Starts the feed: one LISTEN connection per process, for any number of subscriptions. A notification only names the run; its row is
 * read once and pushed to all subscriptions that follow it.
 */
export function startRunFeed(options: RunFeedOptions): RunFeed {
  const { db, onError } = options;
  const subscriptions = new Set<RunSubscription>();
  const stopping = new AbortController();
  const stopped = Promise.withResolvers<void>();
  const backfillFeed = createBackfillFeed(options.dbOf, stopping.signal, () => new FeedStoppedError());
  const changed = new Set<string>();
  let reading = false;
  let interrupted = false;
  let lastResync = performance.now();

  const publish = (rows: readonly RunRow[]): void => {
    for (const row of rows) for (const subscription of subscriptions) subscription.push(row);
  };

  const readChanged = async (): Promise<void> => {
    if (reading) return;
    reading = true;
    try {
      while (changed.size > 0) {
        const ids = [...changed].slice(0, 1000);
        for (const id of ids) changed.delete(id);
        publish(await db.select().from(runs).where(inArray(runs.id, ids)));
      }
    } catch (error) {
      // The next resync reads these rows.
      if (!interrupted) onError(error);
    } finally {
      reading = false;
    }
  };

  /** Publishes the runs that wait or run, and those that ended since the last resync, of all accounts with subscriptions. */
  const resync = async (): Promise<void> => {
    const accountIds = [...new Set([...subscriptions].map((subscription) => subscription.selection.accountId))];
    const now = performance.now();
    if (accountIds.length > 0) {
      publish(
        await db
          .select()
          .from(runs)
          .where(
            and(
              inArray(runs.accountId, accountIds),
              or(inArray(runs.status, statusesBefore('CANCEL')), endedWithin(now - lastResync + LOOK_BACK_MS)),
            ),
          )
          .orderBy(runs.createdAt, runs.id),
      );
    }
    backfillFeed.wake();
    lastResync = now;
  };

  const onNotification = (payload: string | undefined): void => {
    if (subscriptions.size + backfillFeed.size === 0 || payload === undefined) return;
    try {
      const event = JSON.parse(payload) as RunNotification;
      if (event.isBackfill) {
        backfillFeed.wake(event.id);
        return;
      }
      const accountId = BigInt(event.accountId);
      for (const subscription of subscriptions) {
        if (!subscription.matches(accountId, event.jobId, event.id)) continue;
        changed.add(event.id);
        break;
      }
    } catch (error) {
      onError(error);
    }
    if (changed.size > 0) void readChanged();
  };

  /** Listens until the connection breaks or the feed stops. */
  const listen = async (onListening: () => void): Promise<void> => {
    const client = new SessionClient(buildSessionConnection(options.url, { applicationName: options.applicationName }));
    const broken = new Promise<never>((_, reject) => {
      client.on('error', reject);
      client.on('end', () => reject(new Error('The LISTEN connection ended.')));
    });
    broken.catch(() => undefined);
    client.on('notification', (message) => onNotification(message.payload));
    try {
      await Promise.race([client.connect(), stopped.promise]);
      if (stopping.signal.aborted) return;
      await client.query(`LISTEN ${RUN_CHANNEL}`);
      onListening();
      // Notifications between the last connection and this one are lost.
      await resync();
      if (interrupted) options.onResumed();
      interrupted = false;
      while (!stopping.signal.aborted) {
        const pause = sleep(options.resyncMs, undefined, { signal: stopping.signal }).catch(() => undefined);
        await Promise.race([pause, broken]);
        if (stopping.signal.aborted) return;
        // Detects a connection that died silently: the query does not return in time.
        const alive = client.query('SELECT 1');
        alive.catch(() => undefined);
        const late = sleep(options.resyncMs * 2, undefined, { signal: stopping.signal }).then(
          () => Promise.reject(new Error('The LISTEN connection does not respond.')),
          () => undefined,
        );
        await Promise.race([alive, late, broken]);
        await resync();
      }
    } finally {
      client.removeAllListeners('notification');
      // Not awaited: a peer that is gone never confirms the Terminate message.
      client.end().catch(() => undefined);
    }
  };

  const started = Promise.withResolvers<void>();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await listen(started.resolve);
      } catch (error) {
        if (stopping.signal.aborted) return;
        // Reported once: every attempt fails the same way while the database is unavailable.
        if (!interrupted) options.onInterrupted(error);
        interrupted = true;
        await sleep(RECONNECT_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  };
  const done = loop();

  async function* follow(selection: RunSelection, signal: AbortSignal): AsyncGenerator<RunRow, void> {
    const subscription = new RunSubscription(selection);
    const ending = AbortSignal.any([stopping.signal, signal]);
    // Registered before the current states are read, so that no change in between is missed.
    subscriptions.add(subscription);
    try {
      const ofAccount = options.dbOf(selection.accountId);
      const from = await databaseNow(ofAccount);
      subscription.start(await readCurrent(ofAccount, selection), from);
      for (;;) {
        const row = await subscription.next(ending);
        if (!row && !signal.aborted) throw new FeedStoppedError();
        if (!row) return;
        yield row;
        if (selection.runId !== undefined && isEnded(row.status)) return;
      }
    } finally {
      subscriptions.delete(subscription);
    }
  }

  return {
    started: started.promise,
    follow,
    followBackfill: backfillFeed.follow,
    get size() {
      return subscriptions.size + backfillFeed.size;
    },
    stop: async () => {
      stopping.abort();
      stopped.resolve();
      await done;
    },
  };
}

/** Condition: the run ended within the last `milliseconds`, by the database's clock, which also set finished_at. */
function endedWithin(milliseconds: number) {
  return gt(runs.finishedAt, sql`clock_timestamp() - ${milliseconds} * interval '1 millisecond'`);
}

/** Reads the one run; or the runs that wait or run, with those that ended recently, which start() does not deliver. */
function readCurrent(db: Db, { accountId, runId, jobId }: RunSelection): Promise<RunRow[]> {
  return db
    .select()
    .from(runs)
    .where(
      and(
        eq(runs.accountId, accountId),
        runId === undefined
          ? or(inArray(runs.status, statusesBefore('CANCEL')), endedWithin(LOOK_BACK_MS))
          : eq(runs.id, runId),
        jobId === undefined ? undefined : eq(runs.jobId, jobId),
      ),
    )
    .orderBy(sql`${runs.createdAt}, ${runs.id}`);
}
