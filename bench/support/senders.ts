import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { API_KEY } from './server-process.ts';

// Bodies are made before the clock runs, and go over connections that are kept: the sender is to cost little beside what it
// measures.

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export const post = (
  url: string,
  path: string,
  body: Buffer | Iterable<Buffer>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const sending = request(`${url}${path}`, {
      agent,
      method: 'POST',
      headers: {
        'x-api-key': API_KEY,
        'content-type': 'application/json',
        ...(Buffer.isBuffer(body) && { 'content-length': body.length }),
        ...headers,
      },
    });
    sending.on('error', reject);
    sending.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    });
    if (Buffer.isBuffer(body)) sending.end(body);
    else void writeAll(sending, body).catch(reject);
  });

const writeAll = async (sending: ReturnType<typeof request>, chunks: Iterable<Buffer>): Promise<void> => {
  for (const chunk of chunks) if (!sending.write(chunk)) await once(sending, 'drain');
  sending.end();
};

/** Asks over GraphQL; throws where an error or a member of a union other than success comes back. */
export const ask = async <Data>(url: string, query: string, variables: object = {}): Promise<Data> => {
  const { text } = await post(url, '/graphql', Buffer.from(JSON.stringify({ query, variables })));
  const { data, errors } = JSON.parse(text) as { data?: Data; errors?: unknown };
  if (errors !== undefined || data == null) throw new Error(`${query} ${text}`);
  return data;
};

/** Calls `send` again and again from so many senders for so long; answers how many calls a second ended well. */
export const measureRate = async (
  senders: number,
  seconds: number,
  send: (call: number) => Promise<unknown>,
): Promise<number> => {
  let calls = 0;
  let done = 0;
  const begun = performance.now();
  const until = begun + seconds * 1000;
  const one = async (): Promise<void> => {
    while (performance.now() < until) {
      calls += 1;
      await send(calls);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: senders }, one));
  return (done / (performance.now() - begun)) * 1000;
};
