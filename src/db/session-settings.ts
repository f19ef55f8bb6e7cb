// Pure: the settings of PostgreSQL that change the results or the speed of Sluice's statements, and the values that Sluice needs. A
// database, a role or a server can have other defaults (ALTER DATABASE ... SET, ALTER ROLE ... SET, postgresql.conf), so no
// transaction relies on them.

/** Every transaction sets its isolation level: with repeatable read as the default, concurrent replaces would double records. */
export const BEGIN_WRITING = 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE';
/** For exports, which may read from a standby: it rejects READ WRITE. */
export const BEGIN_READING = 'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY';

/** The schema of Sluice's tables. */
const SCHEMA = 'public';

/** The settings that differ between connections. */
export interface SessionNeeds {
  /** Milliseconds; 0 for no limit. */
  readonly statementTimeoutMs: number;
  /** Milliseconds; 0 for no limit. */
  readonly idleInTransactionMs: number;
  /** As SQL: a list of identifiers. */
  readonly searchPath: string;
}

interface Need {
  readonly name: string;
  readonly value: string;
  /** Whether another value is acceptable. Defaults to none. */
  readonly serves?: (value: string) => boolean;
  /** As SQL, if the value is not a literal. */
  readonly sql?: string;
}

const MIN_WORK_MEM_KB = 4096;

/** Exists since PostgreSQL 17. */
const TRANSACTION_TIMEOUT = 'transaction_timeout';
const FIRST_WITH_TRANSACTION_TIMEOUT = 170_000;

/** Sent as a separate message without a transaction, so that even a timeout of 1 ms does not end it. */
export const READ_VERSION_SQL = 'SHOW server_version_num';

export interface VersionRow {
  readonly server_version_num: string;
}

/** Returns the assignment that removes transaction_timeout, for SET or SET LOCAL; null if the server does not have it. */
export function buildTransactionTimeoutRemoval([row]: readonly VersionRow[]): string | null {
  return Number(row?.server_version_num) >= FIRST_WITH_TRANSACTION_TIMEOUT ? `${TRANSACTION_TIMEOUT} = 0` : null;
}

function listNeeds({ statementTimeoutMs, idleInTransactionMs, searchPath }: SessionNeeds): readonly Need[] {
  return [
    // Timeouts come before statements that may take long.
    { name: TRANSACTION_TIMEOUT, value: '0' },
    { name: 'statement_timeout', value: String(statementTimeoutMs) },
    { name: 'idle_in_transaction_session_timeout', value: String(idleInTransactionMs) },
    { name: 'lock_timeout', value: '0' },
    // These change how PostgreSQL parses the statements after them.
    // pg encodes and decodes as UTF-8, regardless of the server's setting.
    { name: 'client_encoding', value: 'UTF8' },
    { name: 'standard_conforming_strings', value: 'on' },
    // A schema before Sluice's could have tables and functions of the same names.
    { name: 'search_path', value: searchPath, sql: searchPath },
    // `off` does not bypass row-level security: each statement that a policy would filter fails.
    { name: 'row_security', value: 'on' },
    // A write is durable before it is acknowledged. The levels between on and off are the operator's choice.
    { name: 'synchronous_commit', value: 'on', serves: (value) => value !== 'off' },
    // Formats of values.
    { name: 'timezone', value: 'UTC', serves: (value) => ['UTC', 'Etc/UTC', 'GMT'].includes(value) },
    { name: 'datestyle', value: 'ISO, MDY', serves: (value) => value.startsWith('ISO') },
    { name: 'intervalstyle', value: 'postgres' },
    { name: 'bytea_output', value: 'hex' },
    { name: 'extra_float_digits', value: '1', serves: (value) => Number(value) >= 1 },
    { name: 'array_nulls', value: 'on' },
    { name: 'transform_null_equals', value: 'off' },
    // An error of one statement, such as a repeated key, would end the connection.
    { name: 'exit_on_error', value: 'off' },
    // Compiling costs more than most statements here: a replace of one record took 1.5 s instead of 16 ms.
    { name: 'jit', value: 'off' },
    { name: 'plan_cache_mode', value: 'auto' },
    { name: 'force_parallel_mode', value: 'off' },
    { name: 'debug_parallel_query', value: 'off' },
    { name: 'from_collapse_limit', value: '8', serves: (value) => Number(value) >= 8 },
    { name: 'join_collapse_limit', value: '8', serves: (value) => Number(value) >= 8 },
    { name: 'work_mem', value: '4MB', serves: (value) => Number(value) >= MIN_WORK_MEM_KB },
  ];
}

/** A row of pg_settings: times in milliseconds, memory in kB. */
export interface SettingRow {
  readonly name: string;
  readonly setting: string;
}

/**
 * Returns the statements of the transaction that reads the settings of a connection; the last but one returns SettingRows.
 * @param limit the result of buildTransactionTimeoutRemoval()
 */
