import type { GraphQLAnswer, TestServer } from '../support/server.ts';

// Requests to streams as users send them, and their answers flattened, so that a test can look at either kind of result.

export interface FilterEntry {
  readonly dimension: string;
  readonly values: readonly string[];
}

export interface RecordInput {
  readonly timestamp: string;
  readonly granularity: string;
  readonly filter?: readonly FilterEntry[] | null;
  readonly elementName?: string | null;
  readonly value?: string | number;
}

export type WriteKind = 'Sum' | 'Replace' | 'Delete';

export interface WriteAnswer {
  readonly __typename: string;
  readonly replayed?: boolean;
  readonly stream?: { readonly id: string; readonly name: string };
  readonly operation?: { readonly id: string; readonly insertedRecords: number; readonly hiddenRecords: number };
  readonly code?: string;
  readonly message?: string;
  readonly issues?: readonly { readonly path: readonly string[]; readonly code: string; readonly message: string }[];
  readonly issueCount?: number;
  readonly limit?: number;
  readonly actual?: number;
}

export interface WriteInput {
  readonly stream: string;
  readonly records: readonly RecordInput[];
  readonly idempotencyKey?: string | null;
  /** Only for a replace. */
  readonly scope?: ScopeInput | null;
}

export interface ScopeInput {
  readonly from: string;
  readonly to: string;
  readonly filter?: readonly FilterEntry[] | null;
  readonly elementName?: string | null;
}

const ANSWER = `__typename
  ... on AllocationReceipt { replayed stream { id name } operation { id insertedRecords hiddenRecords } }
  ... on UserError { code message }
  ... on ValidationError { issues { path code message } issueCount }
  ... on LimitExceededError { limit actual }`;

const documentOf = (kind: WriteKind): string => {
  const type = kind === 'Delete' ? 'AllocationDeleteInput' : 'AllocationInput';
  return `mutation ($input: ${type}!) { answer: allocation${kind}(input: $input) { ${ANSWER} } }`;
};

/** Returns the result, a receipt or an error. Throws if there are top-level errors. */
export const write = async (
  server: TestServer,
  kind: WriteKind,
  input: WriteInput,
  key: string = server.key,
): Promise<WriteAnswer> => (await server.graphql<{ answer: WriteAnswer }>(documentOf(kind), { input }, key)).answer;

/** The same with top-level errors kept, for input of a wrong type. */
export const tryWrite = (
  server: Pick<TestServer, 'request'>,
  kind: WriteKind,
  input: unknown,
): Promise<GraphQLAnswer<{ answer: WriteAnswer }> & { readonly status: number }> =>
  server.request<{ answer: WriteAnswer }>(documentOf(kind), { input });

/** The code of the only issue of a rejected write, after its path, or what it was instead. */
export const verdict = (answer: WriteAnswer): string =>
  answer.issues
    ? answer.issues.map((issue) => `${issue.path.join('.')}: ${issue.code}`).join(', ')
    : (answer.code ?? 'taken');

export const deleteStream = async (
  server: TestServer,
  name: string,
  key: string = server.key,
): Promise<{ readonly __typename: string; readonly deletedId?: string }> =>
  (
    await server.graphql<{ deleteStream: { __typename: string; deletedId?: string } }>(
      `mutation ($name: String!) { deleteStream(name: $name) { __typename ... on DeletedStream { deletedId } } }`,
      { name },
      key,
    )
  ).deleteStream;

export interface LiveRecord {
  readonly timestamp: string;
  readonly granularity: string;
  readonly filter: readonly FilterEntry[];
  readonly elementName: string;
  readonly value: string;
}

interface RecordsAnswer {
  readonly stream: {
    readonly records: {
      readonly edges: readonly { readonly node: LiveRecord }[];
      readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
    };
  } | null;
}

/** Reads all live records page by page, in the order of the list; null if there is no such stream. */
export const readRecords = async (
  server: Pick<TestServer, 'graphql'>,
  stream: string,
  options: { readonly key?: string; readonly pageSize?: number } = {},
): Promise<LiveRecord[] | null> => {
  const found: LiveRecord[] = [];
  let after: string | null = null;
  for (;;) {
    const answer: RecordsAnswer = await server.graphql<RecordsAnswer>(
      `query ($stream: String!, $first: Int, $after: String) { stream(name: $stream) {
        records(first: $first, after: $after) {
          edges { node { timestamp granularity filter { dimension values } elementName value } }
          pageInfo { hasNextPage endCursor } } } }`,
      { stream, first: options.pageSize ?? 100, after },
      options.key,
    );
    if (!answer.stream) return null;
    const { edges, pageInfo } = answer.stream.records;
    found.push(...edges.map((edge) => edge.node));
    if (!pageInfo.hasNextPage) return found;
    after = pageInfo.endCursor;
  }
};

/** Live values by a short key, for streams without dimensions: `2026-01-25T00:00:00Z hooli` -> `12.5`. */
export const readValues = async (server: TestServer, stream: string): Promise<Record<string, string>> =>
  Object.fromEntries(
    ((await readRecords(server, stream)) ?? []).map((record) => [
      `${record.timestamp} ${record.elementName}`,
      record.value,
    ]),
  );
