// Determines how a query names the account of the tables in its FROM list.
import { is } from 'drizzle-orm';
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core';
import type { ColumnRef, InsertStmt, Node, RangeVar, SelectStmt } from 'libpg-query';
import * as deliveryTables from '../../src/db/delivery-tables.ts';
import * as tables from '../../src/db/tables.ts';
import { stringsOf } from './statement-tree.ts';

/** The schema of the queue's tables. */
const QUEUE_SCHEMA = 'pgboss';

const OUR_TABLES = Object.values({ ...tables, ...deliveryTables })
  .filter((table) => is(table, PgTable))
  .map((table) => getTableConfig(table));

const WITH_ACCOUNT = new Set(
  OUR_TABLES.filter(({ columns }) => columns.some(({ name }) => name === 'account_id')).map(({ name }) => name),
);

/** SQL types of the columns of all tables by name: a name can have several. */
export const COLUMN_TYPES: ReadonlyMap<string, ReadonlySet<string>> = OUR_TABLES.flatMap(({ columns }) =>
  columns.map((column) => ({ name: column.name, type: column.getSQLType() })),
).reduce(
  (types, { name, type }) => types.set(name, new Set([...(types.get(name) ?? []), type])),
  new Map<string, Set<string>>(),
);

/** How a statement names the account of a table's rows. */
export type AccountIs =
  /** Compared with a parameter or a literal. */
  | 'value'
  /** Compared with the account of another table's rows, or in any other way. */
  | 'joined'
  | 'missing';

export interface NamedTable {
  readonly verb: 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE' | 'MERGE' | 'COPY' | 'LOCK' | 'TRUNCATE';
  readonly table: string;
  readonly isOfQueue: boolean;
  readonly account: AccountIs;
}

/** An item of a FROM list. */
interface Source {
  /** The name that qualifies its columns. */
  readonly name: string;
  readonly table: RangeVar | null;
  /** Query of a sub-select or of WITH; null for a table. */
  readonly query: Node | null;
}

/** A condition, and the sources whose rows it removes. */
interface Condition {
  readonly node: Node;
  readonly sources: ReadonlySet<Source>;
}

/** WITH queries by name. */
export type Queries = ReadonlyMap<string, Node>;

export function named(verb: NamedTable['verb'], { relname = '', schemaname }: RangeVar): NamedTable {
  return {
    verb,
    table: relname,
    isOfQueue: schemaname === QUEUE_SCHEMA,
    account: 'missing',
  };
}

export function namedAll(verb: NamedTable['verb'], relations: readonly Node[] = []): NamedTable[] {
  return relations.flatMap((relation) => ('RangeVar' in relation ? [named(verb, relation.RangeVar)] : []));
}

export function readFrom(
  from: readonly Node[],
  where: Node | undefined,
  queries: Queries,
): { readonly sources: readonly Source[]; readonly conditions: readonly Condition[] } {
  const conditions: Condition[] = [];
  const read = (node: Node): Source[] => {
    if ('RangeVar' in node) {
      const { relname = '', schemaname, alias } = node.RangeVar;
      const query = schemaname === undefined ? (queries.get(relname) ?? null) : null;
      return [{ name: alias?.aliasname ?? relname, table: query ? null : node.RangeVar, query }];
    }
    if ('RangeSubselect' in node) {
      const { alias, subquery = null } = node.RangeSubselect;
      return [{ name: alias?.aliasname ?? '', table: null, query: subquery }];
    }
    if ('RangeFunction' in node) {
      return [{ name: node.RangeFunction.alias?.aliasname ?? '', table: null, query: null }];
    }
    if ('RangeTableSample' in node) return node.RangeTableSample.relation ? read(node.RangeTableSample.relation) : [];
    if (!('JoinExpr' in node)) return [];
    const { jointype, larg, rarg, quals } = node.JoinExpr;
    const left = larg ? read(larg) : [];
    const right = rarg ? read(rarg) : [];
    if (quals) {
      // An outer join keeps the rows of one side even if the condition is false.
      const removed = {
        JOIN_INNER: [...left, ...right],
        JOIN_LEFT: right,
        JOIN_RIGHT: left,
      }[jointype as string];
      for (const condition of conjunctsOf(quals)) conditions.push({ node: condition, sources: new Set(removed ?? []) });
    }
    return [...left, ...right];
  };
  const sources = from.flatMap(read);
  if (where) {
    for (const condition of conjunctsOf(where)) conditions.push({ node: condition, sources: new Set(sources) });
  }
  return { sources, conditions };
}

function conjunctsOf(node: Node): Node[] {
  return 'BoolExpr' in node && node.BoolExpr.boolop === 'AND_EXPR'
    ? (node.BoolExpr.args ?? []).flatMap(conjunctsOf)
    : [node];
}

export function tablesOf(sources: readonly Source[], conditions: readonly Condition[]): NamedTable[] {
  return sources.flatMap((source) =>
    source.table ? [{ ...named('SELECT', source.table), account: accountOf(source, sources, conditions) }] : [],
  );
}

function accountOf(source: Source, sources: readonly Source[], conditions: readonly Condition[]): AccountIs {
  let found: AccountIs = 'missing';
  for (const condition of conditions) {
    if (!condition.sources.has(source)) continue;
    for (const [left, right] of equalitiesOf(condition.node)) {
      for (const [one, other] of [
        [left, right],
        [right, left],
      ] as const) {
        if (!('ColumnRef' in one) || accountColumnOf(one.ColumnRef, sources) !== source) continue;
        if (isValue(other)) return 'value';
        if (!('ColumnRef' in other) || accountColumnOf(other.ColumnRef, sources) !== source) found = 'joined';
      }
    }
  }
  return found;
}

