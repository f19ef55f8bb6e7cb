import { EventSourceParserStream } from 'eventsource-parser/stream';
import { ApiError, unexpectedResponse, UnreachableError } from './errors.ts';

type Variables = Readonly<Record<string, unknown>>;

/** A client of Sluice's GraphQL API. Both methods throw ApiError if the response has errors, UnreachableError if it is incomplete. */
export interface GraphQLClient {
  /** Returns the data of the response. */
  request<Data>(query: string, variables?: Variables): Promise<Data>;
  /** Yields the data of each event until the server ends the subscription. */
  subscribe<Data>(query: string, variables: Variables): AsyncGenerator<Data, void>;
}

export interface GraphQLClientOptions {
  /** The address of the server, without `/graphql`. */
  readonly url: string;
  readonly key: string;
  /** Aborts all operations, which then throw its reason. */
  readonly signal: AbortSignal;
  /** Time without a byte after which an operation fails. Defaults to 45 s: the server sends at least a comment every 12 s. */
  readonly maxSilenceMs?: number;
}

interface GraphQLResult {
  readonly data?: unknown;
  readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: string } }[];
}

/** All operations use server-sent events: a query or mutation is a stream of one event. */
export function createGraphQLClient({ url, key, signal, maxSilenceMs = 45_000 }: GraphQLClientOptions): GraphQLClient {
  async function* execute<Data>(query: string, variables: Variables): AsyncGenerator<Data, void> {
    // A half-open connection sends nothing and never ends.
    const silence = new AbortController();
    const fail = (): void => silence.abort(new Error(`silent for ${maxSilenceMs / 1000} s`));
    let timer: NodeJS.Timeout | undefined;
    try {
      const { status, headers, body } = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream', 'x-api-key': key },
        body: JSON.stringify({ query, variables }),
        signal: AbortSignal.any([signal, silence.signal]),
      });
      if (!body || !headers.get('content-type')?.startsWith('text/event-stream')) throw unexpectedResponse(url, status);
      timer = setTimeout(fail, maxSilenceMs);
      const decoder = new TextDecoder();
      const decode = new TransformStream<Uint8Array, string>({
        transform: (chunk, controller) => {
          timer?.refresh();
          controller.enqueue(decoder.decode(chunk, { stream: true }));
        },
      });
      for await (const { event, data } of body.pipeThrough(decode).pipeThrough(new EventSourceParserStream())) {
        if (event === 'next') yield readData<Data>(JSON.parse(data) as GraphQLResult, status);
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof ApiError ? error : new UnreachableError(url, error);
    } finally {
      clearTimeout(timer);
    }
  }
  return {
    request: async <Data>(query: string, variables: Variables = {}) => {
      for await (const data of execute<Data>(query, variables)) return data;
      throw unexpectedResponse(url, 200);
    },
    subscribe: execute,
  };
}

/** Throws ApiError if the result has errors. */
function readData<Data>({ data, errors }: GraphQLResult, status: number): Data {
  if (!errors) return data as Data;
  const message = errors.map((error) => error.message).join('\n');
  throw new ApiError(message, errors[0]?.extensions?.code ?? null, status);
}
