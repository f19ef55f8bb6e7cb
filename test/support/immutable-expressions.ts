// Checks whether the value of an expression is independent of settings and time. A cluster rejects all others in RETURNING.
import type { Node } from 'libpg-query';
import { COLUMN_TYPES } from './named-accounts.ts';
import { calledBy, everyNode, stringsOf, type Tree } from './statement-tree.ts';

/** All functions of PostgreSQL with these names are immutable. Add others when needed: a guard checks the list against the catalog. */
export const IMMUTABLE_FUNCTIONS = ['abs', 'encode', 'octet_length', 'sha256'];

/** Types whose text is the same in every session, unlike that of times, which depends on TimeZone and DateStyle. */
export const PLAIN_TYPES = ['bigint', 'boolean', 'bytea', 'integer', 'numeric', 'smallint', 'text', 'uuid', 'xid8'];

/** Names of these types in syntax trees. */
const PLAIN_CASTS = new Set([...PLAIN_TYPES, 'bool', 'int2', 'int4', 'int8']);

/** Nodes that only combine their children. */
const COMBINING = new Set([
  'A_ArrayExpr',
  'A_Expr',
  'BoolExpr',
  'BooleanTest',
  'CaseExpr',
  'CoalesceExpr',
  'MinMaxExpr',
  'NullTest',
]);

function isPlain(column: string): boolean {
  return [...(COLUMN_TYPES.get(column) ?? ['unknown'])].every((type) =>
    PLAIN_TYPES.includes(type.replace(/ collate .*/, '')),
  );
}

function columnsIn(node: unknown): string[] {
  const columns: string[] = [];
  everyNode({ node }, (kind, { fields }) => {
    if (kind === 'ColumnRef') columns.push(stringsOf(fields as unknown[]).at(-1) ?? '');
  });
  return columns;
}

/** A part that is not a column must itself be immutable and contain only columns of PLAIN_TYPES. */
function isImmutablePart(kind: string, node: Tree): boolean {
  const called = calledBy(kind, node);
  if (called !== null) return IMMUTABLE_FUNCTIONS.includes(called);
  if (kind === 'TypeCast') {
    const { names, arrayBounds } = node['typeName'] as { readonly names?: unknown[]; readonly arrayBounds?: unknown };
    return arrayBounds === undefined && PLAIN_CASTS.has(stringsOf(names).at(-1) ?? '');
  }
  return COMBINING.has(kind) || HARMLESS.has(kind);
}

const HARMLESS = new Set([
  'A_Const',
  'A_Star',
  'CaseWhen',
  'ColumnRef',
  'List',
  'ParamRef',
  'ResTarget',
  'SelectStmt',
  'String',
  'SubLink',
]);

/** Whether an item of a RETURNING list is immutable. */
export function isImmutable(item: Node): boolean {
  const value = 'ResTarget' in item ? item.ResTarget.val : item;
  if (value && 'ColumnRef' in value) return true;
  let isSo = columnsIn(value).every(isPlain);
  everyNode(value, (kind, node) => {
    isSo &&= isImmutablePart(kind, node);
  });
  return isSo;
}
