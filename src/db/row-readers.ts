import { drizzle } from 'drizzle-orm/node-postgres';
import type pg from 'pg';
import { yieldToEventLoop, BYTES_PER_TICK } from '../lib/event-loop.ts';
import type { Stoppable } from '../lib/lifecycle.ts';
import type { Db } from './client.ts';
import { type ConnectionPurpose, buildSessionNeeds } from './connection-options.ts';
import { CopyOut } from './copy-out.ts';
import { isUnavailable } from './failures.ts';
import { ACCOUNT_SETTING } from './policies.ts';
import { openPool } from './pool.ts';
import { loadPrelude, sendTogether } from './prelude.ts';
import { BEGIN_READING, type SessionNeeds } from './session-settings.ts';
import * as tables from './tables.ts';

/** Reads the rows of one export, in one transaction on a connection of its own. */
export interface RowReader {
  /** For statements before the rows. They have no time limit. Send none while rows are read. */
  readonly db: Db;
  /** Releases the locks of the statements so far, so that their tables can be changed while the reader waits. */
  releaseLocks(this: void): Promise<void>;
  /**
   * Returns the lines of a COPY as PostgreSQL writes them, cut anywhere. A chunk is valid until the next one is requested.
   * May be called once.
   */
  lines(this: void, copy: string): AsyncGenerator<Buffer, void>;
  /** Ends the transaction and returns the connection to the pool if all rows were read. May be called twice. */
  close(): void;
}

export interface RowReaders extends Stoppable {
  /**
   * Opens a reader that sees only the rows of the account. An abort ends its connection, and pending calls throw the reason of
   * the signal or the error of the lost connection.
   */
  open(accountId: bigint, signal: AbortSignal): Promise<RowReader>;
}

export interface RowReadersOptions {
  readonly url: string;
  /** Readers that can be open at the same time. */
  readonly max: number;
  /** Milliseconds that connecting may take. Defaults to 10,000. */
  readonly connectMs?: number;
  /** Whether `url` may be that of a connection pooler. */
  readonly isPooled?: boolean;
}

/** Without time limits: a COPY takes as long as S3 takes to accept the parts. */
const PURPOSE: ConnectionPurpose = { applicationName: 'sluice-export' };

/** With it, a backend that sorts for minutes notices within 2 seconds that its client has gone. */
const CHECKS_CONNECTION = "SET LOCAL client_connection_check_interval = '2s'";

/**
 * An unused connection is closed after 10 seconds. Keeping it for the next export pays: a new one costs PostgreSQL more than a
 * small export reads, because it starts a process, checks the password and fills its caches.
 */
const IDLE_MS = 10_000;

/**
 * Opens the pool that exports read through. It is separate from DATABASE_POOL: exports that hold all connections of that pool
 * would wait forever for one to record what they wrote (seen with DATABASE_POOL=1).
 */
export function createRowReaders({ url, max, connectMs, isPooled = false }: RowReadersOptions): RowReaders {
  const pool = openPool(url, {
    ...PURPOSE,
    ...(connectMs !== undefined && { connectMs }),
    isPooled,
    max,
    idleMs: IDLE_MS,
    // The statement that uses the connection fails too, and its error is reported.
    onConnectionError: () => undefined,
  });
  const needs = buildSessionNeeds(url, PURPOSE);
  let stopped: Promise<void> | undefined;
  return {
    async open(accountId, signal) {
      for (let attempt = 1; ; attempt += 1) {
        const client = await connect(pool, signal);
        try {
          return await startReading(client, needs, accountId, signal);
        } catch (error) {
          signal.throwIfAborted();
          // An idle connection may have broken, and the pool has not noticed yet.
          if (attempt > 1 || !isUnavailable(error)) throw error;
        }
      }
    },
    stop: () => (stopped ??= pool.end()),
  };
}

async function connect(pool: pg.Pool, signal: AbortSignal): Promise<pg.PoolClient> {
  signal.throwIfAborted();
  const connecting = pool.connect();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([connecting, aborted.promise]);
  } catch (error) {
    connecting.then(
      (client) => client.release(true),
      () => undefined,
    );
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function startReading(
  client: pg.PoolClient,
  needs: SessionNeeds,
  accountId: bigint,
  signal: AbortSignal,
): Promise<RowReader> {
  let isOpen = true;
  let isRead = false;
  const release = (isBroken: boolean): void => {
    if (!isOpen) return;
    isOpen = false;
    signal.removeEventListener('abort', abort);
    // A pipelined client would wait for the rest of a COPY before it ends; any other closes its socket.
    if (isBroken) Object.assign(client, { pipeline: false });
    client.release(isBroken);
  };
  const abort = (): void => release(true);
  signal.addEventListener('abort', abort, { once: true });

  async function begin(...before: readonly string[]): Promise<void> {
    const texts = [
      ...before,
      BEGIN_READING,
      ...(await loadPrelude(client, needs)),
      CHECKS_CONNECTION,
      // For the transaction: a distributed database does not pass settings of a session on to its nodes.
      `SET LOCAL ${ACCOUNT_SETTING} = '${accountId}'`,
    ];
    sendTogether(client);
    // Each is a message of its own: see ScopedPool. Between statements the transaction holds no snapshot.
    await Promise.all(texts.map((text) => client.query(text)));
  }

  async function* lines(copy: string): AsyncGenerator<Buffer, void> {
    let bytes = 0;
    for await (const chunk of client.query(new CopyOut(`${copy}; COMMIT`)).rows()) {
      yield chunk;
      bytes += chunk.length;
      if (bytes < BYTES_PER_TICK) continue;
      // A database that is faster than this loop would keep all requests waiting for whole files.
      bytes = 0;
      await yieldToEventLoop();
    }
    isRead = true;
  }

  try {
    await begin();
  } catch (error) {
    release(true);
    throw error;
  }
  return {
    // Created on demand: most exports send no statement besides the COPY.
    get db() {
      return drizzle({ client, schema: tables });
    },
    releaseLocks: () => begin('COMMIT'),
    lines,
    close: () => release(!isRead),
  };
}
