import type pg from 'pg';

/** As drizzle hands statements over. */
interface Statement {
  readonly text: string;
}

interface ScopedClient {
  query(statement: Statement, values: unknown[]): Promise<pg.QueryResult | pg.QueryArrayResult>;
  release(error?: Error | boolean): void;
}

/**
 * A pool, each of whose transactions begins with a setting that is gone at its end: so it never leaks to whoever has the
 * connection next, nor behind a pooler that hands connections out by transaction. A statement outside of one gets a
 * transaction of its own. The setting goes with BEGIN in one round trip.
 *
 * It has what drizzle calls, and "Pool" in its name, by which drizzle tells that a transaction needs a connection of its own.
 */
export class ScopedPool {
  readonly #pool: pg.Pool;
  readonly #begin: string;

  /** @param setting trusted SQL, such as `sluice.account_id = '17'` */
  constructor(pool: pg.Pool, setting: string) {
    this.#pool = pool;
    this.#begin = `; SET LOCAL ${setting}`;
  }

  async connect(): Promise<ScopedClient> {
    const client = await this.#pool.connect();
    return {
      query: (statement, values) =>
        statement.text.startsWith('begin')
          ? client.query(`${statement.text}${this.#begin}`)
          : client.query(statement, values),
      release: (error) => client.release(error),
    };
  }

  async query(statement: Statement, values: unknown[]): ReturnType<ScopedClient['query']> {
    const client = await this.#pool.connect();
    try {
      await client.query(`begin${this.#begin}`);
      const result = await client.query(statement, values);
      await client.query('commit');
      client.release();
      return result;
    } catch (error) {
      // What does not even take that is no connection any more.
      await client.query('rollback').then(
        () => client.release(),
        (broken: Error) => client.release(broken),
      );
      throw error;
    }
  }
}
