import pg from 'pg';
import { buildTransactionTimeoutRemoval, READ_VERSION_SQL, type VersionRow } from './session-settings.ts';

type Callback = ((error: Error) => void) | ((error: null, client: pg.Client) => void);

/**
 * Client for buildSessionConnection(). It first removes transaction_timeout, which cannot be a start-up parameter, because older
 * versions of PostgreSQL reject a parameter that they do not know.
 */
export class SessionClient extends pg.Client {
  /**
   * Drops an error of the connection if it has no listener, which would end the process: the caller has not added a listener yet,
   * or has removed all of them to end the connection, as the queue does. The next statement fails instead.
   */
  override emit(...event: Parameters<pg.Client['emit']>): boolean {
    return (event[0] !== 'error' || this.listenerCount('error') > 0) && super.emit(...event);
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: Callback): void;
  override connect(callback?: Callback): Promise<pg.Client> | void {
    const connected = this.#connect();
    if (!callback) return connected;
    const answer = callback as (error: Error | null, client?: pg.Client) => void;
    connected.then((client) => answer(null, client), answer);
  }

  async #connect(): Promise<pg.Client> {
    await super.connect();
    try {
      const { rows } = await this.query<VersionRow>(READ_VERSION_SQL);
      const limit = buildTransactionTimeoutRemoval(rows);
      if (limit !== null) await this.query(`SET ${limit}`);
      return this;
    } catch (error) {
      await this.end().catch(() => undefined);
      throw error;
    }
  }
}
