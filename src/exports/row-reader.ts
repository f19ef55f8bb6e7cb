import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import type { Db } from '../db/client.ts';
import { sessionNeeds, transactionConnection } from '../db/connection-options.ts';
import { ACCOUNT_SETTING } from '../db/policies.ts';
import { preludeOf, sendTogether } from '../db/prelude.ts';
import { BEGIN_READING } from '../db/session-settings.ts';
import * as tables from '../db/tables.ts';
import { afterOthers, BYTES_IN_ONE_GO } from '../lib/turns.ts';
import { CopyOut } from './copy-out.ts';
import type { KeptConnections } from './kept-connections.ts';

/** A connection that one export reads through. */
export interface RowReader {
  /** Statements without a time limit; none may be run while lines are read. */
  readonly db: Db;
  /** Lets go of the locks of the statements so far: what they are on may be changed while the reader waits. */
  releaseLocks(): Promise<void>;
  /** The lines of a COPY as Postgres writes them, cut anywhere. A piece is valid until the next is asked for. Once for a reader. */
  lines(copy: string): AsyncGenerator<Buffer, void>;
  /** May be called twice. */
  close(): void;
}

export interface ReaderOptions {
  /** Where the connection comes from and goes to, if there is one. */
  readonly kept?: KeptConnections;
  readonly connectMs?: number;
  /** Whether a connection pooler may be in between. */
  readonly isPooled?: boolean;
}

/** Without limits of time: a COPY lasts as long as the store takes. */
const PURPOSE = { applicationName: 'sluice-export' };

/** A backend that sorts for minutes notices that nobody waits any more. */
const CHECKS_CONNECTION = "SET LOCAL client_connection_check_interval = '2s'";

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
  { kept, connectMs = 10_000, isPooled = false }: ReaderOptions = {},
): Promise<RowReader> => {
  signal.throwIfAborted();
  const again = kept?.take();
  if (again) {
    try {
      return await readThrough(url, again, () => Promise.resolve(), accountId, signal, kept);
    } catch {
      // It broke while nobody used it; another one tells what is wrong.
      signal.throwIfAborted();
    }
  }
  const client = new pg.Client({ ...transactionConnection(url, { ...PURPOSE, connectMs, isPooled }), pipeline: true });
  // Told to the statement under way as well; without a listener it would end the process.
  client.on('error', () => undefined);
  return readThrough(url, client, () => client.connect(), accountId, signal, kept);
};

const readThrough = async (
  url: string,
  client: pg.Client,
  connect: () => Promise<unknown>,
  accountId: bigint,
  signal: AbortSignal,
  kept: KeptConnections | undefined,
): Promise<RowReader> => {
  const needs = sessionNeeds(url, PURPOSE);
  const begin = async (...before: readonly string[]): Promise<void> => {
    const texts = [
      ...before,
      BEGIN_READING,
      ...(await preludeOf(client, needs)),
      CHECKS_CONNECTION,
      `SET LOCAL ${ACCOUNT_SETTING} = '${accountId}'`,
    ];
    sendTogether(client);
    // Each is a message of its own: see ScopedPool.
    await Promise.all(texts.map((text) => client.query(text)));
  };
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
    // In the middle of a statement pg breaks the connection, unless it has pipelined: then it would wait for the rows.
    Object.assign(client, { pipeline: false });
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
    await Promise.race([begin(), stopped.promise]);
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
  const releaseLocks = async (): Promise<void> => {
    await begin('COMMIT');
  };
  return {
    // Made where it is asked for: most exports have no statement beside the COPY.
    get db() {
      return drizzle({ client, schema: tables });
    },
    releaseLocks,
    lines,
    close,
  };
};
