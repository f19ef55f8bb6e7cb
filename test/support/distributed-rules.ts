// Rules for statements, so that they work and mean the same on a database that is distributed by account_id.
import type { Node, SelectStmt, VariableSetStmt } from 'libpg-query';
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../src/db/table-distribution.ts';
import { isImmutable } from './immutable-expressions.ts';
import type { NamedTable } from './named-accounts.ts';
import { parseMessage, type Statement } from './statement-levels.ts';
import { calledBy, hasNode, kindOf } from './statement-tree.ts';

/** Columns of distributed tables that a sequence fills if an INSERT does not. */
export const SEQUENCE_DEFAULTS: Readonly<Record<string, string>> = { filters: 'id', operations: 'id', streams: 'id' };

/** Functions whose result depends on which node of a cluster runs them: each node has transaction ids of its own. */
const OF_ONE_NODE = /^(?:pg_current_xact_id(?:_if_assigned)?|pg_current_snapshot|pg_control_\w+|pg_xact_\w+|txid_\w+)$/;

/** The rule about functions in OF_ONE_NODE. */
export const THROUGH_A_ROW = 'transaction ids are read through a row of the account';

const VOLATILE = /^(?:clock_timestamp|statement_timestamp|timeofday|random|gen_random_uuid|nextval)$/;
const READS_CLOCK = /^(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|current_\w+|local\w+)$/;

function isDistributed({ table, isOfQueue }: NamedTable): boolean {
  return !isOfQueue && DISTRIBUTED.includes(table);
}

function isOurs({ table, isOfQueue }: NamedTable): boolean {
  return !isOfQueue && [...DISTRIBUTED, ...REFERENCE, ...LOCAL].includes(table);
}

function isLocal({ table, isOfQueue }: NamedTable): boolean {
  return isOfQueue || LOCAL.includes(table);
}

function tablesOf({ levels }: Statement): NamedTable[] {
  return levels.flatMap(({ tables }) => tables);
}

const CHANGES = /^(?:Insert|Update|Delete|Merge)Stmt$/;

function changes({ kind }: Statement): boolean {
  return CHANGES.test(kind);
}

function calls(statement: Statement, pattern: RegExp): boolean {
  return statement.levels.some((level) => level.calls.some((name) => pattern.test(name)));
}

function callsWithin(value: unknown, pattern: RegExp): boolean {
  return hasNode(value, (kind, node) => pattern.test(calledBy(kind, node) ?? ''));
}

function settingOf({ node }: Statement): VariableSetStmt | null {
  return 'VariableSetStmt' in node ? node.VariableSetStmt : null;
}

/** Except transaction_timeout, which limits the connection to the coordinator and changes no result. */
function outlivesTransaction(statement: Statement): boolean {
  const setting = settingOf(statement);
  if (setting) return setting.is_local !== true && !/^(?:TRANSACTION|transaction_timeout)$/.test(setting.name ?? '');
  return statement.kind === 'DiscardStmt' || calls(statement, /^set_config$/);
}

function begins({ node }: Statement): boolean {
  return 'TransactionStmt' in node && /^TRANS_STMT_(?:BEGIN|START)$/.test(node.TransactionStmt.kind ?? '');
}

function insertOf(node: Node) {
  return 'InsertStmt' in node ? node.InsertStmt : null;
}

function selectOf({ node }: Statement): SelectStmt | null {
  const query = insertOf(node)?.selectStmt;
  return query && 'SelectStmt' in query ? query.SelectStmt : null;
}

/** Whether the statement is an INSERT .. SELECT whose ids come from a sequence. */
function takesFromSequence(statement: Statement): boolean {
  const insert = insertOf(statement.node);
  const select = selectOf(statement);
  const column = SEQUENCE_DEFAULTS[insert?.relation?.relname ?? ''];
  if (!select || select.valuesLists || column === undefined) return false;
  const isGiven = (insert?.cols ?? []).some((one) => 'ResTarget' in one && one.ResTarget.name === column);
  return !isGiven || callsWithin(select, /^nextval$/);
}

function returned({ node }: Statement): Node[] {
  const [statement] = Object.values(node) as { readonly returningClause?: { readonly exprs?: Node[] } }[];
  return statement?.returningClause?.exprs ?? [];
}

type Rule = (statement: Statement, message: readonly Statement[], text: string) => boolean;

/** A cluster repeats the whole message with a SET LOCAL on each node of the transaction. */
const RULES_OF_MESSAGES: Readonly<Record<string, Rule>> = {
  'BEGIN and each SET LOCAL are messages of their own': (statement, message) =>
    message.length > 1 && (begins(statement) || settingOf(statement) !== null),
};

