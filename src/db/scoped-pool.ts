import type pg from 'pg';
import { isCanceled, isUnavailable } from './failures.ts';
import { loadPrelude, sendTogether } from './prelude.ts';
import { BEGIN_WRITING, type SessionNeeds } from './session-settings.ts';
import { nameStatement } from './statement-names.ts';

/** A statement as drizzle passes it. */
interface Statement {
  readonly text: string;
  readonly name?: string;
}

type Answer = pg.QueryResult | pg.QueryArrayResult;

interface ScopedClient {
  query(statement: Statement, values: unknown[]): Promise<Answer>;
  release(error?: Error | boolean): void;
}

/** Returned to drizzle, which ignores it, for a BEGIN that is not sent yet and for the end of an empty transaction. */
const NOTHING: pg.QueryResult = { command: '', rowCount: null, oid: 0, fields: [], rows: [] };

/** Number of connections that may fail to read their settings before the failure is reported. */
const MAX_PRELUDE_ATTEMPTS = 5;

/** Maximum number of values of a prepared statement. The claim of a run and the end of one have up to 25, and are planned for 0.5 to 1 ms. */
const MAX_PREPARED_VALUES = 40;

/** A pool, or one connection that is returned by each call. */
export interface ClientSource {
  connect(): Promise<pg.PoolClient>;
}

export interface ScopeOptions {
  /** Trusted SQL, such as `sluice.account_id = '17'`. */
  readonly setting: string;
  readonly needs: SessionNeeds;
  /** Whether statements are prepared. Only for few statements that are repeated with other values. Defaults to false. */
  readonly prepares?: boolean;
}

/**
 * A pool whose transactions set their isolation level and begin with SET LOCAL, so that the settings never leak to the next user of
 * the connection, not even behind a pooler in transaction mode. A statement outside of a transaction gets a transaction of its own.
 *
 * BEGIN and each SET LOCAL are separate messages, because a distributed database forwards neither a text of several statements nor
 * set_config() to its nodes. They are pipelined with the first statement, and for a single statement with COMMIT too: one round trip
 * instead of several. The connections must be opened with `pipeline`. If a statement fails, the COMMIT after it is a ROLLBACK.
 *
 * It has the methods that drizzle calls, and "Pool" in its name, by which drizzle detects that a transaction needs a connection.
 */
export class ScopedPool {
  readonly #source: ClientSource;
  readonly #options: ScopeOptions;

  constructor(source: ClientSource, options: ScopeOptions) {
    this.#source = source;
    this.#options = options;
  }

  #named(statement: Statement, values: unknown[]): Statement {
    // A statement with a list of values has another text for each length, and the connection would keep them all.
    if (!this.#options.prepares || values.length === 0 || values.length > MAX_PREPARED_VALUES) return statement;
    return { ...statement, name: nameStatement(statement.text) };
  }

  /** Returns a connection and the statements that each of its transactions begins with. */
  async #open(): Promise<{ readonly client: pg.PoolClient; readonly beginning: readonly string[] }> {
    for (let attempt = 1; ; attempt += 1) {
      const client = await this.#source.connect();
      try {
        const prelude = await loadPrelude(client, this.#options.needs);
        return { client, beginning: [BEGIN_WRITING, ...prelude, `SET LOCAL ${this.#options.setting}`] };
      } catch (error) {
        client.release(error as Error);
        // Behind a pooler, defaults of the server such as idle_in_transaction_session_timeout = 1 hold until the settings are
        // read. Nothing has been written yet, so another connection may try.
        if (attempt === MAX_PRELUDE_ATTEMPTS || !(isCanceled(error) || isUnavailable(error))) throw error;
      }
    }
  }

  async connect(): Promise<ScopedClient> {
    const { client, beginning } = await this.#open();
    /** Whether BEGIN is sent with the next statement. */
    let begins = false;
    let hasEnded = false;
    let broken: Error | undefined;
    return {
      query: async (statement, values) => {
        // It would run without the setting, and see no rows.
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
        // Awaited in the same way whether it is the first or not: of pipelined statements, the one that failed is then
        // reported before those that were rejected because of it (25P02) without the reason.
        const answered = await client.query(this.#named(statement, values), values).catch((error: unknown) => {
          if (statement.text !== 'rollback') throw begun?.failure ?? error;
          // The connection broke, which also ended the transaction. The statement that noticed it reports the failure.
          broken = error as Error;
          return NOTHING;
        });
        // BEGIN failed, so the statement ran in a transaction of its own.
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
    client.release(
      ended.status === 'rejected' && new Error('The connection to the database broke.', { cause: ended.reason }),
    );
    if (begun.failure) throw begun.failure;
    if (answered.status === 'rejected') throw answered.reason;
    if (ended.status === 'rejected') throw ended.reason;
    return answered.value;
  }
}

/** Sends statements without waiting for their results, which arrive in order. `failure` is the first one. */
function send(client: pg.PoolClient, texts: readonly string[]): { readonly failure: Error | null } {
  const sent: { failure: Error | null } = { failure: null };
  for (const text of texts) {
    client.query(text).catch((error: unknown) => {
      sent.failure ??= error as Error;
    });
  }
  return sent;
}
