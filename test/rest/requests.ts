import { request as httpRequest } from 'node:http';
import { querySql } from '../support/job-steps.ts';
import type { TestServer } from '../support/server.ts';

// Requests to the REST routes as scripts send them, and their responses.

export interface RestIssue {
  readonly path: readonly string[];
  readonly code: string;
  readonly message: string;
}

export interface RestFailure {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly issues: readonly RestIssue[];
    readonly issueCount?: number;
    readonly errorId?: string;
  };
}

export interface Receipt {
  readonly message: string;
  readonly operationId: string;
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
  readonly replayed: boolean;
}

export interface RestAnswer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Null if the response has no body. */
  readonly body: Body;
}

export interface RestOptions {
  /** Text and bytes are sent unchanged, other values as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Defaults to the ADMIN key; null for none. */
  readonly key?: string | null;
}

const bytesOf = (body: unknown): Buffer =>
  Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));

/** Sends a request such as `POST /jobs`. The body has no Content-Type unless the headers contain one. */
export const ask = async <Body = RestFailure>(
  server: Pick<TestServer, 'url' | 'key'>,
  route: string,
  { body, headers = {}, key = server.key }: RestOptions = {},
): Promise<RestAnswer<Body>> => {
  const [method = '', path = ''] = route.split(' ');
  const response = await fetch(server.url + path, {
    method,
    headers: { ...(key !== null && { 'x-api-key': key }), ...headers },
    // As bytes, because fetch adds a Content-Type to text.
    ...(body !== undefined && { body: new Uint8Array(bytesOf(body)) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: (isJson && text !== '' ? JSON.parse(text) : null) as Body,
  };
};

export const NDJSON = { 'content-type': 'application/x-ndjson' };

export type Verb = 'sum' | 'replace' | 'delete';

export const allocationPath = (stream: string, verb: Verb): string =>
  `/unit-cost/v1/telemetry/allocation/${encodeURIComponent(stream)}/${verb}`;

/** Records as one JSON body, each given as JSON text, with an optional scope. */
export const jsonOf = (records: readonly string[], scope?: object): string =>
  `{"records":[${records.join(',')}]${scope ? `,"scope":${JSON.stringify(scope)}` : ''}}`;

/** The same as NDJSON. */
export const linesOf = (records: readonly string[]): string => records.map((record) => `${record}\n`).join('');

export interface SendOptions extends RestOptions {
  /** The scope of a replace, as a JSON body has it. */
  readonly scope?: { readonly from: string; readonly to: string } & Readonly<Record<string, unknown>>;
}

/** The parameters of a scope in NDJSON, which has no filter and no element. */
const queryOf = ({ from, to }: NonNullable<SendOptions['scope']>): string =>
  `?from=${encodeURIComponent(from)}&to=${encodeURIComponent(to)}`;

/** Writes records, each given as JSON text, in the given format. */
export const send = <Body = Receipt>(
  server: Pick<TestServer, 'url' | 'key'>,
  form: 'JSON' | 'NDJSON',
  [stream, verb]: readonly [stream: string, verb: Verb],
  records: readonly string[],
  { headers = {}, scope, ...options }: SendOptions = {},
): Promise<RestAnswer<Body>> =>
  ask<Body>(server, `POST ${allocationPath(stream, verb)}${form === 'NDJSON' && scope ? queryOf(scope) : ''}`, {
    ...options,
    body: form === 'JSON' ? jsonOf(records, scope) : linesOf(records),
    headers: { ...(form === 'NDJSON' && NDJSON), ...headers },
  });

export interface RestRecord {
  readonly timestamp: string;
  readonly granularity: string;
  readonly filter: Readonly<Record<string, readonly string[]>>;
  readonly 'element-name': string;
  readonly value: string;
}

/** The newest live records of a stream, at most 1,000. */
export const recordsOf = async (server: TestServer, stream: string, key = server.key): Promise<RestRecord[]> => {
  const path = `/unit-cost/v1/telemetry/${encodeURIComponent(stream)}/records?limit=1000`;
  const { status, text, body } = await ask<{ records: RestRecord[] }>(server, `GET ${path}`, { key });
  if (status !== 200) throw new Error(text);
  return body.records;
};

/** Path and code of each issue of an error: `records/3/value: BAD_DECIMAL`. */
export const issuesOf = ({ body }: RestAnswer<unknown>): string[] =>
  (body as RestFailure).error.issues.map(({ path, code }) => `${path.join('/')}: ${code}`);

/** Number of rows in the tables that a request can write. */
export const countStored = async (server: TestServer): Promise<Record<string, number>> => {
  const tables = ['streams', 'filters', 'operations', 'records', 'staged_batches', 'jobs', 'runs'];
  const [row = {}] = await querySql<Record<string, string>>(
    server,
    `SELECT ${tables.map((table) => `(SELECT count(*) FROM ${table}) AS ${table}`).join(', ')}`,
  );
  return Object.fromEntries(Object.entries(row).map(([table, count]) => [table, Number(count)]));
};

/** Sends a body in pieces, at the speed of the iteration; if that throws, the body breaks off. */
export const sendPieces = async (
  server: Pick<TestServer, 'url' | 'key'>,
  route: string,
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  headers: Readonly<Record<string, string>> = NDJSON,
): Promise<{ readonly status: number; readonly body: unknown }> => {
  const [method = '', path = ''] = route.split(' ');
  const request = httpRequest(server.url + path, { method, headers: { 'x-api-key': server.key, ...headers } });
  const answered = new Promise<{ status: number; body: unknown }>((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown }));
      response.on('error', reject);
    });
  });
  // An early rejection ends the writing.
  let over = false;
  const seen = answered.finally(() => {
    over = true;
  });
  seen.catch(() => undefined);
  request.setNoDelay(true);
  try {
    for await (const piece of pieces) {
      if (over) break;
      await new Promise<void>((resolve) => {
        request.write(piece, () => resolve());
      });
    }
  } catch (error) {
    request.destroy();
    throw error;
  }
  request.end();
  return seen;
};
