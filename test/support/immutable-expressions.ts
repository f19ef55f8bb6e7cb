// Whether an expression has the same value whatever the settings and the moment: a cluster refuses all others in RETURNING.
import type { Node } from 'libpg-query';
import { COLUMN_TYPES } from './named-accounts.ts';
import { calledBy, everyNode, stringsOf, type Tree } from './statement-tree.ts';

/** Each of PostgreSQL's functions of these names is immutable. Add to the list what is needed: the catalog is asked whether it is true. */
export const IMMUTABLE_FUNCTIONS = ['abs', 'encode', 'octet_length', 'sha256'];

/** Types whose text is the same in every session, unlike that of times, which depends on TimeZone and DateStyle. */
export const PLAIN_TYPES = ['bigint', 'boolean', 'bytea', 'integer', 'numeric', 'smallint', 'text', 'uuid', 'xid8'];

/** As the parser names them. */
const PLAIN_CASTS = new Set([...PLAIN_TYPES, 'bool', 'int2', 'int4', 'int8']);

/** Nodes that only combine what is in them. */
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

const isPlain = (column: string): boolean =>
  [...(COLUMN_TYPES.get(column) ?? ['unknown'])].every((type) => PLAIN_TYPES.includes(type.replace(/ collate .*/, '')));

const columnsIn = (node: unknown): string[] => {
  const columns: string[] = [];
  everyNode({ node }, (kind, { fields }) => {
    if (kind === 'ColumnRef') columns.push(stringsOf(fields as unknown[]).at(-1) ?? '');
  });
  return columns;
};

/** Every part that is more than a column must itself be immutable, and have plain columns only. */
const isImmutablePart = (kind: string, node: Tree): boolean => {
  const called = calledBy(kind, node);
  if (called !== null) return IMMUTABLE_FUNCTIONS.includes(called);
  if (kind === 'TypeCast') {
    const { names, arrayBounds } = node['typeName'] as { readonly names?: unknown[]; readonly arrayBounds?: unknown };
    return arrayBounds === undefined && PLAIN_CASTS.has(stringsOf(names).at(-1) ?? '');
  }
  return COMBINING.has(kind) || HARMLESS.has(kind);
};

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

/** For an item of a RETURNING list. */
export const isImmutable = (item: Node): boolean => {
  const value = 'ResTarget' in item ? item.ResTarget.val : item;
  if (value && 'ColumnRef' in value) return true;
  let isSo = columnsIn(value).every(isPlain);
  everyNode(value, (kind, node) => {
    isSo &&= isImmutablePart(kind, node);
  });
  return isSo;
};
