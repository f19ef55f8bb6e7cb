import pg from 'pg';
import { limitOfTransactions, READING_VERSION, type VersionRow } from './session-settings.ts';

type Callback = ((error: Error) => void) | ((error: null, client: pg.Client) => void);

/**
 * For sessionConnection(): before anything else it removes transaction_timeout, which cannot be a start-up parameter, since
 * older versions of PostgreSQL refuse a parameter that they do not know.
 */
export class SessionClient extends pg.Client {
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
    // The caller has not added a listener yet, and a connection that breaks between two statements would end the process. The next
    // statement fails instead.
    const ignored = (): void => undefined;
    this.on('error', ignored);
    try {
      const { rows } = await this.query<VersionRow>(READING_VERSION);
      const limit = limitOfTransactions(rows);
      if (limit !== null) await this.query(`SET ${limit}`);
      return this;
    } catch (error) {
      await this.end().catch(() => undefined);
      throw error;
    } finally {
      this.off('error', ignored);
    }
  }
}
