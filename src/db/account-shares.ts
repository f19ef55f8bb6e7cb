import type pg from 'pg';
import { AccountBusyError } from '../errors/errors.ts';

type Connections = Pick<pg.Pool, 'connect'>;

export interface AccountShares {
  /** The pool for one account: the connections that it has checked out stay within its share. */
  of(accountId: bigint): Connections;
  /** Requests of all accounts that wait for a connection of their account to be released. */
  readonly waiting: number;
}

/** An account that uses connections. Removed when it uses none. */
interface Share {
  used: number;
  /** First come, first served. */
  readonly waiting: Set<() => void>;
}

/**
 * Limits how many connections of the pool each account uses at the same time. Requests beyond the limit wait in order of
 * arrival, up to `waitMs`, and throw AccountBusyError then.
 */
export function createAccountShares(pool: Connections, limit: number, waitMs: number): AccountShares {
  const shares = new Map<bigint, Share>();
  let waiting = 0;

  const waitForSlot = (share: Share): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting += 1;
      const end = (): void => {
        clearTimeout(timer);
        share.waiting.delete(resume);
        waiting -= 1;
      };
      const resume = (): void => {
        end();
        resolve();
      };
      const timer = setTimeout(() => {
        end();
        reject(new AccountBusyError(limit));
      }, waitMs);
      share.waiting.add(resume);
    });

  const releaseSlot = (accountId: bigint, share: Share): void => {
    const [next] = share.waiting;
    // The next request takes over the connection's slot, so the count stays the same.
    if (next) next();
    else if ((share.used -= 1) === 0) shares.delete(accountId);
  };

  const connect = async (accountId: bigint): Promise<pg.PoolClient> => {
    let share = shares.get(accountId);
    if (!share) shares.set(accountId, (share = { used: 0, waiting: new Set() }));
    if (share.used < limit) share.used += 1;
    else await waitForSlot(share);
    const held = share;
    try {
      const client = await pool.connect();
      // The pool creates this function for each checkout.
      const release = client.release.bind(client);
      client.release = (error) => {
        release(error);
        releaseSlot(accountId, held);
      };
      return client;
    } catch (error) {
      releaseSlot(accountId, held);
      throw error;
    }
  };

  return {
    of: (accountId) => ({ connect: (() => connect(accountId)) as Connections['connect'] }),
    get waiting() {
      return waiting;
    },
  };
}
