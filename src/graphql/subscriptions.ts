import { GraphQLError } from 'graphql';
import { Repeater } from 'graphql-yoga';
import { repeat } from '../lib/lifecycle.ts';
import { FeedStoppedError } from '../runs/run-feed.ts';
import { type RunSelection, SlowReaderError } from '../runs/run-reader.ts';
import type { RunRow } from '../runs/runs.ts';
import type { GraphQLContext } from './context.ts';

/** Open subscriptions of each key on this server. */
const openByKey = new WeakMap<object, Map<string, number>>();

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
    const release = takePlace(context);
    const ending = new AbortController();
    void stop.then(() => ending.abort());
    let revoked = false;
    const watch = repeat(
      async () => {
        if (await context.isStillValid()) return;
        revoked = true;
        ending.abort();
      },
      // A database that is away revokes nothing.
      { everyMs: RECHECK_MS, onError: () => undefined },
    );
    try {
      for await (const run of feed.follow(selection, ending.signal)) await push(run);
      if (revoked) throw revokedError();
    } catch (error) {
      if (error instanceof SlowReaderError) throw tooSlow();
      if (error instanceof FeedStoppedError) throw serverStops();
      throw error;
    } finally {
      release();
      stop();
      await watch.stop();
    }
  });
};

const revokedError = (): GraphQLError =>
  new GraphQLError('The key was revoked.', { extensions: { code: 'UNAUTHENTICATED' } });

const tooSlow = (): GraphQLError =>
  new GraphQLError('Too many changes wait to be read. Subscribe again, to fewer runs, and read faster.', {
    extensions: { code: 'SLOW_READER' },
  });

const serverStops = (): GraphQLError =>
  new GraphQLError('The server stops. Subscribe again: another one, or the next, goes on from the present state.', {
    extensions: { code: 'UNAVAILABLE' },
  });

const countsOf = (context: GraphQLContext): Map<string, number> => {
  const { feed } = context.services;
  const counts = openByKey.get(feed) ?? new Map<string, number>();
  openByKey.set(feed, counts);
  return counts;
};

const checkPlace = (context: GraphQLContext, limit: number): void => {
  if ((countsOf(context).get(context.principal?.key.id ?? '') ?? 0) < limit) return;
  throw new GraphQLError(`The key has ${limit} open subscriptions on this server already.`, {
    extensions: { code: 'LIMIT_EXCEEDED' },
  });
};

const takePlace = (context: GraphQLContext): (() => void) => {
  const counts = countsOf(context);
  const keyId = context.principal?.key.id ?? '';
  counts.set(keyId, (counts.get(keyId) ?? 0) + 1);
  return () => {
    const left = (counts.get(keyId) ?? 1) - 1;
    if (left <= 0) counts.delete(keyId);
    else counts.set(keyId, left);
  };
};
