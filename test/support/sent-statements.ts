import pg from 'pg';

/** A message with one statement, or several, as PostgreSQL gets it. */
export interface SentStatement {
  /** Without comments, and with one blank where there were several. */
  readonly text: string;
  /** Of the connection. */
  readonly applicationName: string;
  /**
   * The setting by which the transaction says whose rows it sees. Null without a transaction that has set it: then the nodes of
   * a cluster would show no row, whatever the session has set.
   */
  readonly scope: 'account_id' | 'all_accounts' | null;
  /** Whether a cluster keeps the settings of the session on its coordinator. */
  readonly keepsSettings: boolean;
}

interface Startup {
  readonly application_name?: string;
  readonly options?: string;
}

interface Parse {
  readonly text: string;
}

interface Bind {
  readonly statement?: string;
}

/** What pg's connections have beyond their published types. */
interface Connection {
  readonly parsedStatements: Readonly<Record<string, string>>;
  readonly submittedNamedStatements: Readonly<Record<string, string>>;
  startup(config: Startup): void;
  query(text: string): void;
  parse(query: Parse): void;
  bind(config: Bind): void;
}

const connections = pg.Connection.prototype as unknown as Connection;

// A connection sends these once, and its statements may be heard later.
const startups = new WeakMap<Connection, Startup>();
const { startup } = connections;
connections.startup = function (config) {
  startups.set(this, config);
  startup.call(this, config);
};

const SETS_SCOPE = /^SET LOCAL sluice\.(all_accounts|account_id)\b/i;
const BEGINS = /^(?:BEGIN|START TRANSACTION)\b/i;
const ENDS = /^(?:COMMIT|END|ROLLBACK(?! TO\b))\b|; ?(?:COMMIT|END|ROLLBACK);?$/i;

const COMMENT = /(?<=^|\s)--[^\n]*/g;

/**
 * Hears every message that this process sends through pg from now on, on every connection: where the driver writes it,
 * so that nothing that builds or changes SQL can hide from it.
 */
export const hearStatements = (): { readonly heard: readonly SentStatement[]; stop(): void } => {
  const heard = new Map<string, SentStatement>();
  /** Of connections that are in a transaction. */
  const scopes = new WeakMap<Connection, SentStatement['scope']>();
  const unnamed = new WeakMap<Connection, string>();
  const { query, parse, bind } = connections;
  const hear = (connection: Connection, sent: string): void => {
    const text = sent.replaceAll(COMMENT, '').replaceAll(/\s+/g, ' ').trim();
    const [, setting] = SETS_SCOPE.exec(text) ?? [];
    if (BEGINS.test(text)) scopes.set(connection, null);
    else if (setting !== undefined && scopes.has(connection)) {
      scopes.set(connection, setting.toLowerCase() as SentStatement['scope']);
    }
    const { application_name: applicationName = '', options = '' } = startups.get(connection) ?? {};
    const statement = {
      text,
      applicationName,
      scope: scopes.get(connection) ?? null,
      keepsSettings: options.includes('citus.propagate_set_commands=none'),
    };
    heard.set(JSON.stringify(statement), statement);
    if (ENDS.test(text)) scopes.delete(connection);
  };
  connections.query = function (text) {
    hear(this, text);
    query.call(this, text);
  };
  connections.parse = function (statement) {
    unnamed.set(this, statement.text);
    parse.call(this, statement);
  };
  // Once for each execution, also of a statement that was parsed before.
  connections.bind = function (config) {
    const name = config.statement;
    const text = name ? (this.parsedStatements[name] ?? this.submittedNamedStatements[name]) : unnamed.get(this);
    hear(this, text ?? '');
    bind.call(this, config);
  };
  return {
    get heard() {
      return [...heard.values()];
    },
    stop: () => Object.assign(connections, { query, parse, bind }),
  };
};
