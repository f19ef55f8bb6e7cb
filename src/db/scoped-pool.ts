import type pg from 'pg';
import type { Writable } from 'node:stream';
import { statementName } from './statement-names.ts';

/** As drizzle hands statements over. */
interface Statement {
  readonly text: string;
  readonly name?: string;
}

type Answer = pg.QueryResult | pg.QueryArrayResult;

interface ScopedClient {
  query(statement: Statement, values: unknown[]): Promise<Answer>;
  release(error?: Error | boolean): void;
}

/** What drizzle is told of a BEGIN that has not left yet, and of the end of a transaction that was none; it reads neither. */
const NOTHING: pg.QueryResult = { command: '', rowCount: null, oid: 0, fields: [], rows: [] };

/** The claim of a run has 15. */
const MOST_VALUES = 20;

/**
 * A pool, each of whose transactions begins with a setting that is gone at its end: so it never leaks to whoever has the
 * connection next, nor behind a pooler that hands connections out by transaction. A statement outside of one gets a
 * transaction of its own.
 *
 * BEGIN and the setting leave together with the first statement, and with that of a single one COMMIT too, without
 * waiting for the answers in between: one round trip in the place of two and three. The connections must be opened with
 * `pipeline`. A statement that fails makes the COMMIT behind it a ROLLBACK.
 *
 * It has what drizzle calls, and "Pool" in its name, by which drizzle tells that a transaction needs a connection of its own.
 */
export class ScopedPool {
  readonly #pool: Pick<pg.Pool, 'connect'>;
  readonly #begin: string;
  readonly #prepares: boolean;

  /**
   * @param setting trusted SQL, such as `sluice.account_id = '17'`
   * @param prepares whether a connection parses and plans a statement once, and not each time: for who asks the same few
   *   again and again, whatever the values
   */
  constructor(pool: Pick<pg.Pool, 'connect'>, setting: string, prepares = false) {
    this.#prepares = prepares;
    this.#pool = pool;
    this.#begin = `; SET LOCAL ${setting}`;
  }

  #named(statement: Statement, values: unknown[]): Statement {
    // Those with lists of values come in as many texts as there are lengths: a connection would keep them all.
    if (!this.#prepares || values.length === 0 || values.length > MOST_VALUES) return statement;
    return { ...statement, name: statementName(statement.text) };
  }

  async connect(): Promise<ScopedClient> {
    const client = await this.#pool.connect();
    const named = (statement: Statement, values: unknown[]): Statement => this.#named(statement, values);
    /** What is to leave with the next statement. */
    let begin: string | null = null;
    let hasEnded = false;
    return {
      query: async (statement, values) => {
        // It would run without the setting, and see nothing.
        if (hasEnded && statement.text !== 'rollback') throw new Error('The transaction of this statement has ended.');
        hasEnded = statement.text === 'commit' || statement.text === 'rollback';
        if (statement.text.startsWith('begin')) {
          begin = `${statement.text}${this.#begin}`;
          return NOTHING;
        }
        sendTogether(client);
        const first = begin;
        begin = null;
        if (first !== null && hasEnded) return NOTHING;
        const begun = first === null ? undefined : client.query(first);
        begun?.catch(() => undefined);
        // Awaited in the same way whether it is the first or not: of statements that leave together, the one that failed is
        // told before those that were refused for it (25P02), which say nothing of why.
        const answer = await client.query(named(statement, values), values);
        await begun;
        return answer;
      },
      release: (error) => client.release(error),
    };
  }

  async query(statement: Statement, values: unknown[]): Promise<Answer> {
    const client = await this.#pool.connect();
    sendTogether(client);
    const [begun, answered, ended] = await Promise.allSettled([
      client.query(`begin${this.#begin}`),
      client.query(this.#named(statement, values), values),
      client.query('commit'),
    ]);
    // What does not even take a COMMIT is no connection any more.
    client.release(ended.status === 'rejected' && new Error('The connection broke.', { cause: ended.reason }));
    for (const one of [begun, answered, ended]) if (one.status === 'rejected') throw one.reason;
    return (answered as PromiseFulfilledResult<Answer>).value;
  }
}

/**
 * Makes one write of all that is sent before the event loop goes on: each costs this process as much as making a statement
 * (0.1 ms), and wakes the database once more.
 */
const sendTogether = (client: pg.PoolClient): void => {
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Writable } }).connection;
  stream.cork();
  process.nextTick(() => stream.uncork());
};