export function buildSettingsQuery(limit: string | null, needs: SessionNeeds): readonly string[] {
  return [
    BEGIN_READING,
    ...(limit === null ? [] : [`SET LOCAL ${limit}`]),
    `SET LOCAL statement_timeout = ${needs.statementTimeoutMs}`,
    `SET LOCAL idle_in_transaction_session_timeout = ${needs.idleInTransactionMs}`,
    // A schema before pg_catalog could have a pg_settings of its own.
    'SET LOCAL search_path = pg_catalog',
    // The value of the session, not of this transaction.
    `SELECT lower(name) AS name, reset_val AS setting FROM pg_settings
   WHERE lower(name) IN (${listNeeds(needs)
     .map(({ name }) => `'${name}'`)
     .join(', ')}) OR name LIKE 'enable_%' AND boot_val = 'on' AND reset_val = 'off'`,
    'COMMIT',
  ];
}

/**
 * Returns the SET LOCAL statements that each transaction begins with on a connection with these settings: one for each setting that
 * differs from what Sluice needs, and always jit. The settings of the nodes of a distributed database are not known here, and SET
 * LOCAL is forwarded to them.
 */
export function buildLocalSettings(rows: readonly SettingRow[], needs: SessionNeeds): readonly string[] {
  const found = new Map(rows.map(({ name, setting }) => [name, setting]));
  const wanted = listNeeds(needs).filter(({ name, value, serves }) => {
    if (name === 'jit') return true;
    const own = found.get(name);
    // A setting that this version of PostgreSQL does not have is not in the rows.
    return own !== undefined && own !== value && serves?.(own) !== true;
  });
  return [
    ...wanted.map(({ name, value, sql }) => `SET LOCAL ${name} = ${sql ?? `'${value}'`}`),
    ...rows.filter(({ name }) => name.startsWith('enable_')).map(({ name }) => `SET LOCAL ${name} = on`),
  ];
}

/** The planner switches of PostgreSQL 15. A server rejects a connection with a parameter that it does not know. */
const PLANNER_SWITCHES =
  'bitmapscan hashagg hashjoin incremental_sort indexonlyscan indexscan material memoize mergejoin nestloop seqscan sort tidscan'
    .split(' ')
    .map((name): Need => ({ name: `enable_${name}`, value: 'on' }));

/** A setting of Sluice, which shows that the start-up parameters of a session have arrived. */
export const SESSION_MARK = 'sluice.session';

/** The pool closes idle connections. If the server closed them, a request that just took one would fail. */
const IDLE_FOREVER: Need = { name: 'idle_session_timeout', value: '0' };

/** Settings that not every version has, or whose value is a minimum. */
const NOT_AT_START_UP = new Set([TRANSACTION_TIMEOUT, 'force_parallel_mode', 'debug_parallel_query', 'work_mem']);

/**
 * Returns the start-up parameter `options` for a connection with statements outside of transactions that Sluice begins: the queue,
 * the migrations, LISTEN. Poolers do not accept it.
 */
export function buildSessionOptions(needs: SessionNeeds): string {
  return [
    ...listNeeds(needs).filter(({ name }) => !NOT_AT_START_UP.has(name)),
    ...PLANNER_SWITCHES,
    { name: 'default_transaction_isolation', value: 'read committed' },
    { name: 'default_transaction_read_only', value: 'off' },
    { name: 'default_transaction_deferrable', value: 'off' },
    IDLE_FOREVER,
    { name: SESSION_MARK, value: 'on' },
  ]
    .map(formatOption)
    .join(' ');
}

/**
 * Returns the start-up parameter `options` for a connection whose statements are all in transactions with buildLocalSettings(): the
 * timeouts, because one of 1 ms would end BEGIN itself, and the search path, whose usual default differs from the one that is
 * needed. As start-up parameters they cost no message in each transaction.
 */
export function buildTransactionOptions(needs: SessionNeeds): string {
  return [...listNeeds(needs).filter(({ name }) => AT_FIRST.has(name)), IDLE_FOREVER, ONLY_IN_TRANSACTIONS]
    .map(formatOption)
    .join(' ');
}

/**
 * If BEGIN is canceled, the statements that were pipelined with it run outside of a transaction. With this default they cannot write:
 * only BEGIN_WRITING allows it.
 */
const ONLY_IN_TRANSACTIONS: Need = { name: 'default_transaction_read_only', value: 'on' };

const AT_FIRST = new Set(['statement_timeout', 'idle_in_transaction_session_timeout', 'lock_timeout', 'search_path']);

/** PostgreSQL splits the options at blanks without a backslash before them. */
const formatOption = ({ name, value }: Need): string => `-c ${name}=${value.replaceAll(/[\\ ]/g, String.raw`\$&`)}`;

const OPTION = /(?:^|\s)(?:-c\s*|--)([\w.-]+)=((?:\\.|[^\s\\])*)/g;

/** Returns the search path of the connection string's options, else the schema of Sluice's tables. */
export function parseSearchPath(options: string | null): string {
  let chosen: string | undefined;
  for (const [, name = '', value] of (options ?? '').matchAll(OPTION)) {
    if (name.replaceAll('-', '_').toLowerCase() === 'search_path') chosen = value?.replaceAll(/\\(.)/g, '$1');
  }
  if (chosen === undefined) return SCHEMA;
  return chosen
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .map((name) =>
      /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll(/^"|"$/g, '').replaceAll('"', '""')}"`,
    )
    .join(', ');
}
