import type { GraphQLClient } from '../api-client/graphql-client.ts';

export interface ListQuery {
  /** The field of Query that has the list, with its arguments, and their types. Defaults to Query itself. */
  readonly owner?: { readonly field: string; readonly types: string };
  /** A field that is a connection. */
  readonly field: string;
  /** GraphQL types of its arguments besides `first` and `after`. */
  readonly types: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, unknown>>;
  /** Fields of an item. */
  readonly selection: string;
  readonly limit: number;
}

export interface List<Item> {
  readonly items: readonly Item[];
  /** Whether there are items after the limit. */
  readonly hasMore: boolean;
}

interface Page<Item> {
  readonly edges: readonly { readonly node: Item }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

const PAGE_SIZE = 100;

/** Fetches page after page until the list or the limit ends. The list is empty if its owner does not exist. */
export async function fetchList<Item>(client: GraphQLClient, query: ListQuery): Promise<List<Item>> {
  const { owner, field, types, values, selection, limit } = query;
  const declared = Object.entries(types).map(([name, type]) => `, $${name}: ${type}`);
  const passed = Object.keys(types).map((name) => `, ${name}: $${name}`);
  const list = `list: ${field}(first: $first, after: $after${passed.join('')}) {
    edges { node { ${selection} } }
    pageInfo { hasNextPage endCursor }
  }`;
  const document = `query ($first: Int, $after: String${declared.join('')}${owner ? `, ${owner.types}` : ''}) {
    ${owner ? `owner: ${owner.field} { ${list} }` : list}
  }`;
  const items: Item[] = [];
  for (let after: string | null = null; ;) {
    const first = Math.min(PAGE_SIZE, limit - items.length);
    const data: { owner?: { list: Page<Item> } | null; list?: Page<Item> } = await client.request(document, {
      ...values,
      first,
      after,
    });
    const page = data.list ?? data.owner?.list;
    items.push(...(page?.edges.map(({ node }) => node) ?? []));
    const hasMore = page?.pageInfo.hasNextPage ?? false;
    if (!hasMore || items.length >= limit) return { items, hasMore };
    after = page?.pageInfo.endCursor ?? null;
  }
}
