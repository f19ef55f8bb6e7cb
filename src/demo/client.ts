/** A client such as every user of the API would write one: JSON over HTTP, subscriptions over server-sent events. */
export interface DemoClient {
  /** The data. Throws with the words of the errors where there are any. */
  request<Data>(query: string, variables?: Readonly<Record<string, unknown>>): Promise<Data>;
  /** Each event's data, until the server ends the subscription. */
  subscribe<Data>(query: string, variables: Readonly<Record<string, unknown>>): AsyncGenerator<Data, void>;
}

interface Answer {
  readonly data?: unknown;
  readonly errors?: readonly { readonly message: string }[];
}

export const createClient = (url: string, key: string, signal: AbortSignal): DemoClient => {
  const post = (accept: string, query: string, variables: object = {}): Promise<Response> =>
    fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept, 'x-api-key': key },
      body: JSON.stringify({ query, variables }),
      signal,
    });
  return {
    request: async (query, variables) => {
      const response = await post('application/json', query, variables);
      return dataOf((await response.json()) as Answer);
    },
    subscribe: async function* subscribe(query, variables) {
      const response = await post('text/event-stream', query, variables);
      if (!response.ok || !response.body) throw new Error(`The subscription was refused (HTTP ${response.status}).`);
      for await (const { event, data } of serverSentEvents(response.body)) {
        if (event === 'complete') return;
        if (event === 'next') yield dataOf(JSON.parse(data) as Answer);
      }
    },
  };
};

const dataOf = <Data>({ data, errors }: Answer): Data => {
  if (errors) throw new Error(errors.map((error) => error.message).join('\n'));
  return data as Data;
};

/** Blocks of lines with an empty line after each; a comment, which keeps the connection open, has neither event nor data. */
async function* serverSentEvents(
  body: ReadableStream<Uint8Array>,
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