/** Returns pairs that a condition makes equal: `a = b`, `a IN (b)`, `(a, c) = (b, d)`. */
function equalitiesOf(node: Node): [Node, Node][] {
  if (!('A_Expr' in node)) return [];
  const { kind, name, lexpr, rexpr } = node.A_Expr;
  if (!lexpr || !rexpr || stringsOf(name).at(-1) !== '=') return [];
  if (kind === 'AEXPR_IN') {
    const items = 'List' in rexpr ? (rexpr.List.items ?? []) : [];
    // Several accounts can be on several nodes.
    return items.length === 1 && items[0] ? [[lexpr, items[0]]] : [];
  }
  if (kind !== 'AEXPR_OP') return [];
  if ('RowExpr' in lexpr && 'RowExpr' in rexpr) {
    const others = rexpr.RowExpr.args ?? [];
    return (lexpr.RowExpr.args ?? []).flatMap((one, index) => {
      const other = others[index];
      return other ? [[one, other] satisfies [Node, Node]] : [];
    });
  }
  return [[lexpr, rexpr]];
}

function isValue(node: Node): boolean {
  if ('TypeCast' in node) return node.TypeCast.arg !== undefined && isValue(node.TypeCast.arg);
  return 'ParamRef' in node || ('A_Const' in node && node.A_Const.isnull !== true);
}

/** Returns the source whose account_id this column is. Null for another column and for one of an outer query. */
function accountColumnOf({ fields }: ColumnRef, sources: readonly Source[]): Source | null {
  const path = stringsOf(fields);
  if (path.at(-1) !== 'account_id') return null;
  const qualifier = path.at(-2);
  const candidates = sources.filter((source) =>
    // PostgreSQL rejects an unqualified name that two sources have, so an unqualified name belongs to one source.
    qualifier === undefined
      ? source.table === null || WITH_ACCOUNT.has(source.table.relname ?? '')
      : source.name === qualifier,
  );
  const tables = candidates.filter(({ table }) => table !== null);
  const [only, ...others] = tables.length > 0 ? tables : candidates;
  return only && others.length === 0 ? only : null;
}

export function accountOfInserted(insert: InsertStmt, { relname = '' }: RangeVar, queries: Queries): AccountIs {
  const place = (insert.cols ?? []).findIndex(
    (column) => 'ResTarget' in column && column.ResTarget.name === 'account_id',
  );
  const query = insert.selectStmt;
  if (place === -1 || !query || !WITH_ACCOUNT.has(relname)) return 'missing';
  return comesFromValue(query, place, queries) ? 'value' : 'joined';
}

/** Whether a column of a query is a value, or the account of rows whose table is compared with a value. */
function comesFromValue(node: Node, column: number | string, outer: Queries): boolean {
  if (!('SelectStmt' in node)) return false;
  const select = node.SelectStmt;
  const queries = new Map(outer);
  for (const cte of select.withClause?.ctes ?? [])
    if ('CommonTableExpr' in cte && cte.CommonTableExpr.ctequery)
      queries.set(cte.CommonTableExpr.ctename ?? '', cte.CommonTableExpr.ctequery);
  if (select.larg && select.rarg) {
    const place = typeof column === 'number' ? column : placeOf(leftmost(select), column);
    return [select.larg, select.rarg].every((part) => comesFromValue({ SelectStmt: part }, place, queries));
  }
  if (select.valuesLists) {
    return select.valuesLists.every((row) => {
      const item = 'List' in row && typeof column === 'number' ? row.List.items?.[column] : undefined;
      return item !== undefined && isValue(item);
    });
  }
  const target = select.targetList?.[typeof column === 'number' ? column : placeOf(select, column)];
  const found = target && 'ResTarget' in target ? target.ResTarget.val : undefined;
  const value = found ?? (typeof column === 'string' ? columnOfStar(select, column) : undefined);
  if (!value) return false;
  if (isValue(value)) return true;
  if (!('ColumnRef' in value)) return false;
  const { sources, conditions } = readFrom(select.fromClause ?? [], select.whereClause, queries);
  const source = accountColumnOf(value.ColumnRef, sources);
  if (!source) return false;
  if (source.table) return accountOf(source, sources, conditions) === 'value';
  return source.query !== null && comesFromValue(source.query, 'account_id', queries);
}

/** Returns the column of this name that `*` or `t.*` adds to a SELECT list. */
function columnOfStar({ targetList = [] }: SelectStmt, name: string): Node | undefined {
  for (const target of targetList) {
    const value = 'ResTarget' in target ? target.ResTarget.val : undefined;
    if (!value || !('ColumnRef' in value)) continue;
    const path = stringsOf(value.ColumnRef.fields);
    if (path.at(-1) !== '*') continue;
    return { ColumnRef: { fields: [...path.slice(0, -1), name].map((sval) => ({ String: { sval } })) } };
  }
  return undefined;
}

function leftmost(select: SelectStmt): SelectStmt {
  return select.larg ? leftmost(select.larg) : select;
}

/** Returns the index of the column with this name in a SELECT list, or -1. */
function placeOf({ targetList = [] }: SelectStmt, name: string): number {
  return targetList.findIndex((target) => {
    if (!('ResTarget' in target)) return false;
    const { name: alias, val } = target.ResTarget;
    return (
      alias === name ||
      (alias === undefined && val && 'ColumnRef' in val && stringsOf(val.ColumnRef.fields).at(-1) === name)
    );
  });
}
