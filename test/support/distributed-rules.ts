// Pure: what a statement must not do, so that it means the same, or works at all, where the database is distributed by account_id.
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../src/db/table-places.ts';

/** A table that a statement names, and as what. */
interface NamedTable {
  readonly verb: string;
  readonly table: string;
  /** By which its columns are told; null where it has no name but its own. */
  readonly alias: string | null;
}

const NO_ALIAS =
  /^(where|on|set|order|group|limit|values|join|left|inner|cross|union|returning|for|do|default|select|using)$/i;

/** Without what stands in quotes, where anything may be written. */
const bare = (text: string): string => text.replaceAll(/'(?:[^']|'')*'/g, "''").replaceAll('"', '');

const tablesOf = (sql: string): NamedTable[] => {
  const names = [...DISTRIBUTED, ...REFERENCE, ...LOCAL].join('|');
  const naming = new RegExp(
    `\\b(from|join|update|into)\\s+(?:only\\s+)?(${names})\\b(?:\\s+(?:as\\s+)?([a-z_]\\w*))?`,
    'gi',
  );
  return [...sql.matchAll(naming)].map(({ 1: word = '', 2: table = '', 3: alias, index }) => ({
    verb: verbOf(word, sql.slice(0, index)),
    table,
    alias: alias === undefined || NO_ALIAS.test(alias) ? null : alias,
  }));
};

const verbOf = (word: string, before: string): string => {
  if (/into/i.test(word)) return 'INSERT';
  if (/update/i.test(word)) return 'UPDATE';
  return /\bdelete\s*$/i.test(before) ? 'DELETE' : 'SELECT';
};

/** Whether the rows of this table are those of one account: by a value, or by those of another table that is joined. */
const namesAccount = (sql: string, { verb, table, alias }: NamedTable): boolean => {
  if (verb === 'INSERT')
    return new RegExp(`into\\s+${table}\\s*(?:as\\s+\\w+\\s*)?\\([^)]*\\baccount_id\\b`, 'i').test(sql);
  const column = `${alias ?? table}\\.account_id`;
  const isTold = new RegExp(`${column}\\s*=|=\\s*${column}\\b`, 'i');
  return isTold.test(sql) || (alias === null && /(?<![.\w])account_id\s*=/i.test(sql));
};

/** Such as `UPDATE runs`, of each table that the statement names without an account. */
export const acrossAccounts = (text: string): string[] => {
  const sql = bare(text);
  return tablesOf(sql)
    .filter((named) => !namesAccount(sql, named))
    .map(({ verb, table }) => `${verb} ${table}`);
};

/** Such as `SELECT records`, of each table that the statement names. */
export const shapesOf = (text: string): string[] => tablesOf(bare(text)).map(({ verb, table }) => `${verb} ${table}`);

const VOLATILE = /\b(clock_timestamp|statement_timestamp|timeofday|random|gen_random_uuid|nextval)\s*\(/i;

const RULES: Readonly<Record<string, (sql: string, tables: readonly string[]) => boolean>> = {
  'no CTE writes: later parts see what it wrote': (sql) =>
    /\bas\s*(?:not\s+)?(?:materialized\s*)?\(\s*(?:insert|update|delete|merge)\b/i.test(sql),
  'no now() in DO UPDATE SET': (sql) =>
    /\bdo update set\b.*(?:\bnow\s*\(|\bcurrent_timestamp\b|\bclock_timestamp\s*\()/is.test(sql),
  'no volatile function in an UPDATE': (sql, tables) =>
    new RegExp(`^update (?:only )?(?:${tables.join('|')})\\b`, 'i').test(sql) && VOLATILE.test(sql),
  'no MERGE': (sql) => /^\s*merge\b/i.test(sql),
  'no SERIALIZABLE': (sql) => /\bserializable\b/i.test(sql),
  'no FOR UPDATE or FOR SHARE': (sql, tables) =>
    /\bfor (?:no key )?(?:update|(?:key )?share)\b/i.test(sql) &&
    tablesOf(sql).some(({ table }) => tables.includes(table)),
  'NOTIFY is a statement of its own': (sql) =>
    /\b(?:pg_notify\s*\(|notify\s)/i.test(sql) && (tablesOf(sql).length > 0 || /;./.test(sql)),
  // transaction_timeout is a limit of the connection to the coordinator, and changes no result.
  'a setting is for a transaction, by SET LOCAL': (sql) =>
    /^set (?!local\b|transaction\b|constraints\b|transaction_timeout = 0$)/i.test(sql) ||
    /\bset_config\s*\(/i.test(sql),
  'BEGIN and each SET LOCAL are messages of their own': (sql) =>
    /;\s*\S/.test(sql) && /(?:^|;)\s*(?:begin|start transaction|set)\b/i.test(sql),
  'BEGIN states the level and whether the transaction writes': (sql) =>
    /^(?:begin|start transaction)\b/i.test(sql) &&
    !/^begin isolation level (?:read committed read (?:write|only)|repeatable read read only)$/i.test(sql),
  'distributed and local tables do not meet in one statement': (sql) => {
    const named = tablesOf(sql).map(({ table }) => table);
    return named.some((table) => DISTRIBUTED.includes(table)) && named.some((table) => LOCAL.includes(table));
  },
};

/** The rules that the statement breaks. */
export const brokenRules = (text: string): string[] => {
  const sql = bare(text).replaceAll(/\s+/g, ' ').trim();
  return Object.entries(RULES)
    .filter(([, isBroken]) => isBroken(sql, DISTRIBUTED))
    .map(([rule]) => rule);
};
