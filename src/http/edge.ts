import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../accounts/authenticate.ts';
import { OverloadedError } from '../errors/errors.ts';
import { type Caller, type Callers, createCallers, describeProblem } from './callers.ts';
import { BodyError, isEncoded, type Pace, readBody } from './request-body.ts';
import type { Held, RequestMemory } from './request-memory.ts';
import type { SlowRequests } from './slow-requests.ts';

/** The limits that depend on the key of a request. Every request passes them first. */
export interface Edge extends Callers {
  readonly memory: RequestMemory;
  /** Requests without a valid key that are being served. */
  readonly anonymous: number;
  /** Counts an anonymous request until its response is complete. Throws OverloadedError beyond the maximum. */
  admit(caller: Caller, response: ServerResponse): void;
  /** Reads the body within the limits of the client. Throws BodyError and OverloadedError. */
  readBody(request: IncomingMessage, caller: Caller, held: Held): Promise<Buffer>;
}

export interface EdgeOptions {
  readonly authenticator: Authenticator;
  readonly memory: RequestMemory;
  readonly maxBodyBytes: number;
  readonly pace: Pace;
  readonly maxAnonymous: number;
  /** Maximum time for headers and body of an anonymous request together. */
  readonly anonymousMs: number;
  readonly slowRequests: Pick<SlowRequests, 'headersMs'>;
}

/** Maximum body of an anonymous request. Introspection and the documents of GraphiQL are smaller. */
const ANONYMOUS_BYTES = 64 * 1024;
const RETRY_AFTER_SECONDS = 1;
const NO_ENCODING = { 'accept-encoding': 'identity' };

export function createEdge(options: EdgeOptions): Edge {
  const { memory, maxBodyBytes, pace, maxAnonymous, anonymousMs, slowRequests } = options;
  let anonymous = 0;

  const readAnonymous = async (request: IncomingMessage, problem: string, held: Held): Promise<Buffer> => {
    if (isEncoded(request)) {
      throw new BodyError(415, `${problem} Without a valid key, a body may not have a Content-Encoding.`, NO_ENCODING);
    }
    const leftMs = anonymousMs - slowRequests.headersMs(request.socket);
    const limits = {
      maxBytes: Math.min(ANONYMOUS_BYTES, maxBodyBytes),
      pace: { minBytesPerSecond: 0, measuredMs: anonymousMs, maxMs: leftMs },
      memory,
    };
    try {
      return await readBody(request, limits, held);
    } catch (error) {
      if (!(error instanceof BodyError)) throw error;
      if (error.status === 413) {
        throw new BodyError(413, `${problem} Without a valid key, a body may have ${limits.maxBytes} bytes.`);
      }
      if (error.status === 408) {
        const seconds = anonymousMs / 1000;
        throw new BodyError(
          408,
          `${problem} Without a valid key, headers and body may take ${seconds} seconds together.`,
        );
      }
      throw error;
    }
  };

  return {
    ...createCallers(options.authenticator),
    memory,
    get anonymous() {
      return anonymous;
    },
    admit: ({ principal }, response) => {
      if (principal) return;
      if (anonymous >= maxAnonymous) {
        const message = `The server already serves ${maxAnonymous} requests without a valid key. Send a valid key, or retry in a second.`;
        throw new OverloadedError(message, RETRY_AFTER_SECONDS);
      }
      anonymous += 1;
      response.once('close', () => {
        anonymous -= 1;
      });
      // The response is held in memory until the client has taken it.
      response.setTimeout(2 * anonymousMs, () => response.destroy());
    },
    readBody: (request, caller, held) =>
      caller.principal
        ? readBody(request, { maxBytes: maxBodyBytes, pace, memory }, held)
        : readAnonymous(request, describeProblem(caller.problem), held),
  };
}
