import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { Held } from '../http/request-memory.ts';
import { checkJsonBounds } from '../lib/json-bounds.ts';

interface Receiver {
  readonly socket: WebSocket;
  /** Whether connection_init brought a valid key. */
  readonly isKnown: boolean;
}

/** Bytes that a socket may send before its key is known: connection_init, and pings. */
const MAX_UNKNOWN_BYTES = 16 * 1024;
/** How long a refused socket may take to read why. */
const GOODBYE_MS = 1000;
/** Of RFC 6455's registry. The clients of graphql-ws connect again after 1013. */
const TOO_BIG = 1009;
export const TRY_AGAIN_LATER = 1013;

export interface ReceivedMessages {
  /** A message is whole. Returns what to call when it has been answered, or null if the socket is being closed. */
  begin(message: RawData): (() => void) | null;
  end(): void;
}

/**
 * Counts what a socket sends: little before its key is known, and then as memory of the server. ws itself would hold
 * messages up to the maximum of valid keys.
 */
export const limitReceived = (receiver: Receiver, connection: Duplex, held: Held): ReceivedMessages => {
  const { socket } = receiver;
  let unknownBytes = 0;
  let partialBytes = 0;
  let answeredBytes = 0;
  let isRefused = false;
  const refuse = (code: number, reason: string): void => {
    isRefused = true;
    socket.close(code, reason);
    // What else it sends is thrown away. A connection that is closed with unread bytes is reset, and the client would not
    // see the close frame.
    connection.removeAllListeners('data').resume();
    setTimeout(() => socket.terminate(), GOODBYE_MS).unref();
  };
  const count = (): void => {
    try {
      held.resize(partialBytes + answeredBytes);
    } catch {
      refuse(TRY_AGAIN_LATER, 'Try again later');
    }
  };
  connection.prependListener('data', (chunk: Buffer) => {
    if (isRefused) return;
    partialBytes += chunk.length;
    if (!receiver.isKnown) unknownBytes += chunk.length;
    if (unknownBytes > MAX_UNKNOWN_BYTES) refuse(TOO_BIG, 'connection_init is too large');
    else count();
  });
  return {
    begin: (message) => {
      if (isRefused) return null;
      const bytes = Buffer.isBuffer(message) ? message.length + parsedBytesOf(message) : 0;
      partialBytes = 0;
      answeredBytes += bytes;
      count();
      if (isRefused) return null;
      return () => {
        answeredBytes -= bytes;
        if (!isRefused) count();
      };
    },
    end: () => {
      isRefused = true;
      held.release();
    },
  };
};

/** A message beyond the bounds is not parsed. */
const parsedBytesOf = (message: Buffer): number => {
  try {
    return checkJsonBounds(message).parsedBytes;
  } catch {
    return 0;
  }
};
