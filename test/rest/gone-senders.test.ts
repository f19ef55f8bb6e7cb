import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { readChunks } from '../../src/http/request-body.ts';
import { createRequestMemory } from '../../src/http/request-memory.ts';

// A client that disconnects when its complete body is in flight and not read yet. The decoder would wait forever for the rest, with
// a timer that keeps the server from stopping, and with the batches staged for the request.

const PACE = { minBytesPerSecond: 0, measuredMs: 30_000, maxMs: 3_600_000 };
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** The request as the server receives it, and its socket. */
const receive = async (body: Buffer, encoding: string) => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  closing.push(() => server.close());
  await once(server, 'listening');
  const arrived = once(server, 'request') as Promise<[IncomingMessage]>;
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: ${encoding}\r\nContent-Length: ${body.length}\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), body]));
  const [request] = await arrived;
  return { request, socket };
};

describe.each([
  ['identity', Buffer.from('short')],
  ['gzip', gzipSync(Buffer.from('short'))],
  ['br', brotliCompressSync(Buffer.from('short'))],
])('body in %s', (encoding, body) => {
  test('throws if the client disconnected before it was read', async () => {
    const sent = await receive(body, encoding);
    sent.socket.destroy();
    // Its 'close' event has been emitted before and is not emitted again.
    await once(sent.request.socket, 'close');
    expect([sent.request.complete, sent.request.readableEnded]).toEqual([true, false]);
    await expect(readChunks(sent.request, PACE, createRequestMemory(100_000_000).open()).next()).rejects.toThrow(
      'The body broke off.',
    );
  });
});

test('compressed body > is complete or throws when the client disconnects while it is read', async () => {
  const sent = await receive(
    gzipSync(Buffer.from(Array.from({ length: 400_000 }, (_, n) => `${n} `).join(''))),
    'gzip',
  );
  const chunks = readChunks(sent.request, PACE, createRequestMemory(100_000_000).open());
  await chunks.next();
  sent.socket.destroy();
  const rest = async (): Promise<string> => {
    for await (const _ of chunks);
    return 'whole';
  };
  expect(await rest().catch((error: Error) => error.message)).toMatch(/^(?:The body broke off\.|whole)$/);
});
