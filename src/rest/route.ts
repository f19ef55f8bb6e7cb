import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import type { Principal } from '../accounts/keys.ts';
import type { Scope } from '../accounts/scopes.ts';
import type { Db } from '../db/client.ts';
import type { ApiServices } from '../http/api-services.ts';
import type { Pace } from '../http/request-body.ts';
import type { RequestMemory } from '../http/request-memory.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import type { KnownSpellings } from './fast-path/repeated-values.ts';
import type { IntakeBuffer } from '../streams/pipeline/intake-buffer.ts';

/** Dependencies of the routes; the same for every request of a server. */
export interface RestServices extends ApiServices {
  readonly intakeBuffer: IntakeBuffer;
  readonly pace: Pace;
}

/** A request whose API key and scope have been checked. */
export interface Call {
  /** `db` sees the account of the API key only. */
  readonly services: RestServices & { readonly db: Db; readonly spellings: KnownSpellings };
  readonly principal: Principal;
  readonly memory: RequestMemory;
  readonly request: IncomingMessage;
  /** Path parameters by name. */
  readonly parameters: Readonly<Record<string, string | undefined>>;
  readonly query: () => URLSearchParams;
  /** The body as text, without a byte order mark. */
  readonly readText: () => Promise<string>;
  /** The body as JSON with exact numbers; undefined if it is empty. */
  readonly readJson: () => Promise<unknown>;
  /** Signals that are aborted when the client no longer waits for the response. */
  readonly ended: RequestSignals;
  /** Runs work that has its own time limits: the time limit of the request does not count it. */
  readonly untimed: <Value>(work: () => Promise<Value>) => Promise<Value>;
}

/** A response with the status of `success`. */
export interface Reply {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The two families differ in the statuses of their errors. */
export type Family = 'telemetry' | 'jobs';

/** A request body in the OpenAPI document. */
export interface BodyDocument {
  readonly description: string;
  readonly required: boolean;
  readonly content: Readonly<Record<string, { readonly schema: z.ZodType; readonly example?: unknown }>>;
}

export interface ParameterDocument {
  readonly name: string;
  readonly in: 'query' | 'header';
  readonly schema: z.ZodType;
  readonly description: string;
}

/** A route: its description in the OpenAPI document, and its handler. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** Path with parameters in braces. */
  readonly path: string;
  readonly family: Family;
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly deprecated?: boolean;
  readonly scope: Scope;
  readonly parameters?: readonly ParameterDocument[];
  readonly body?: BodyDocument;
  readonly success: {
    readonly status: 200 | 201 | 204;
    readonly description: string;
    readonly schema?: z.ZodType;
    readonly headers?: Readonly<Record<string, string>>;
  };
  /** Errors in addition to those of every route of the family. */
  readonly failures?: Readonly<Record<number, string>>;
  readonly handle: (call: Call) => Promise<Reply>;
}

/** Returns a path parameter. Throws if the route does not have it. */
export function parameterOf(call: Call, name: string): string {
  const value = call.parameters[name];
  if (value === undefined) throw new Error(`The route has no parameter "${name}".`);
  return value;
}
