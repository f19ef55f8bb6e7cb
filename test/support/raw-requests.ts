import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A connection on which a test writes the bytes of a request itself. */
export interface RawConnection {
  readonly socket: Socket;
  /** Everything that was received so far. */
  readonly received: () => string;
  /** Resolves with everything that was received when the server has closed the connection. */
  readonly closed: Promise<string>;
}

export async function openRawConnection(url: string): Promise<RawConnection> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).setNoDelay();
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString())).on('error', () => undefined);
  const closed = once(socket, 'close').then(() => text);
  await once(socket, 'connect');
  return { socket, received: () => text, closed };
}

/** Sends these bytes and returns everything that is received until the server closes the connection. */
export async function sendRaw(url: string, request: string | Buffer): Promise<string> {
  const { socket, closed } = await openRawConnection(url);
  socket.write(request);
  return closed;
}
