import { GraphQLError } from 'graphql';
import { Repeater } from 'graphql-yoga';
import { repeat, type Stoppable } from '../../lib/lifecycle.ts';
import { FeedStoppedError } from '../../runs/run-feed.ts';
import { type RunSelection, SlowSubscriberError } from '../../runs/run-subscription.ts';
import type { RunRow } from '../../runs/runs.ts';
import type { GraphQLContext } from './context.ts';

/** The open subscriptions of a key on this server, each by what ends it; one watch asks for all of them whether the key is valid. */
interface OpenSubscriptions {
  readonly ends: Set<() => void>;
  readonly watch: Stoppable;
}

const openByKey = new WeakMap<object, Map<string, OpenSubscriptions>>();

/**
 * How often an open subscription, or socket, asks whether its key is still valid: with the 400 ms for which an answer is
 * remembered, it ends within a second of the revocation.
 */
export const RECHECK_MS = 250;

/**
 * Follows runs until the client goes, the runs have ended, the server stops, or the key is revoked. A Repeater and not a
 * generator: a client that goes while nothing happens ends it at once, where a generator would wait for the next change.
 */
export const followRuns = (context: GraphQLContext, selection: RunSelection): AsyncIterable<RunRow> => {
  const { feed, limits } = context.services;
  checkPlace(context, limits.maxSubscriptions);
  return new Repeater<RunRow>(async (push, stop) => {
    // Only here, where somebody reads: a stream that nobody ever asks for its first state would never give it back.
    // Checked again, because any number may have passed the first check before one of them was read.
    checkPlace(context, limits.maxSubscriptions);
    const ending = new AbortController();
    void stop.then(() => ending.abort());
    let revoked = false;
    const release = takePlace(context, () => {
      revoked = true;
      ending.abort();
    });
    try {
      for await (const run of feed.follow(selection, ending.signal)) await push(run);
      if (revoked) throw revokedError();
    } catch (error) {
      if (error instanceof SlowSubscriberError) throw tooSlow();
      if (error instanceof FeedStoppedError) throw serverStops();
      throw error;
    } finally {
      stop();
      await release();
    }
  });
};

const revokedError = (): GraphQLError =>
  new GraphQLError('The API key was revoked.', { extensions: { code: 'UNAUTHENTICATED' } });

const tooSlow = (): GraphQLError =>
  new GraphQLError('The client reads more slowly than runs change. Resubscribe to fewer runs, or read faster.', {
    extensions: { code: 'SLOW_READER' },
  });

const serverStops = (): GraphQLError =>
  new GraphQLError('The server is shutting down. Resubscribe to continue from the current state.', {
    extensions: { code: 'UNAVAILABLE' },
  });

const openOn = (context: GraphQLContext): Map<string, OpenSubscriptions> => {
  const { feed } = context.services;
  const open = openByKey.get(feed) ?? new Map<string, OpenSubscriptions>();
  openByKey.set(feed, open);
  return open;
};

const checkPlace = (context: GraphQLContext, limit: number): void => {
  if ((openOn(context).get(context.principal?.key.id ?? '')?.ends.size ?? 0) < limit) return;
  throw new GraphQLError(
    `The API key already has ${limit} open subscriptions on this server. End one before you start another.`,
    {
      extensions: { code: 'LIMIT_EXCEEDED' },
    },
  );
};

/** Answers how to give the place back. */
const takePlace = (context: GraphQLContext, onRevoked: () => void): (() => Promise<void>) => {
  const byKey = openOn(context);
  const keyId = context.principal?.key.id ?? '';
  const open = byKey.get(keyId) ?? watchKey(context);
  byKey.set(keyId, open);
  open.ends.add(onRevoked);
  return async () => {
    open.ends.delete(onRevoked);
    if (open.ends.size > 0) return;
    byKey.delete(keyId);
    await open.watch.stop();
  };
};

const watchKey = (context: GraphQLContext): OpenSubscriptions => {
  const ends = new Set<() => void>();
  const watch = repeat(
    async () => {
      if (await context.isStillValid()) return;
      for (const end of ends) end();
    },
    // A database that is away revokes nothing.
    { everyMs: RECHECK_MS, onError: () => undefined },
  );
  return { ends, watch };
};
