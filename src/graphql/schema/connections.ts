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
  /** Counted only where it is asked for. */
  readonly count?: (() => Promise<number>) | undefined;
}

interface PageInfo {
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
  readonly startCursor: string | null;
  readonly endCursor: string | null;
}

/** Relay's connection of a page; the cursor of a row holds its sort key. */
export const toConnection = <Row>(
  page: Page<Row>,
  keyOf: (row: Row) => readonly string[],
  count?: () => Promise<number>,
): Connection<Row> => {
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
};

export const addPageInfo = (builder: Builder): Ref<PageInfo> =>
  builder.objectRef<PageInfo>('PageInfo').implement({
    description: 'Where a page lies in its list, as Relay defines it.',
    fields: (t) => ({
      hasNextPage: t.exposeBoolean('hasNextPage', { description: 'Whether rows follow this page.' }),
      hasPreviousPage: t.exposeBoolean('hasPreviousPage', { description: 'Whether rows precede this page.' }),
      startCursor: t.exposeString('startCursor', {
        nullable: true,
        description: 'The cursor of the first row; null on an empty page.',
      }),
      endCursor: t.exposeString('endCursor', {
        nullable: true,
        description: 'The cursor of the last row; null on an empty page.',
      }),
    }),
  });

/** Makes `<Name>Connection` and `<Name>Edge` for a node type. */
export const connectionOf = <Row>(
  builder: Builder,
  pageInfo: Ref<PageInfo>,
  node: Ref<Row>,
  options: { readonly name: string; readonly description: string; readonly counted: boolean },
): Ref<Connection<Row>> => {
  const edge = builder.objectRef<Edge<Row>>(`${options.name}Edge`);
  edge.implement({
    description: 'A row with its place in the list.',
    fields: (t) => ({
      cursor: t.exposeString('cursor', { description: 'Pass it as after or before to go on from here.' }),
      node: t.field({ type: node, description: 'The row.', resolve: (row) => row.node as never }),
    }),
  });
  const connection = builder.objectRef<Connection<Row>>(`${options.name}Connection`);
  connection.implement({
    description: options.description,
    fields: (t) => ({
      edges: t.field({ type: [edge], description: 'The rows of the page.', resolve: (page) => [...page.edges] }),
      pageInfo: t.field({ type: pageInfo, description: 'Where the page lies.', resolve: (page) => page.pageInfo }),
      ...(options.counted && {
        totalCount: t.field({
          type: 'SafeInt',
          ...ONE_STATEMENT,
          description: 'How many rows the whole list has.',
          resolve: (page) => page.count?.() ?? 0,
        }),
      }),
    }),
  });
  return connection;
};

type Args = ArgBuilder<ExtendedTypes>;

export const forwardArgs = (arg: Args) => ({
  first: arg.int({ description: 'How many rows: 20 where left out, 100 at most (a setting).' }),
  after: arg.string({ description: 'Only rows behind this cursor.' }),
});

export const bothWaysArgs = (arg: Args) => ({
  ...forwardArgs(arg),
  last: arg.int({ description: 'How many rows from the end of the list, 100 at most (a setting); not with first.' }),
  before: arg.string({ description: 'Only rows before this cursor.' }),
});

export type { ExtendedTypes };
