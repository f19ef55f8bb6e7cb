import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { Held } from '../http/request-memory.ts';
import { checkJsonBounds } from '../lib/json-bounds.ts';

interface Receiver {
  readonly socket: WebSocket;
  /** Whether connection_init contained a valid key. */
  readonly isAuthenticated: boolean;
}

/** Maximum of bytes that a socket may send before it is authenticated: connection_init and pings. */
const MAX_UNAUTHENTICATED_BYTES = 16 * 1024;
/** Time that the client of a rejected socket has to read the close frame. */
const CLOSE_MS = 1000;
/** Close codes of RFC 6455 and its registry. Clients of graphql-ws reconnect after 1013. */
const TOO_BIG = 1009;
export const TRY_AGAIN_LATER = 1013;

export interface ReceivedMessages {
  /** Called with a whole message. Returns a function to call when the message was handled, or null if the socket is closing. */
  begin(message: RawData): (() => void) | null;
  end(): void;
}

/**
 * Limits the bytes of a socket before it is authenticated, and counts its messages as memory of the server. ws itself buffers a
 * message up to the limit for authenticated clients.
 */
export function limitReceived(receiver: Receiver, duplex: Duplex, held: Held): ReceivedMessages {
  const { socket } = receiver;
  let unauthenticatedBytes = 0;
  let partialBytes = 0;
  let handledBytes = 0;
  let isRejected = false;

  function reject(code: number, reason: string): void {
    isRejected = true;
    socket.close(code, reason);
    // Discard further bytes: closing a connection with unread bytes resets it, and the client would not receive the close frame.
    duplex.removeAllListeners('data').resume();
    setTimeout(() => socket.terminate(), CLOSE_MS).unref();
  }

  function updateMemory(): void {
    try {
      held.resize(partialBytes + handledBytes);
    } catch {
      reject(TRY_AGAIN_LATER, 'Try again later');
    }
  }

  duplex.prependListener('data', (chunk: Buffer) => {
    if (isRejected) return;
    partialBytes += chunk.length;
    if (!receiver.isAuthenticated) unauthenticatedBytes += chunk.length;
    if (unauthenticatedBytes > MAX_UNAUTHENTICATED_BYTES) reject(TOO_BIG, 'connection_init is too large');
    else updateMemory();
  });
  return {
    begin: (message) => {
      if (isRejected) return null;
      const bytes = Buffer.isBuffer(message) ? message.length + measureParsed(message) : 0;
      partialBytes = 0;
      handledBytes += bytes;
      updateMemory();
      if (isRejected) return null;
      return () => {
        handledBytes -= bytes;
        if (!isRejected) updateMemory();
      };
    },
    end: () => {
      isRejected = true;
      held.release();
    },
  };
}

/** Returns the memory that the parsed message takes. A message that exceeds the JSON bounds is not parsed. */
function measureParsed(message: Buffer): number {
  try {
    return checkJsonBounds(message).parsedBytes;
  } catch {
    return 0;
  }
}
