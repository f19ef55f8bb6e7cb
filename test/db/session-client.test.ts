import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SessionClient } from '../../src/db/session-client.ts';

const message = (type: string, body: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
};

const AUTHENTICATED = message('R', Buffer.alloc(4));
const READY = message('Z', Buffer.from('I'));
const SHUT_DOWN = message('E', Buffer.from('SFATAL\0C57P01\0Mterminating connection\0\0'));

/** Accepts a connection, and ends it at the first statement, as a server that is shut down does. */
let server: Server;
beforeAll(async () => {
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.write(Buffer.concat([AUTHENTICATED, READY]));
      // The second one belongs to no statement.
      socket.once('data', () => socket.end(Buffer.concat([SHUT_DOWN, SHUT_DOWN])));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => void server.close());

test('a session connection > fails, and does not end the process, when the server shuts down before it is ready', async () => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('It listens on no port.');
  const client = new SessionClient({ host: '127.0.0.1', port: address.port, user: 'sluice', database: 'sluice' });
  await expect(client.connect()).rejects.toMatchObject({ code: '57P01' });
});
