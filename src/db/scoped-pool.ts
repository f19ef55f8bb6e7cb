import type pg from 'pg';
import { isCanceled, isUnavailable } from './failures.ts';
import { preludeOf, sendTogether } from './prelude.ts';
import { BEGIN_WRITING, type SessionNeeds } from './session-settings.ts';
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

/** How many connections may fail to read their settings before the failure is reported. */
const MAX_READINGS = 5;

/** The claim of a run has 15. */
const MOST_VALUES = 20;

/** Where the connections come from: a pool, or one connection that is lent again and again. */
export interface ClientSource {
  connect(): Promise<pg.PoolClient>;
}

export interface ScopeOptions {
  /** Trusted SQL, such as `sluice.account_id = '17'`. */
  readonly setting: string;
  readonly needs: SessionNeeds;
  /**
   * Whether a connection parses and plans a statement once instead of each time: for a few statements that are repeated with
   * other values.
   */
  readonly prepares?: boolean;
}

/**
 * A pool, each of whose transactions states its level and begins with settings that are gone at its end: so they never leak to
 * the next user of the connection, nor behind a pooler that hands connections out by transaction. A statement outside of a
 * transaction gets one of its own.
 *
 * BEGIN and each SET LOCAL are messages of their own: a cluster that distributes tables sends neither a text of several
 * statements nor set_config() on to its nodes. They leave together with the first statement, and with that of a single one
 * COMMIT too, without waiting for the answers in between: one round trip instead of many. The connections must be opened with
 * `pipeline`. A statement that fails makes the COMMIT behind it a ROLLBACK.
 *
 * It has what drizzle calls, and "Pool" in its name, by which drizzle tells that a transaction needs a connection of its own.
 */
export class ScopedPool {
  readonly #source: ClientSource;
  readonly #options: ScopeOptions;

  constructor(source: ClientSource, options: ScopeOptions) {
    this.#source = source;
    this.#options = options;
  }

  #named(statement: Statement, values: unknown[]): Statement {
    // Those with lists of values come in as many texts as there are lengths: a connection would keep them all.
    if (!this.#options.prepares || values.length === 0 || values.length > MOST_VALUES) return statement;
    return { ...statement, name: statementName(statement.text) };
  }

  /** A connection, and what each of its transactions begins with. */
  async #open(): Promise<{ readonly client: pg.PoolClient; readonly beginning: readonly string[] }> {
    for (let attempt = 1; ; attempt += 1) {
      const client = await this.#source.connect();
      try {
        const prelude = await preludeOf(client, this.#options.needs);
        return { client, beginning: [BEGIN_WRITING, ...prelude, `SET LOCAL ${this.#options.setting}`] };
      } catch (error) {
        client.release(error as Error);
        // Behind a pooler, defaults of the server such as idle_in_transaction_session_timeout = 1 hold until the settings are
        // read. Nothing has been written yet, so another connection may try.
        if (attempt === MAX_READINGS || !(isCanceled(error) || isUnavailable(error))) throw error;
      }
    }
  }

  async connect(): Promise<ScopedClient> {
    const { client, beginning } = await this.#open();
    const named = (statement: Statement, values: unknown[]): Statement => this.#named(statement, values);
    /** Whether BEGIN is to leave with the next statement. */
    let begins = false;
    let hasEnded = false;
    let broken: Error | undefined;
    return {
      query: async (statement, values) => {
        // It would run without the setting, and see nothing.
        if (hasEnded && statement.text !== 'rollback') throw new Error('The transaction of this statement has ended.');
        hasEnded = statement.text === 'commit' || statement.text === 'rollback';
        if (statement.text === 'begin') {
          begins = true;
          return NOTHING;
        }
        sendTogether(client);
        const isFirst = begins;
        begins = false;
        if (isFirst && hasEnded) return NOTHING;
        const begun = isFirst ? send(client, beginning) : null;
        // Awaited in the same way whether it is the first or not: of statements sent together, the one that failed is
        // reported before those that were refused because of it (25P02), which do not say why.
        const answered = await client.query(named(statement, values), values).catch((error: unknown) => {
          if (statement.text !== 'rollback') throw begun?.failure ?? error;
          // What ended the connection ended the transaction too, and its own failure is the one to report.
          broken = error as Error;
          return NOTHING;
        });
        // Without its BEGIN the statement was a transaction of its own.
        if (begun?.failure) throw begun.failure;
        return answered;
      },
      release: (error) => client.release(error ?? broken),
    };
  }

  async query(statement: Statement, values: unknown[]): Promise<Answer> {
    const { client, beginning } = await this.#open();
    sendTogether(client);
    const begun = send(client, beginning);
    const [answered, ended] = await Promise.allSettled([
      client.query(this.#named(statement, values), values),
      client.query('COMMIT'),
    ]);
    // A connection that does not even accept a COMMIT is broken.
    client.release(ended.status === 'rejected' && new Error('The connection broke.', { cause: ended.reason }));
    if (begun.failure) throw begun.failure;
    if (answered.status === 'rejected') throw answered.reason;
    if (ended.status === 'rejected') throw ended.reason;
    return answered.value;
  }
}

/** Sends statements without waiting for their answers. PostgreSQL answers in order, so the first failure arrives first. */
const send = (client: pg.PoolClient, texts: readonly string[]): { readonly failure: Error | null } => {
  const sent: { failure: Error | null } = { failure: null };
  for (const text of texts) {
    client.query(text).catch((error: unknown) => {
      sent.failure ??= error as Error;
    });
  }
  return sent;
};
