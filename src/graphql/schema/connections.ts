import type { ArgBuilder, ObjectRef } from '@pothos/core';
import { encodeCursor, type Page } from '../../db/paging.ts';
import type { Builder } from './builder.ts';
import { ONE_STATEMENT } from './field-costs.ts';

type Ref<Shape> = ObjectRef<ExtendedTypes, Shape>;
type ExtendedTypes = Builder extends PothosSchemaTypes.SchemaBuilder<infer Types> ? Types : never;

interface Edge<Row> {
  readonly cursor: string;
  readonly node: Row;
}

export interface Connection<Row> {
  readonly edges: readonly Edge<Row>[];
  readonly pageInfo: PageInfo;
  /** Counts the items of the whole list. Called only if the query selects totalCount. */
  readonly count?: (() => Promise<number>) | undefined;
}

interface PageInfo {
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
  readonly startCursor: string | null;
  readonly endCursor: string | null;
}

/** Returns a page as a Relay connection. The cursor of a row contains its sort key. */
export function toConnection<Row>(
  page: Page<Row>,
  keyOf: (row: Row) => readonly string[],
  count?: () => Promise<number>,
): Connection<Row> {
  const edges = page.rows.map((node) => ({ cursor: encodeCursor(keyOf(node)), node }));
  return {
    edges,
    pageInfo: {
      hasNextPage: page.hasNextPage,
      hasPreviousPage: page.hasPreviousPage,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
    count,
  };
}

export function addPageInfo(builder: Builder): Ref<PageInfo> {
  return builder.objectRef<PageInfo>('PageInfo').implement({
    description: 'Position of a page in its list, as defined by the Relay connection specification.',
    fields: (t) => ({
      hasNextPage: t.exposeBoolean('hasNextPage', { description: 'Whether the list continues after this page.' }),
      hasPreviousPage: t.exposeBoolean('hasPreviousPage', {
        description: 'Whether the list has items before this page.',
      }),
      startCursor: t.exposeString('startCursor', {
        nullable: true,
        description: 'Cursor of the first edge. Null if the page is empty.',
      }),
      endCursor: t.exposeString('endCursor', {
        nullable: true,
        description: 'Cursor of the last edge. Null if the page is empty.',
      }),
    }),
  });
}

/** Adds the types `<Name>Connection` and `<Name>Edge` for a node type. */
export function addConnection<Row>(
  builder: Builder,
  pageInfo: Ref<PageInfo>,
  node: Ref<Row>,
  options: { readonly name: string; readonly description: string; readonly counted: boolean },
): Ref<Connection<Row>> {
  const edge = builder.objectRef<Edge<Row>>(`${options.name}Edge`);
  edge.implement({
    description: 'Item of the list with its cursor.',
    fields: (t) => ({
      cursor: t.exposeString('cursor', {
        description: 'Opaque position of the item. Pass it as `after` or `before` to continue from here.',
      }),
      node: t.field({ type: node, description: 'Item at this cursor.', resolve: (row) => row.node as never }),
    }),
  });
  const connection = builder.objectRef<Connection<Row>>(`${options.name}Connection`);
  connection.implement({
    description: options.description,
    fields: (t) => ({
      edges: t.expose('edges', { type: [edge], description: 'Items of this page.' }),
      pageInfo: t.expose('pageInfo', { type: pageInfo, description: 'Position of this page in the list.' }),
      ...(options.counted && {
        totalCount: t.field({
          type: 'SafeInt',
          ...ONE_STATEMENT,
          description: 'Number of items in the whole list.',
          resolve: (page) => page.count?.() ?? 0,
        }),
      }),
    }),
  });
  return connection;
}

type Args = ArgBuilder<ExtendedTypes>;

export function defineForwardArgs(arg: Args) {
  return {
    first: arg.int({
      description:
        'Number of items from the start of the list or after `after`. Defaults to 20, maximum 100 (`MAX_PAGE_SIZE`).',
    }),
    after: arg.string({ description: 'Cursor after which the page starts, exclusive.' }),
  };
}

export function definePageArgs(arg: Args) {
  return {
    ...defineForwardArgs(arg),
    last: arg.int({
      description:
        'Number of items from the end of the list or before `before`, maximum 100 (`MAX_PAGE_SIZE`). Not together with `first`.',
    }),
    before: arg.string({ description: 'Cursor before which the page ends, exclusive.' }),
  };
}

export type { ExtendedTypes };
