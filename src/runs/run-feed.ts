import { and, eq, gt, inArray, or, sql } from 'drizzle-orm';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import { sessionConnection } from '../db/connection-options.ts';
import { SessionClient } from '../db/session-client.ts';
import { runs } from '../db/tables.ts';
import type { Stoppable } from '../lib/lifecycle.ts';
import { RUN_CHANNEL, type RunEventPayload } from './run-events.ts';
import { LOOK_BACK_MS, RunSubscription, type RunSelection } from './run-subscription.ts';
import { isEnded, statusesBefore } from './run-status.ts';
import type { RunRow } from './runs.ts';

export interface RunFeed extends Stoppable {
  /** Resolves once the first LISTEN stands. */
  readonly started: Promise<void>;
  /**
   * The present states first (of one run, or of those that wait and run), then each change; with a runId until it has
   * ended, or the signal says that the subscription has gone. Only the newest state of a run waits for a slow subscription, so that
   * none costs more than its runs; where too many wait, SlowSubscriberError. When the feed stops, FeedStoppedError.
   */
  follow(selection: RunSelection, signal: AbortSignal): AsyncGenerator<RunRow, void>;
  /** Readers right now. */
  readonly size: number;
}

export interface RunFeedOptions {
  readonly db: Db;
  /** What a subscription reads at its start counts as a request of its account. */
  readonly dbOf: (accountId: bigint) => Db;
  readonly url: string;
  readonly applicationName: string;
  /** Without a notification the states are read again so often: what a lost connection swallowed comes late, not never. */
  readonly resyncMs: number;
  /** Told once where the connection is lost, and not again until it is back. */
  readonly onInterrupted: (error: unknown) => void;
  /** The connection is back, and what it missed was read. */
  readonly onResumed: () => void;
  /** Of one reading that failed; the next resync makes up for it. */
  readonly onError: (error: unknown) => void;
}

const RECONNECT_MS = 500;
/** Ends all subscriptions when the feed stops: what they follow has not ended, and another server can tell them more. */
export class FeedStoppedError extends Error {}

/**
 * One listener for a process, however many subscriptions it has: each change is read once from its row and handed to all whom it
 * concerns. A notification only says where to look.
 */
export const startRunFeed = (options: RunFeedOptions): RunFeed => {
  const { db, onError } = options;
  const subscriptions = new Set<RunSubscription>();
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(), { once: true });
  });
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
      // The next resync reads what this one did not.
      if (!interrupted) onError(error);
    } finally {
      reading = false;
    }
  };

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
    lastResync = now;
  };

  const onNotification = (payload: string | undefined): void => {
    if (subscriptions.size === 0 || payload === undefined) return;
    try {
      const event = JSON.parse(payload) as RunEventPayload;
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
    const client = new SessionClient(sessionConnection(options.url, { applicationName: options.applicationName }));
    const broken = new Promise<never>((_, reject) => {
      client.on('error', reject);
      client.on('end', () => reject(new Error('The listening connection ended.')));
    });
    broken.catch(() => undefined);
    client.on('notification', (message) => onNotification(message.payload));
    try {
      await Promise.race([client.connect(), stopped]);
      if (stopping.signal.aborted) return;
      await client.query(`LISTEN ${RUN_CHANNEL}`);
      onListening();
      // What happened between the last connection and this one was told to nobody.
      await resync();
      if (interrupted) options.onResumed();
      interrupted = false;
      while (!stopping.signal.aborted) {
        const pause = sleep(options.resyncMs, undefined, { signal: stopping.signal }).catch(() => undefined);
        await Promise.race([pause, broken]);
        if (stopping.signal.aborted) return;
        // A connection that died without a word shows here: the query never comes back in time.
        const alive = client.query('SELECT 1');
        alive.catch(() => undefined);
        const late = sleep(options.resyncMs * 2, undefined, { signal: stopping.signal }).then(
          () => Promise.reject(new Error('The listening connection does not answer.')),
          () => undefined,
        );
        await Promise.race([alive, late, broken]);
        await resync();
      }
    } finally {
      client.removeAllListeners('notification');
      // Not waited for: a peer that is gone would never answer the goodbye.
      client.end().catch(() => undefined);
    }
  };

  let markStarted: () => void = () => undefined;
  const started = new Promise<void>((resolve) => {
    markStarted = resolve;
  });
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await listen(markStarted);
      } catch (error) {
        if (stopping.signal.aborted) return;
        // The database may be away for long, and each of many attempts would say the same.
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
    // Registered before the present state is read, so nothing can happen in between unseen.
    subscriptions.add(subscription);
    try {
      const ofAccount = options.dbOf(selection.accountId);
      const from = await databaseNow(ofAccount);
      subscription.start(await readPresent(ofAccount, selection), from);
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
    started,
    follow,
    get size() {
      return subscriptions.size;
    },
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
};

/** By the database's clock, which is the one that says when a run ended. */
const endedWithin = (milliseconds: number) =>
  gt(runs.finishedAt, sql`clock_timestamp() - ${milliseconds} * interval '1 millisecond'`);

/** The run; or those that wait and run, and with them those that ended a moment ago, which are not to be shown. */
const readPresent = (db: Db, { accountId, runId, jobId }: RunSelection): Promise<RunRow[]> =>
  db
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
