import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { SessionClient } from '../../src/db/session-client.ts';

const message = (type: string, body: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
};

const AUTHENTICATED = message('R', Buffer.alloc(4));
const READY = message('Z', Buffer.from('I'));
const SHUT_DOWN = message('E', Buffer.from('SFATAL\0C57P01\0Mterminating connection\0\0'));
const VERSION = Buffer.concat([
  message('T', Buffer.from('\0\x01server_version_num\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0', 'latin1')),
  message('D', Buffer.from('\0\x01\0\0\0\x06150000', 'latin1')),
  message('C', Buffer.from('SHOW\0')),
  READY,
]);

let server: Server | undefined;
afterEach(() => void server?.close());

/** Connects a client to a server that answers each of its messages with the next of these buffers. */
const clientOf = async (...answers: readonly Buffer[]): Promise<SessionClient> => {
  const left = [...answers];
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => {
      const answer = left.shift();
      if (answer) socket.write(answer);
      else socket.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('It listens on no port.');
  return new SessionClient({ host: '127.0.0.1', port: address.port, user: 'sluice', database: 'sluice' });
};

// An 'error' event without a listener would end the process, and vitest would report it.
describe('a session connection > fails, and does not end the process, when the server shuts down', () => {
  test('before the connection is ready', async () => {
    // The second one belongs to no statement.
    const client = await clientOf(Buffer.concat([AUTHENTICATED, READY]), Buffer.concat([SHUT_DOWN, SHUT_DOWN]));
    await expect(client.connect()).rejects.toMatchObject({ code: '57P01' });
  });

  test('at the time at which it is connected', async () => {
    const client = await clientOf(Buffer.concat([AUTHENTICATED, READY, SHUT_DOWN]));
    await expect(client.connect()).rejects.toThrow(/connection error/);
  });

  test('after the connection lost its listeners', async () => {
    const client = await clientOf(
      Buffer.concat([AUTHENTICATED, READY]),
      VERSION,
      Buffer.concat([SHUT_DOWN, SHUT_DOWN]),
    );
    await client.connect();
    client.on('error', () => undefined);
    client.removeAllListeners('error');
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '57P01' });
    await client.end().catch(() => undefined);
  });
});
