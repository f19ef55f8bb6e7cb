// Pure: PostgreSQL's own parser, and helpers to read its syntax trees.
import { loadModule, type Node, parseSync } from 'libpg-query';

await loadModule();

/** Parses the statements of one message. Throws if PostgreSQL would reject its syntax. */
export function parseStatements(text: string): readonly Node[] {
  return (parseSync(text).stmts ?? []).map(({ stmt }) => stmt as Node);
}

/** Any part of a syntax tree. */
export type Tree = Readonly<Record<string, unknown>>;

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null;
}

/** Returns the kind of a node, such as SelectStmt. */
export function kindOf(node: Node): string {
  return Object.keys(node)[0] ?? '';
}

/** Calls `visit` with each node below and its kind. */
export function everyNode(value: unknown, visit: (kind: string, node: Tree) => void): void {
  if (!isTree(value)) return;
  for (const [key, child] of Object.entries(value)) {
    if (/^[A-Z]/.test(key)) visit(key, child as Tree);
    everyNode(child, visit);
  }
}

/** Whether `isWanted` returns true for one of the nodes below. */
export function hasNode(value: unknown, isWanted: (kind: string, node: Tree) => boolean): boolean {
  let found = false;
  everyNode(value, (kind, node) => {
    found ||= isWanted(kind, node);
  });
  return found;
}

/** Returns the names in a list of nodes, and `*` for a node that is not a name. */
export function stringsOf(nodes: readonly unknown[] | undefined): string[] {
  return (nodes ?? []).map((node) => {
    const name = isTree(node) && isTree(node['String']) ? node['String']['sval'] : '*';
    return typeof name === 'string' ? name : '';
  });
}

/** Returns the function that the node calls, in lower case and without its schema, such as CURRENT_TIMESTAMP; null if it calls none. */
export function calledBy(kind: string, node: Tree): string | null {
  if (kind === 'FuncCall')
    return (
      stringsOf(node['funcname'] as unknown[])
        .at(-1)
        ?.toLowerCase() ?? null
    );
  return kind === 'SQLValueFunction'
    ? String(node['op'])
        .replace(/^SVFOP_/, '')
        .toLowerCase()
    : null;
}
