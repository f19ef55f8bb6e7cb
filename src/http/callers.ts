import type { IncomingHttpHeaders } from 'node:http';
import type { Authenticator } from '../accounts/authenticate.ts';
import type { Principal } from '../accounts/keys.ts';
import { isWellFormed } from '../accounts/secrets.ts';
import { secretFromHeaders, secretFromPayload } from './keys-in-requests.ts';
import { recordAccount } from './request-context.ts';

/** Why a request has no account. */
export type KeyProblem = 'MISSING' | 'MISTYPED' | 'UNKNOWN';

/** The account of a valid key, or an anonymous caller. */
export type Caller =
  | { readonly principal: Principal; readonly secret: string }
  | { readonly principal: null; readonly problem: KeyProblem };

/** Finds out who sends a request. Nothing else of it has been read by then. */
export interface Callers {
  /** Throws what the database throws, and OverloadedError if too many unknown keys wait for their look-up. */
  ofHeaders(headers: IncomingHttpHeaders): Promise<Caller>;
  /** The same for the payload of connection_init. */
  ofPayload(payload: Readonly<Record<string, unknown>> | undefined): Promise<Caller>;
}

const KEY_PROBLEMS: Readonly<Record<KeyProblem, string>> = {
  MISSING: 'No key was sent: send a valid one as X-API-Key, or as Authorization: Bearer <key>.',
  MISTYPED: 'The key is not valid: its checksum is wrong, so it was mistyped or cut off.',
  UNKNOWN: 'The key is not valid: it is unknown, or it was revoked.',
};

/** At most 123 bytes, so that a close frame of a WebSocket can carry it. */
export const describeProblem = (problem: KeyProblem): string => KEY_PROBLEMS[problem];

/** The challenge of a 401 response. RFC 6750: it has no error if the request carried no key. */
export function formatChallenge(problem: KeyProblem): string {
  return problem === 'MISSING' ? 'Bearer realm="Sluice"' : 'Bearer realm="Sluice", error="invalid_token"';
}

export function createCallers(authenticator: Authenticator): Callers {
  const callerWith = async (secret: string | null): Promise<Caller> => {
    if (secret === null) return { principal: null, problem: 'MISSING' };
    const principal = await authenticator.authenticate(secret);
    if (!principal) return { principal: null, problem: isWellFormed(secret) ? 'UNKNOWN' : 'MISTYPED' };
    recordAccount(principal);
    return { principal, secret };
  };
  return {
    ofHeaders: (headers) => callerWith(secretFromHeaders(headers)),
    ofPayload: (payload) => callerWith(secretFromPayload(payload)),
  };
}
