import type pg from 'pg';
import type { Stoppable } from '../lib/lifecycle.ts';

/**
 * Connections of exports that ended well, for the next ones. Making one costs the database more than a small export reads:
 * a process, a password, and all that it has to look up again.
 */
export interface KeptConnections extends Stoppable {
  take(): pg.Client | undefined;
  /** Takes one with no statement under way; ends it where nobody wants it soon. */
  keep(client: pg.Client): void;
}

const KEPT_MS = 10_000;

export const createKeptConnections = (): KeptConnections => {
  const kept = new Map<pg.Client, NodeJS.Timeout>();
  let isStopped = false;
  const remove = (client: pg.Client): void => {
    clearTimeout(kept.get(client));
    kept.delete(client);
  };
  const end = async (client: pg.Client): Promise<void> => {
    remove(client);
    await client.end().catch(() => undefined);
  };
  return {
    take: () => {
      // The last one: those that are not needed come of age.
      const client = [...kept.keys()].at(-1);
      if (client) remove(client);
      return client;
    },
    keep: (client) => {
      if (isStopped) void end(client);
      else
        kept.set(
          client,
          setTimeout(() => void end(client), KEPT_MS),
        );
    },
    stop: async () => {
      isStopped = true;
      await Promise.all([...kept.keys()].map(end));
    },
  };
};
