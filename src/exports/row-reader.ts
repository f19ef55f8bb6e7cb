import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { type Db, KEEP_ALIVE } from '../db/client.ts';
import { ACCOUNT_SETTING } from '../db/policies.ts';
import * as tables from '../db/tables.ts';
import { afterOthers, BYTES_IN_ONE_GO } from '../lib/turns.ts';
import { CopyOut } from './copy-out.ts';
import type { KeptConnections } from './kept-connections.ts';

/** A connection that one export reads through. */
export interface RowReader {
  /** Statements without a time limit; none may be run while lines are read. */
  readonly db: Db;
  /** Lets go of the locks of the statements so far: what they are on may be changed while the reader waits. */
  letGo(): Promise<void>;
  /** The lines of a COPY as Postgres writes them, cut anywhere. A piece is valid until the next is asked for. Once for a reader. */
  lines(copy: string): AsyncGenerator<Buffer, void>;
  /** May be called twice. */
  close(): void;
}

export interface ReaderOptions {
  /** Where the connection comes from and goes to, if there is one. */
  readonly kept?: KeptConnections;
  readonly connectMs?: number;
}

// client_connection_check_interval: a backend that sorts for minutes notices that nobody waits any more.
const SETTINGS =
  'SET default_transaction_read_only = on; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; ' +
  "SET standard_conforming_strings = on; SET client_connection_check_interval = '2s'";

/**
 * Connects to the database, to see what belongs to the account alone. Not through the pool: a COPY lasts as long as the store takes, and where exports hold the whole
 * pool, their own statements wait for it for ever (seen with DATABASE_POOL=1).
 * The connection ends with close(), so whatever stopped the rows leaves no statement half read; an abort ends it too,
 * and what was under way throws. Where all was read, it goes to `kept`.
 */
export const openRowReader = async (
  url: string,
  accountId: bigint,
  signal: AbortSignal,
  { kept, connectMs = 10_000 }: ReaderOptions = {},
): Promise<RowReader> => {
  signal.throwIfAborted();
  const again = kept?.take();
  if (again) {
    try {
      return await readThrough(again, () => Promise.resolve(), accountId, signal, kept);
    } catch {
      // It broke while nobody used it; another one tells what is wrong.
      signal.throwIfAborted();
    }
  }
  const client = new pg.Client({
    connectionString: url,
    application_name: 'sluice-export',
    ...KEEP_ALIVE,
    connectionTimeoutMillis: connectMs,
  });
  // Told to the statement under way as well; without a listener it would end the process.
  client.on('error', () => undefined);
  const connect = async (): Promise<void> => {
    await client.connect();
    await client.query(SETTINGS);
  };
  return readThrough(client, connect, accountId, signal, kept);
};

const readThrough = async (
  client: pg.Client,
  connect: () => Promise<unknown>,
  accountId: bigint,
  signal: AbortSignal,
  kept: KeptConnections | undefined,
): Promise<RowReader> => {
  const begin = `BEGIN; SET LOCAL ${ACCOUNT_SETTING} = '${accountId}'`;
  let isClosed = false;
  let isRead = false;
  const stopped = Promise.withResolvers<never>();
  stopped.promise.catch(() => undefined);
  const stop = (): void => {
    stopped.reject(signal.reason);
    end();
  };
  const end = (): void => {
    isClosed = true;
    signal.removeEventListener('abort', stop);
    // In the middle of a statement pg breaks the connection instead of waiting for its end.
    client.end().catch(() => undefined);
  };
  const close = (): void => {
    if (isClosed) return;
    if (!isRead || !kept) {
      end();
      return;
    }
    isClosed = true;
    signal.removeEventListener('abort', stop);
    kept.keep(client);
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    // A connect() whose client is ended meanwhile never settles (pg 8.23); the run would hang, and the server's stop too.
    await Promise.race([connect(), stopped.promise]);
    // Until the end of the transaction: a setting of the session would not go along to the nodes of a distributed database.
    // Between statements the transaction holds no snapshot.
    await client.query(begin);
  } catch (error) {
    end();
    throw error;
  }

  async function* lines(copy: string): AsyncGenerator<Buffer, void> {
    let bytes = 0;
    for await (const chunk of client.query(new CopyOut(`${copy}; COMMIT`)).rows()) {
      yield chunk;
      bytes += chunk.length;
      if (bytes < BYTES_IN_ONE_GO) continue;
      // A database that is faster than this loop would not let it end: everybody else waited for whole files.
      bytes = 0;
      await afterOthers();
    }
    isRead = true;
  }
  const letGo = async (): Promise<void> => {
    await client.query(`COMMIT; ${begin}`);
  };
  return {
    // Made where it is asked for: most exports have no statement beside the COPY.
    get db() {
      return drizzle({ client, schema: tables });
    },
    letGo,
    lines,
    close,
  };
};
