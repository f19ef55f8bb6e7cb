import pg from 'pg';
import { type ConnectionPurpose, buildTransactionConnection } from './connection-options.ts';

/**
 * A connection is replaced after 10 minutes, so that a change of the server's settings is noticed (prelude.ts). Connecting
 * takes about 5 ms.
 */
const LIFETIME_SECONDS = 600;

export interface PoolOptions extends ConnectionPurpose {
  readonly max: number;
  /** How long a connection stays open without being used. */
  readonly idleMs: number;
  /** Called when a connection breaks; the pool replaces it. */
  readonly onConnectionError: (error: Error) => void;
}

/** Opens a pool for transactions that begin with loadPrelude(). Nothing is connected before the first use. */
export function openPool(url: string, options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    ...buildTransactionConnection(url, options),
    max: options.max,
    pipeline: true,
    idleTimeoutMillis: options.idleMs,
    maxLifetimeSeconds: LIFETIME_SECONDS,
  });
  // Both listeners are needed: an idle client reports errors to the pool, a client in use only to itself. An 'error' event
  // without a listener would end the process, for example when a backend is terminated in a transaction.
  pool.on('error', options.onConnectionError);
  pool.on('connect', (client) => {
    client.on('error', options.onConnectionError);
  });
  return pool;
}
