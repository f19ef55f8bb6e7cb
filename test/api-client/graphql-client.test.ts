import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { createGraphQLClient, type GraphQLClient } from '../../src/api-client/graphql-client.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A client of a server that responds as the listener does. */
const startClient = async (
  listener: (request: IncomingMessage, response: ServerResponse) => unknown,
  signal = new AbortController().signal,
) => {
  const server = createServer((request, response) => void listener(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, client: createGraphQLClient({ url, key: 'key', signal, maxSilenceMs: 1500 }) };
};

const EVENT_STREAM = { 'content-type': 'text/event-stream' };
const event = (data: unknown): string => `event: next\ndata: ${JSON.stringify(data)}\n\n`;

const readAll = async (client: GraphQLClient): Promise<unknown[]> => {
  const all: unknown[] = [];
  for await (const data of client.subscribe('subscription { n }', {})) all.push(data);
  return all;
};

describe('GraphQL client', () => {
  test('yields each event, however it is split into chunks, until the server completes the stream', async () => {
    const bytes = Buffer.from(`:\n\n${event({ data: 'é' })}:\n\n${event({ data: 2 })}event: complete\ndata:\n\n`);
    const { client } = await startClient(async (_, response) => {
      response.writeHead(200, EVENT_STREAM);
      for (const byte of bytes) {
        response.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      response.end();
    });
    expect(await readAll(client)).toEqual(['é', 2]);
  });

  test('fails when the connection is silent, but not while comments arrive', async () => {
    const { client, url } = await startClient((_, response) => {
      response.writeHead(200, EVENT_STREAM);
      let comments = 0;
      const timer = setInterval(() => {
        response.write(comments === 5 ? event({ data: 'later' }) : ':\n\n');
        if ((comments += 1) > 5) clearInterval(timer);
      }, 400);
    });
    const events = client.subscribe('subscription { n }', {});
    expect(await events.next()).toEqual({ done: false, value: 'later' });
    await expect(events.next()).rejects.toThrow(`The server at ${url} cannot be reached (silent for 1.5 s).`);
  });

  test('throws ApiError with code and status when the response has errors', async () => {
    const { client } = await startClient((_, response) => {
      response.writeHead(503, EVENT_STREAM);
      response.end(event({ errors: [{ message: 'Retry later.', extensions: { code: 'UNAVAILABLE' } }] }));
    });
    await expect(client.request('{ n }')).rejects.toMatchObject({
      name: 'ApiError',
      message: 'Retry later.',
      code: 'UNAVAILABLE',
      status: 503,
    });
  });

  test('asks whether this is a Sluice server when the response is not an event stream', async () => {
    const { client, url } = await startClient((_, response) => response.writeHead(502).end('<h1>Bad gateway</h1>'));
    await expect(client.request('{ n }')).rejects.toMatchObject({
      message: `Unexpected response from ${url} (HTTP 502). Is this a Sluice server?`,
      status: 502,
    });
  });

  test('throws UnreachableError when the response breaks off', async () => {
    const { client } = await startClient((_, response) => {
      response.writeHead(200, EVENT_STREAM);
      response.write(event({ data: 1 }), () => response.destroy());
    });
    await expect(readAll(client)).rejects.toMatchObject({ name: 'UnreachableError' });
  });

  test('throws the reason of the signal when it is aborted', async () => {
    const stop = new AbortController();
    const { client } = await startClient((_, response) => {
      response.writeHead(200, EVENT_STREAM).write(':\n\n', () => stop.abort('SIGINT'));
    }, stop.signal);
    await expect(readAll(client)).rejects.toBe('SIGINT');
  });
});
