import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { allocationPath } from '../rest/requests.ts';
import type { Chance } from './chance.ts';

// Senders as a load balancer or a busy script are: each keeps its connections and uses them again and again.

interface Target {
  readonly url: string;
  readonly key: string;
}

export type Outcome =
  /** The server answered. */
  | { readonly status: number; readonly text: string }
  /** No connection was made, or a new one was closed before anything came: the request was not accepted, if it left no trace. */
  | { readonly refused: string }
  /** A connection that had carried requests before broke without an answer. */
  | { readonly broken: string };

export interface Sent {
  readonly idempotencyKey: string;
  readonly outcome: Outcome;
}

const day = '2026-01-25T00:00:00Z';

const recordOf = (idempotencyKey: string): string =>
  JSON.stringify({ timestamp: day, granularity: 'DAILY', 'element-name': idempotencyKey, value: '1' });

/** A body, and so the path and type that it is sent with. */
const formOf = (chance: Chance, key: string): { path: string; type: string; body: string } => {
  const stream = 'orderly';
  const forms = [
    { path: allocationPath(stream, 'sum'), type: 'application/json', body: `{"records":[${recordOf(key)}]}` },
    { path: allocationPath(stream, 'sum'), type: 'application/x-ndjson', body: `${recordOf(key)}\n` },
    {
      path: '/graphql',
      type: 'application/json',
      body: JSON.stringify({
        query:
          'mutation ($input: AllocationInput!) { allocationSum(input: $input) { ... on AllocationReceipt { replayed } } }',
        variables: {
          input: {
            stream,
            idempotencyKey: key,
            records: [{ timestamp: day, granularity: 'DAILY', elementName: key, value: '1' }],
          },
        },
      }),
    },
  ];
  return chance.pick(forms);
};

/** One request, its body in pieces with a pause between them where it has several. */
const send = (
  agent: Agent,
  { url, key }: Target,
  idempotencyKey: string,
  { path, type, body }: { path: string; type: string; body: string | AsyncIterable<string> },
): Promise<Outcome> =>
  new Promise((resolve) => {
    const sending = request(url + path, {
      method: 'POST',
      agent,
      headers: {
        'x-api-key': key,
        'content-type': type,
        'idempotency-key': idempotencyKey,
        ...(typeof body === 'string' && { 'content-length': String(Buffer.byteLength(body)) }),
      },
    });
    sending.on('error', (error) =>
      resolve(sending.reusedSocket ? { broken: String(error) } : { refused: String(error) }),
    );
    sending.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', (error) => resolve({ broken: String(error) }));
    });
    if (typeof body === 'string') {
      sending.end(body);
      return;
    }
    const write = async (): Promise<void> => {
      for await (const piece of body) sending.write(piece);
      sending.end();
    };
    write().catch((error: unknown) => resolve({ broken: String(error) }));
  });

/** Sends requests sequentially over keep-alive connections until it is stopped. Pauses before it retries a server that rejects a connection. */
export const keepSending = async (
  name: string,
  targets: () => readonly Target[],
  chance: Chance,
  isOver: () => boolean,
  onSent: (sent: Sent) => void,
): Promise<void> => {
  const agent = new Agent({ keepAlive: true, maxSockets: 2 });
  for (let number = 1; !isOver(); number += 1) {
    const idempotencyKey = `${name} ${number}`;
    const outcome = await send(agent, chance.pick(targets()), idempotencyKey, formOf(chance, idempotencyKey));
    onSent({ idempotencyKey, outcome });
    // Busy for a while, and then idle for about as long as servers keep connections.
    await delay('refused' in outcome ? 50 : chance.between(1, 200) === 1 ? 4000 : chance.between(0, 30));
  }
  agent.destroy();
};

/** Sends one upload that takes the given time. */
export const sendSlowly = (
  target: Target,
  idempotencyKey: string,
  lines: number,
  everyMs: number,
): Promise<Outcome> => {
  const pieces = async function* (): AsyncGenerator<string> {
    for (let line = 0; line < lines; line += 1) {
      yield `${recordOf(`${idempotencyKey} line ${line}`)}\n`;
      await delay(everyMs);
    }
  };
  const path = allocationPath('orderly', 'sum');
  return send(new Agent(), target, idempotencyKey, { path, type: 'application/x-ndjson', body: pieces() });
};
