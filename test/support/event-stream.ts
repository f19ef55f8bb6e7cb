import { setTimeout as delay } from 'node:timers/promises';
import type { GraphQLAnswer } from './server.ts';

/** A subscription over SSE, read with plain fetch. */
export interface EventStream<Data> {
  readonly status: number;
  /** All results so far. */
  readonly results: readonly GraphQLAnswer<Data>[];
  /** Resolves when the stream has ended: true after `event: complete`, false if the connection broke. */
  readonly ended: Promise<boolean>;
  /** Returns the first result that fits, including earlier ones. Throws if none arrives in time. */
  until(fits: (result: GraphQLAnswer<Data>) => boolean, deadlineMs?: number): Promise<GraphQLAnswer<Data>>;
  close(): void;
}

export interface EventStreamRequest {
  readonly url: string;
  readonly key: string | null;
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly operationName?: string;
}

export async function openEventStream<Data>(request: EventStreamRequest): Promise<EventStream<Data>> {
  const leaving = new AbortController();
  const response = await fetch(`${request.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      ...(request.key !== null && { 'x-api-key': request.key }),
    },
    body: JSON.stringify({
      query: request.query,
      variables: request.variables,
      operationName: request.operationName,
    }),
    signal: leaving.signal,
  });
  const results: GraphQLAnswer<Data>[] = [];
  const read = async (): Promise<boolean> => {
    let isComplete = false;
    let text = '';
    try {
      for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const events = text.split('\n\n');
        text = events.pop() ?? '';
        for (const event of events) {
          if (event.startsWith('event: complete')) isComplete = true;
          const data = /^data: (.+)$/m.exec(event)?.[1];
          if (data !== undefined) results.push(JSON.parse(data) as GraphQLAnswer<Data>);
        }
      }
    } catch {
      return isComplete;
    }
    return isComplete;
  };
  const ended = read();
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  return {
    status: response.status,
    results,
    ended,
    until: async (fits, deadlineMs = 30_000) => {
      const deadline = performance.now() + deadlineMs;
      for (;;) {
        // Read before the results are searched: after the end of the stream none is added.
        const isLast = isOver || performance.now() > deadline;
        const found = results.find(fits);
        if (found) return found;
        if (isLast) {
          throw new Error(`No such result came; those that did: ${JSON.stringify(results)}`);
        }
        await delay(10);
      }
    },
    close: () => leaving.abort(),
  };
}
