import type { GraphQLSchema } from 'graphql';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { createDocuments } from './documents.ts';
import { type Json, mutateBytes, mutateJson, writeJson } from './mutate.ts';
import type { Random } from './random.ts';
import type { Answer, Sender, SocketMessage, Target } from './send.ts';
import type { Values } from './values.ts';

/** One input, and its description for debugging. */
export interface Input {
  readonly kind: Kind;
  /** How many inputs it is: of a socket each message is one. */
  readonly count: number;
  /** Whether the connection may be closed without a response: input that is not HTTP, or breaks off, gets none. */
  readonly mayBeDropped: boolean;
  readonly isGraphQL: boolean;
  readonly shown: string;
  send(sender: Sender): Promise<Answer>;
}

const EXAMPLES = join(import.meta.dirname, '../rest/examples');

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly example?: Json }>> };
}

/** The used part of the OpenAPI document. */
export interface Routes {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Sources {
  readonly schema: GraphQLSchema;
  readonly routes: Routes;
  readonly random: Random;
  readonly values: Values;
  readonly target: Target;
}

/** How many of each there are in a hundred. */
const SHARES = {
  document: 18,
  'mutated document': 14,
  variables: 12,
  'GraphQL body': 8,
  'query string': 6,
  'REST body': 16,
  'REST address': 6,
  NDJSON: 6,
  compressed: 4,
  headers: 4,
  'raw HTTP': 2,
  'WebSocket message': 4,
} as const;

export type Kind = keyof typeof SHARES;

const ENCODERS = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync } as const;
const JSON_TYPE = { 'content-type': 'application/json' };
const NDJSON_TYPE = { 'content-type': 'application/x-ndjson' };

