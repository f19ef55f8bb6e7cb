import type pg from 'pg';
import { type ConnectionPurpose, buildSessionConnection } from './connection-options.ts';
import { sqlState } from './failures.ts';
import { SessionClient } from './session-client.ts';
import { SESSION_MARK } from './session-settings.ts';

/** The address leads to a connection pooler instead of PostgreSQL. */
class PoolerError extends Error {
  override readonly name = 'PoolerError';

  constructor(options?: ErrorOptions) {
    super(
      'The database address leads to a connection pooler (such as PgBouncer), which does not keep a session for each client. Set DATABASE_DIRECT_URL to the address of PostgreSQL itself.',
      options,
    );
  }
}

/** protocol_violation: the SQLSTATE with which PgBouncer refuses start-up parameters. */
const REFUSED_PARAMETERS = '08P01';

/**
 * Connects to PostgreSQL itself, with a session that keeps its settings, locks and LISTEN. Throws PoolerError if a pooler refuses the
 * start-up parameters of the session or drops them. The caller ends the connection.
 */
export async function connectDirectly(url: string, purpose: ConnectionPurpose): Promise<pg.Client> {
  const client = new SessionClient({ ...buildSessionConnection(url, purpose), pipeline: true });
  // Without a listener, a connection that breaks later would end the process instead of failing the query.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ mark: string | null }>(
      `SELECT current_setting('${SESSION_MARK}', true) AS mark`,
    );
    if (rows[0]?.mark !== 'on') throw new PoolerError();
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw sqlState(error) === REFUSED_PARAMETERS ? new PoolerError({ cause: error }) : error;
  }
}
