import { GraphQLError } from 'graphql';
import { Repeater } from 'graphql-yoga';
import { repeat } from '../lib/lifecycle.ts';
import type { RunSelection } from '../runs/run-feed.ts';
import type { RunRow } from '../runs/runs.ts';
import type { GraphQLContext } from './context.ts';

/** Open subscriptions of each key on this server. */
const openByKey = new WeakMap<object, Map<string, number>>();

/** How often an open subscription asks whether its key is still valid; with half a second of memory, within a second. */
const RECHECK_MS = 400;

/**
 * Follows runs until the client goes, the runs have ended, the server stops, or the key is revoked. A Repeater and not a
 * generator: a client that goes while nothing happens ends it at once, where a generator would wait for the next change.
 */
export const followRuns = (context: GraphQLContext, selection: RunSelection): AsyncIterable<RunRow> => {
  const { feed, limits } = context.services;
  checkPlace(context, limits.maxSubscriptions);
  return new Repeater<RunRow>(async (push, stop) => {
    // Only here, where somebody reads: a stream that nobody ever asks for its first state would never give it back.
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
    } finally {
      release();
      await watch.stop();
      stop();
    }
  });
};

const revokedError = (): GraphQLError =>
  new GraphQLError('The key was revoked.', { extensions: { code: 'UNAUTHENTICATED' } });

const countsOf = (context: GraphQLContext): Map<string, number> => {
  const counts = openByKey.get(context.services) ?? new Map<string, number>();
  openByKey.set(context.services, counts);
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
