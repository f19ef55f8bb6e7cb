import pg from 'pg';

/** A message with one or more statements, in the form that PostgreSQL receives. */
export interface SentStatement {
  /** Text without comments, with white space collapsed. */
  readonly text: string;
  /** Application name of the connection. */
  readonly applicationName: string;
  /**
   * The setting by which the transaction selects its accounts. Null without a transaction that has set it: then the nodes
   * of a cluster would show no row, regardless of the settings of the session.
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

/** Members of pg's connections that its published types lack. */
interface Connection {
  readonly parsedStatements: Readonly<Record<string, string>>;
  readonly submittedNamedStatements: Readonly<Record<string, string>>;
  startup(config: Startup): void;
  query(text: string): void;
  parse(query: Parse): void;
  bind(config: Bind): void;
}

const connections = pg.Connection.prototype as unknown as Connection;

// A connection sends these parameters once, and its statements may be recorded later.
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

export interface HeardStatements {
  /** Each distinct message once. */
  readonly heard: readonly SentStatement[];
  /** Returns how often messages were sent that contain the text. */
  count(text: string): number;
  stop(): void;
}

/**
 * Records every message that this process sends through pg from now on, on every connection. It patches the methods that
 * write to the socket, so that it sees the final SQL.
 */
export function hearStatements(): HeardStatements {
  const heard = new Map<string, SentStatement>();
  const counts = new Map<string, number>();
  /** Scopes of connections that are in a transaction. */
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
    counts.set(text, (counts.get(text) ?? 0) + 1);
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
  // Called once for each execution, also of a statement that was parsed before.
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
    count: (part) => [...counts].reduce((sum, [text, sent]) => (text.includes(part) ? sum + sent : sum), 0),
    stop: () => Object.assign(connections, { query, parse, bind }),
  };
}
