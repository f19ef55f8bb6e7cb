import { GraphQLError } from 'graphql';
import { Repeater } from 'graphql-yoga';
import { repeat, type Stoppable } from '../../lib/lifecycle.ts';
import { FeedStoppedError } from '../../runs/run-feed.ts';
import { type RunSelection, SlowSubscriberError } from '../../runs/run-subscription.ts';
import type { RunRow } from '../../runs/runs.ts';
import type { GraphQLContext } from './context.ts';

/** Open subscriptions of an API key on this server. One loop checks the key for all of them. */
interface OpenSubscriptions {
  /** Functions that end one subscription each. */
  readonly ends: Set<() => void>;
  readonly keyChecks: Stoppable;
}

const openByKey = new WeakMap<object, Map<string, OpenSubscriptions>>();

/**
 * Interval at which the API key of open subscriptions and sockets is checked. The authenticator caches a key for 400 ms, so they
 * end within a second of the revocation.
 */
export const RECHECK_MS = 250;

export function followRuns(context: GraphQLContext, selection: RunSelection): AsyncIterable<RunRow> {
  return follow(context, (signal) => context.services.feed.follow(selection, signal));
}

/**
 * Follows rows until the client disconnects, `start` ends, the server shuts down or the API key is revoked. A Repeater ends
 * as soon as the client disconnects; a generator would first wait for the next change.
 */
export function follow<Row>(
  context: GraphQLContext,
  start: (signal: AbortSignal) => AsyncIterable<Row>,
): AsyncIterable<Row> {
  const { limits } = context.services;
  assertBelowLimit(context, limits.maxSubscriptions);
  return new Repeater<Row>(async (push, stop) => {
    // The slot is taken when the first state is read: a subscription that is never read would not release it. The limit is checked
    // again, because several subscriptions may have passed the first check before one of them is read.
    assertBelowLimit(context, limits.maxSubscriptions);
    const ending = new AbortController();
    void stop.then(() => ending.abort());
    let revoked = false;
    const remove = trackSubscription(context, () => {
      revoked = true;
      ending.abort();
    });
    try {
      for await (const row of start(ending.signal)) await push(row);
      if (revoked) throw new GraphQLError('The API key was revoked.', { extensions: { code: 'UNAUTHENTICATED' } });
    } catch (error) {
      if (error instanceof SlowSubscriberError) {
        const message = 'The client reads more slowly than runs change. Resubscribe to fewer runs, or read faster.';
        throw new GraphQLError(message, { extensions: { code: 'SLOW_READER' } });
      }
      if (error instanceof FeedStoppedError) {
        const message = 'The server is shutting down. Resubscribe to continue from the current state.';
        throw new GraphQLError(message, { extensions: { code: 'UNAVAILABLE' } });
      }
      throw error;
    } finally {
      stop();
      await remove();
    }
  });
}

function findOpenSubscriptions(context: GraphQLContext): Map<string, OpenSubscriptions> {
  const { feed } = context.services;
  const open = openByKey.get(feed) ?? new Map<string, OpenSubscriptions>();
  openByKey.set(feed, open);
  return open;
}

function assertBelowLimit(context: GraphQLContext, limit: number): void {
  if ((findOpenSubscriptions(context).get(context.principal?.key.id ?? '')?.ends.size ?? 0) < limit) return;
  throw new GraphQLError(
    `The API key already has ${limit} open subscriptions on this server. End one before you start another.`,
    { extensions: { code: 'LIMIT_EXCEEDED' } },
  );
}

/** Counts a subscription. Returns a function that removes it. */
function trackSubscription(context: GraphQLContext, onRevoked: () => void): () => Promise<void> {
  const byKey = findOpenSubscriptions(context);
  const keyId = context.principal?.key.id ?? '';
  const open = byKey.get(keyId) ?? checkKeyRepeatedly(context);
  byKey.set(keyId, open);
  open.ends.add(onRevoked);
  return async () => {
    open.ends.delete(onRevoked);
    if (open.ends.size > 0) return;
    byKey.delete(keyId);
    await open.keyChecks.stop();
  };
}

function checkKeyRepeatedly(context: GraphQLContext): OpenSubscriptions {
  const ends = new Set<() => void>();
  const keyChecks = repeat(
    async () => {
      if (await context.isStillValid()) return;
      for (const end of ends) end();
    },
    // While the database is unavailable, no key counts as revoked.
    { everyMs: RECHECK_MS, onError: () => undefined },
  );
  return { ends, keyChecks };
}
