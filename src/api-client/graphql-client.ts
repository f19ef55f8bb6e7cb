import type { Issue } from '../errors/errors.ts';

/** A client such as every user of the API would write one: JSON over HTTP, subscriptions over server-sent events. */
export interface GraphQLClient {
  /** The data. Throws ApiError with the words of the errors where there are any, and UnreachableError. */
  request<Data>(query: string, variables?: Readonly<Record<string, unknown>>): Promise<Data>;
  /** Each event's data, until the server ends the subscription. Throws as `request` does, also where the connection breaks. */
  subscribe<Data>(query: string, variables: Readonly<Record<string, unknown>>): AsyncGenerator<Data, void>;
}

/** What the server said is wrong. Its message is written for the person who asked. */
export class ApiError extends Error {
  /** `extensions.code` of the first error, or null. */
  readonly code: string | null;
  readonly status: number;
  readonly details: RefusalDetails;

  constructor(message: string, code: string | null, status: number, details: RefusalDetails = {}) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.status = status;
    this.details = details;
  }
}

/** What some refusals tell beside their words. */
interface RefusalDetails {
  /** The first hundred. */
  readonly issues?: readonly Issue[];
  /** How many there are in all. */
  readonly issueCount?: number;
  /** Of Retry-After. */
  readonly retryAfterMs?: number;
}

/** No answer came, or not a whole one. Its message is written for the person who asked. */
export class UnreachableError extends Error {
  constructor(url: string, cause: unknown) {
    super(`The server at ${url} cannot be reached (${reasonOf(cause)}).`, { cause });
    this.name = 'UnreachableError';
  }
}

interface Answer {
  readonly data?: unknown;
  readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: string } }[];
}

/** The server says something every 12 s at the least; who is silent for longer is gone. */
const SILENCE_MS = 45_000;

/** `signal` calls off everything that is under way: what it does then throws its reason. */
export const createGraphQLClient = (url: string, key: string | null, signal: AbortSignal): GraphQLClient => {
  const post = async (accept: string, query: string, variables: object = {}): Promise<Response> => {
    try {
      return await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept, ...(key !== null && { 'x-api-key': key }) },
        body: JSON.stringify({ query, variables }),
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new UnreachableError(url, error);
    }
  };
  return {
    request: async (query, variables) => {
      const response = await post('application/json', query, variables);
      return dataOf(await answerOf(response, url), response.status);
    },
    subscribe: async function* subscribe(query, variables) {
      const response = await post('text/event-stream', query, variables);
      if (!response.ok || !response.body) {
        dataOf(await answerOf(response, url), response.status);
        throw notSluice(url, response.status);
      }
      try {
        for await (const { event, data } of serverSentEvents(withoutSilence(response.body))) {
          if (event === 'complete') return;
          if (event === 'next') yield dataOf(JSON.parse(data) as Answer, response.status);
        }
      } catch (error) {
        signal.throwIfAborted();
        throw error instanceof ApiError ? error : new UnreachableError(url, error);
      }
    },
  };
};

const notSluice = (url: string, status: number): ApiError =>
  new ApiError(`What answers at ${url} (HTTP ${status}) does not answer as Sluice does.`, null, status);

const answerOf = async (response: Response, url: string): Promise<Answer> => {
  const answer: unknown = await response.json().catch(() => null);
  if (typeof answer !== 'object' || answer === null || !('data' in answer || 'errors' in answer))
    throw notSluice(url, response.status);
  return answer as Answer;
};

const dataOf = <Data>({ data, errors }: Answer, status: number): Data => {
  if (errors) {
    const words = errors.map((error) => error.message).join('\n');
    throw new ApiError(words, errors[0]?.extensions?.code ?? null, status);
  }
  return data as Data;
};

/** The system's code, such as ECONNREFUSED, which fetch hides below its own error. */
const reasonOf = (error: unknown): string => {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
  }
  return error instanceof Error ? error.message : String(error);
};

/** Ends with an error where nothing comes for too long, as on a connection whose other end is gone without a word. */
async function* withoutSilence(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const silence = Promise.withResolvers<never>();
      const timer = setTimeout(() => silence.reject(new Error(`silent for ${SILENCE_MS / 1000} s`)), SILENCE_MS);
      const { done, value } = await Promise.race([reader.read(), silence.promise]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Blocks of lines with an empty line after each; a comment, which keeps the connection open, has neither event nor data. */
async function* serverSentEvents(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ event: string; data: string }, void> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const lines = block.split('\n');
      const field = (name: string): string =>
        lines
          .filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).trimStart())
          .join('\n');
      yield { event: field('event'), data: field('data') };
    }
  }
}