export const createInputs = ({ schema, routes, random, values, target }: Sources) => {
  const documents = createDocuments(schema, random, values);
  const key = { 'x-api-key': target.key };
  const bodies = readdirSync(EXAMPLES).map((name) => readFileSync(join(EXAMPLES, name)));
  const operations = Object.entries(routes.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const writes = operations.filter(({ operation }) => operation.requestBody);
  const lineRoutes = writes.filter(({ operation }) => operation.requestBody?.content[NDJSON_TYPE['content-type']]);

  const overHttp = (
    kind: Kind,
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body?: Buffer,
  ): Input => ({
    kind,
    count: 1,
    // Node answers 431 to more than 16 KiB and closes, which a client that still writes may see first.
    mayBeDropped: path.length > 14_000,
    isGraphQL: path.startsWith('/graphql'),
    shown: `${method} ${path} ${JSON.stringify(headers)}\n${body?.toString() ?? ''}`,
    send: (sender) => sender.http({ method, path, headers: { ...key, ...headers }, ...(body && { body }) }),
  });

  const graphql = (kind: Kind, body: Buffer): Input =>
    overHttp(
      kind,
      'POST',
      '/graphql',
      {
        ...JSON_TYPE,
        ...(random.chance(0.2) && {
          accept: random.pick(['text/event-stream', '*/*', 'application/graphql-response+json', 'text/html']),
        }),
      },
      body,
    );

  const bodyOf = (query: string, variables: Json): Buffer =>
    Buffer.from(writeJson({ query, ...(variables !== null && { variables }) }));

  /** An address of the route, its parameters filled in. */
  const addressOf = (path: string, operation: Operation, wild: boolean): string => {
    const fill = (name: string, type: string): string => {
      const value = values.for(name, type);
      return typeof value === 'string' ? value : writeJson(value);
    };
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
      const text = fill(name, name === 'id' ? 'ID' : 'String');
      return wild && random.chance(0.5)
        ? mutateBytes(random, Buffer.from(encodeURIComponentAnyway(text))).toString('latin1')
        : encodeURIComponentAnyway(text);
    });
    const query = (operation.parameters ?? [])
      .filter(({ in: place }) => place === 'query' && random.chance(0.6))
      .map(({ name }) => `${name}=${encodeURIComponentAnyway(fill(name, 'String'))}`);
    const whole = filled + (query.length > 0 ? `?${query.join('&')}` : '');
    return wild && random.chance(0.4) ? mutateBytes(random, Buffer.from(whole)).toString('latin1') : whole;
  };

  const exampleOf = (operation: Operation): Json => {
    const content = operation.requestBody?.content['application/json'];
    return content?.example ?? (JSON.parse(String(bodies.at(-1) ?? '{}')) as Json);
  };

  const restBody = (operation: Operation): Buffer => {
    let value = exampleOf(operation);
    if (random.chance(0.3)) value = JSON.parse(String(random.pick(bodies).toString().split('\n')[0])) as Json;
    if (random.chance(0.5) && typeof value === 'object' && value !== null && 'jobName' in value) {
      // A job that can be stored: the name and the place of the example are taken by the first one.
      value = { ...value, jobName: `job ${random.below(1e9)}` };
    }
    for (let rounds = random.below(4); rounds > 0; rounds -= 1) value = mutateJson(random, value, () => fitting(value));
    const text = Buffer.from(writeJson(value));
    return random.chance(0.3) ? mutateBytes(random, text) : text;
  };

  const fitting = (_: Json): Json =>
    random.chance(0.4) ? values.hostile() : values.for(random.pick(NAMES), random.pick(TYPES));

  const lines = (): Buffer => {
    const example = String(
      random.pick(bodies.filter((body) => body.includes('\n') && body.includes('granularity'))),
    ).trim();
    const all = example.split('\n').map((line) => {
      if (random.chance(0.5)) return Buffer.from(line);
      if (random.chance(0.5)) return mutateBytes(random, Buffer.from(line));
      return Buffer.from(writeJson(mutateJson(random, JSON.parse(line) as Json, () => fitting(null))));
    });
    const many = random.chance(0.1) ? Array.from({ length: random.below(300) }, () => random.pick(all)) : all;
    return Buffer.concat(many.flatMap((line) => [line, Buffer.from(random.pick(['\n', '\n', '\r\n', '\n\n']))]));
  };

  /** Latin-1 text that node's client lets through as the value of a header. */
  const headerValue = (): string => {
    const value = values.for(random.pick(['idempotencyKey', 'stream', 'search']));
    const text = typeof value === 'string' ? value : writeJson(value);
    return Buffer.from(text)
      .toString('latin1')
      .replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '')
      .slice(0, 4000);
  };

  const HEADERS: Readonly<Record<string, () => string>> = {
    'idempotency-key': headerValue,
    'x-api-key': () => random.pick([target.key, `${target.key}x`, headerValue()]),
    authorization: () => random.pick([target.key, `Bearer ${target.key}`, 'Bearer', 'Basic eDp5', headerValue()]),
    'content-type': () =>
      random.pick([
        'application/json',
        'application/x-ndjson',
        'application/json; charset=utf-16',
        'multipart/form-data; boundary=x',
        'text/plain',
        'application/graphql',
        'application/x-www-form-urlencoded',
        'application/json;;;=',
        headerValue(),
      ]),
    'content-encoding': () =>
      random.pick(['gzip', 'br', 'deflate', 'x-gzip', 'identity', 'gzip, gzip', 'zstd', '', headerValue()]),
    accept: () => random.pick(['*/*', 'text/html', 'text/event-stream', 'application/json;q=0', 'x', headerValue()]),
    'accept-encoding': () => random.pick(['gzip', 'identity;q=0', headerValue()]),
    origin: () => random.pick(['null', 'https://evil.example', headerValue()]),
    expect: () => random.pick(['100-continue', 'x']),
    range: () => 'bytes=0-1',
    'if-none-match': () => '*',
    'x-http-method-override': () => 'DELETE',
    cookie: headerValue,
  };

  const withHeaders = (): Input => {
    const { path, method, operation } = random.pick(operations);
    const names = Object.keys(HEADERS).filter(() => random.chance(0.25));
    const headers = Object.fromEntries(names.map((name) => [name, HEADERS[name]?.() ?? '']));
    const asGraphQL = random.chance(0.4);
    const body = asGraphQL ? bodyOf(documents.operation().query, null) : restBody(operation);
    // Node's client does not send a body that waits for "100 Continue" automatically.
    if (headers['expect'] !== undefined)
      return raw('headers', method, addressOf(path, operation, false), headers, body);
    return asGraphQL
      ? overHttp('headers', random.pick(['POST', 'GET', 'PUT', 'OPTIONS', 'HEAD']), '/graphql', headers, body)
      : overHttp('headers', method, addressOf(path, operation, false), headers, body);
  };

  const rawBytes = (method: string, path: string, headers: Readonly<Record<string, string>>, body: Buffer): Buffer => {
    const all = { host: 'localhost', connection: 'close', ...key, ...headers, 'content-length': String(body.length) };
    const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${head.join('')}\r\n`, 'latin1'), body]);
  };

  const raw = (
    kind: Kind,
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Buffer,
    mutated = false,
  ): Input => {
    const whole = rawBytes(method, path, headers, body);
    const sent = mutated ? mutateBytes(random, whole) : whole;
    return {
      kind,
      count: 1,
      mayBeDropped: true,
      isGraphQL: path.startsWith('/graphql'),
      shown: sent.toString('latin1'),
      send: (sender) => sender.bytes(sent),
    };
  };

  const socketMessages = (): Input => {
    const sent = Array.from({ length: 1 + random.below(6) }, (_, index): SocketMessage => {
      const { query, variables } = documents.operation();
      const id = random.chance(0.05) ? random.pick(['0', '']) : `${index}`;
      const subscribe = Buffer.from(writeJson({ id, type: 'subscribe', payload: { query, variables } }));
      const text = random.chance(0.8)
        ? subscribe
        : random.chance(0.5)
          ? mutateBytes(random, subscribe)
          : Buffer.from(
              writeJson(
                mutateJson(random, { id, type: random.pick(MESSAGE_TYPES), payload: { query } }, () =>
                  values.hostile(),
                ),
              ),
            );
      return { data: text, as: random.chance(0.93) ? 'text' : random.pick(['binary', 'frame']) };
    });
    const payload = random.chance(0.85)
      ? null
      : { [random.pick(['X-API-Key', 'authorization', '__proto__'])]: values.hostile() };
    return {
      kind: 'WebSocket message',
      count: sent.length,
      mayBeDropped: true,
      isGraphQL: true,
      shown: sent.map(({ as, data }) => `${as}: ${data.toString()}`).join('\n'),
      send: (sender) => sender.messages(payload && (JSON.parse(writeJson(payload)) as Record<string, unknown>), sent),
    };
  };

  const make: Readonly<Record<Kind, () => Input>> = {
    document: () => {
      const { query, variables } = documents.operation();
      return graphql('document', bodyOf(query, variables));
    },
    'mutated document': () => {
      const { query, variables } = documents.operation();
      const changed = mutateBytes(random, Buffer.from(query));
      return graphql('mutated document', bodyOf(changed.toString('utf8'), variables));
    },
    variables: () => {
      const { query, variables } = documents.operation();
      let changed: Json = variables;
      for (let rounds = 1 + random.below(3); rounds > 0; rounds -= 1)
        changed = mutateJson(random, changed, () => values.hostile());
      return graphql('variables', bodyOf(query, changed));
    },
    'GraphQL body': () => {
      const { query, variables } = documents.operation();
      const body: Json = { query, variables, operationName: random.pick([null, 'x', 7]), extensions: {} };
      if (random.chance(0.4))
        return graphql('GraphQL body', Buffer.from(writeJson(mutateJson(random, body, () => values.hostile()))));
      return graphql('GraphQL body', mutateBytes(random, Buffer.from(writeJson(body))));
    },
    'query string': () => {
      const { query, variables } = documents.operation(random.pick(['query', 'query', 'subscription', 'mutation']));
      const asked = [
        ['query', query],
        ['variables', writeJson(variables)],
        ['extensions', '{}'],
        ['operationName', writeJson(values.for('search'))],
      ].filter(([name]) => name === 'query' || random.chance(0.5));
      const text = `/graphql?${asked.map(([name = '', value = '']) => `${name}=${encodeURIComponentAnyway(value)}`).join('&')}`;
      const path = random.chance(0.4) ? mutateBytes(random, Buffer.from(text)).toString('latin1') : text;
      return address('query string', 'GET', path.slice(0, 15_000));
    },
    'REST body': () => {
      const { path, method, operation } = random.pick(writes);
      const headers = { ...JSON_TYPE, ...(random.chance(0.2) && { 'idempotency-key': headerValue() }) };
      return overHttp('REST body', method, addressOf(path, operation, false), headers, restBody(operation));
    },
    'REST address': () => {
      const { path, method, operation } = random.pick(operations);
      const other = random.chance(0.1)
        ? random.pick(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'])
        : method;
      return address('REST address', other, addressOf(path, operation, true));
    },
    NDJSON: () => {
      const { path, method, operation } = random.pick(lineRoutes);
      return overHttp(
        'NDJSON',
        method,
        addressOf(path, operation, false),
        NDJSON_TYPE,
        random.chance(0.3) ? mutateBytes(random, lines()) : lines(),
      );
    },
    compressed: () => {
      const encoding = random.pick(Object.keys(ENCODERS) as (keyof typeof ENCODERS)[]);
      const told = random.chance(0.85) ? encoding : random.pick(['gzip', 'deflate', 'br', 'identity']);
      const { path, method, operation } = random.pick(lineRoutes);
      const asLines = random.chance(0.5);
      const packed = ENCODERS[encoding](asLines ? lines() : restBody(operation));
      const headers = { ...(asLines ? NDJSON_TYPE : JSON_TYPE), 'content-encoding': told };
      return overHttp(
        'compressed',
        method,
        addressOf(path, operation, false),
        headers,
        random.chance(0.7) ? mutateBytes(random, packed) : packed,
      );
    },
    headers: withHeaders,
    'raw HTTP': () => {
      const { path, method, operation } = random.pick(operations);
      const asGraphQL = random.chance(0.4);
      const body = asGraphQL ? bodyOf(documents.operation().query, null) : restBody(operation);
      return raw(
        'raw HTTP',
        asGraphQL ? 'POST' : method,
        asGraphQL ? '/graphql' : addressOf(path, operation, false),
        JSON_TYPE,
        body,
        true,
      );
    },
    'WebSocket message': socketMessages,
  };

  /** Node's client sends no blanks or control characters in an address: those go as bytes. */
  const address = (kind: Kind, method: string, path: string): Input =>
    /^\/[\x21-\x7e]*$/.test(path) ? overHttp(kind, method, path, {}) : raw(kind, method, path, {}, Buffer.alloc(0));

  const kinds = Object.entries(SHARES).flatMap(([kind, share]) => Array.from({ length: share }, () => kind as Kind));
  return { next: (): Input => make[random.pick(kinds)]() };
};

const MESSAGE_TYPES = [
  'subscribe',
  'complete',
  'ping',
  'pong',
  'connection_init',
  'connection_ack',
  'next',
  'error',
  'nothing',
  '',
];
const NAMES = [
  'stream',
  'dimension',
  'after',
  's3Url',
  'cron',
  'range',
  'timeZone',
  'jobName',
  'email',
  'coefficient',
  'value',
  'timestamp',
];
const TYPES = ['String', 'DateTime', 'Decimal', 'Boolean', 'Int', 'ID'];

/** Also encodes half a surrogate pair, which encodeURIComponent rejects. */
const encodeURIComponentAnyway = (text: string): string => encodeURIComponent(text.toWellFormed());