/** Rules for every statement that Sluice sends. */
const RULES_OF_SETTINGS: Readonly<Record<string, Rule>> = {
  'a setting is for a transaction, by SET LOCAL': outlivesTransaction,
  'BEGIN states the level and whether the transaction writes': (statement, message, text) =>
    begins(statement) &&
    message.length === 1 &&
    !/^begin isolation level (?:read committed read (?:write|only)|repeatable read read only);?$/i.test(text.trim()),
  'no SERIALIZABLE': ({ kind, node }) =>
    /^(?:Transaction|VariableSet)Stmt$/.test(kind) && /serializable/i.test(JSON.stringify(node)),
  'distributed and local tables do not meet in one statement': (statement) =>
    tablesOf(statement).some(isDistributed) && tablesOf(statement).some(isLocal),
};

const RULES: Readonly<Record<string, Rule>> = {
  ...RULES_OF_SETTINGS,
  ...RULES_OF_MESSAGES,
  'no CTE writes: later parts see what it wrote': ({ node }) =>
    hasNode(node, (kind, { ctequery }) => kind === 'CommonTableExpr' && CHANGES.test(kindOf(ctequery as Node))),
  'no now() in DO UPDATE SET': ({ node }) => callsWithin(insertOf(node)?.onConflictClause?.targetList, READS_CLOCK),
  'no volatile function in an UPDATE': (statement) =>
    statement.kind === 'UpdateStmt' && tablesOf(statement).some(isDistributed) && calls(statement, VOLATILE),
  'no MERGE': ({ kind }) => kind === 'MergeStmt',
  'no FOR UPDATE or FOR SHARE': (statement) =>
    tablesOf(statement).some(isDistributed) && hasNode(statement.node, (kind) => kind === 'LockingClause'),
  'NOTIFY is a statement of its own': (statement, message) =>
    statement.kind === 'NotifyStmt'
      ? message.length > 1
      : calls(statement, /^pg_notify$/) && (tablesOf(statement).length > 0 || message.length > 1),
  [THROUGH_A_ROW]: (statement) =>
    changes(statement)
      ? calls(statement, OF_ONE_NODE)
      : statement.levels.some(
          (level) =>
            level.calls.some((name) => OF_ONE_NODE.test(name)) &&
            !level.tables.some((table) => table.account === 'value' && (isDistributed(table) || isLocal(table))),
        ),
  'only immutable expressions in RETURNING': (statement) =>
    tablesOf(statement).some(isDistributed) && !returned(statement).every(isImmutable),
  // Otherwise a cluster sends the rows by COPY, which row-level security rejects.
  'INSERT .. SELECT that takes ids from a sequence has RETURNING or ON CONFLICT': (statement) =>
    takesFromSequence(statement) &&
    returned(statement).length === 0 &&
    insertOf(statement.node)?.onConflictClause === undefined,
  // On a node the table has the name of its shard.
  'INSERT .. SELECT with RETURNING gives its table an alias, or has ON CONFLICT': (statement) => {
    const insert = insertOf(statement.node);
    return (
      tablesOf(statement).some(isDistributed) &&
      selectOf(statement)?.valuesLists === undefined &&
      !takesFromSequence(statement) &&
      returned(statement).length > 0 &&
      insert !== null &&
      insert.relation?.alias === undefined &&
      insert.onConflictClause === undefined
    );
  },
  'no sub-select in VALUES': (statement) =>
    tablesOf(statement).some(isDistributed) && hasNode(selectOf(statement)?.valuesLists, (kind) => kind === 'SubLink'),
};

function broken(rules: Readonly<Record<string, Rule>>, text: string): string[] {
  const message = parseMessage(text);
  return Object.entries(rules)
    .filter(([, isBroken]) => message.some((statement) => isBroken(statement, message, text)))
    .map(([rule]) => rule);
}

/** Returns the rules that the message breaks. */
export function brokenRules(text: string): string[] {
  return broken(RULES, text);
}

/**
 * Returns the broken rules among those that apply to the queue, whose own tables stay on the coordinator.
 * @param keepsSettings whether a cluster keeps the settings of the session there too
 */
export function brokenRulesOfQueue(text: string, keepsSettings: boolean): string[] {
  return broken(keepsSettings ? RULES_OF_SETTINGS : { ...RULES_OF_SETTINGS, ...RULES_OF_MESSAGES }, text);
}

function shape({ verb, table }: NamedTable): string {
  return `${verb} ${table}`;
}

function ofSluice(text: string): NamedTable[] {
  return parseMessage(text).flatMap((statement) => tablesOf(statement).filter((table) => isOurs(table)));
}

/**
 * Returns the command and table, such as `UPDATE runs`, for each table whose account the statement does not name. It must
 * name that of a distributed table by a value, since a cluster has to know the node before it runs the statement.
 */
export function acrossAccounts(text: string, among: readonly string[]): string[] {
  return ofSluice(text)
    .filter(({ table }) => among.includes(table))
    .filter((table) => (isDistributed(table) ? table.account !== 'value' : table.account === 'missing'))
    .map(shape);
}

/** Returns command and table, such as `SELECT records`, for each table that the statement names. */
export function shapesOf(text: string): string[] {
  return ofSluice(text).map(shape);
}

/** Whether the statement names a distributed table. */
export function namesDistributed(text: string): boolean {
  return parseMessage(text).some((one) => tablesOf(one).some(isDistributed));
}
