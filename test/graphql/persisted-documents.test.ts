import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listSentDocuments } from '../../console/documents-plugin.ts';
import { loadConfig } from '../../src/config/config.ts';
import { formatStartupError } from '../../src/process/format-startup-error.ts';
import { createTextCache } from '../../src/graphql/plugins/persisted-documents.ts';
import { startServer } from '../../src/process/start-server.ts';
import { createLogLines } from '../support/log-lines.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
const byHash = (sha256Hash: unknown, version: unknown = 1) => ({
  extensions: { persistedQuery: { version, sha256Hash } },
});

let open: TestServer;
beforeAll(async () => {
  open = await startTestServer({ env: { ROLE: 'api', MAX_DOCUMENT_FIELDS: '20' } });
});
afterAll(() => open.stop());

const startAnother = (env: Readonly<Record<string, string>>): Promise<TestServer> =>
  startTestServer({ env: { ROLE: 'api', ...env }, database: open.database, s3: open.s3 });

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly data?: unknown;
  readonly errors?: readonly { readonly message: string; readonly extensions: Readonly<Record<string, unknown>> }[];
}

const read = async (response: Response): Promise<Answer> => ({
  status: response.status,
  headers: response.headers,
  ...((await response.json()) as object),
});

const post = async (
  body: object,
  {
    server = open,
    key = server.key,
    accept = 'application/json',
  }: { server?: TestServer; key?: string | null; accept?: string } = {},
): Promise<Answer> =>
  read(
    await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept, ...(key !== null && { 'x-api-key': key }) },
      body: JSON.stringify(body),
    }),
  );

const get = async (parameters: Readonly<Record<string, string>>): Promise<Answer> =>
  read(await fetch(`${open.url}/graphql?${new URLSearchParams(parameters)}`, { headers: { 'x-api-key': open.key } }));

const codeOf = ({ errors = [] }: Answer): unknown => errors[0]?.extensions['code'];

/** A document that no other test sends. */
let count = 0;
const newQuery = (): string => `query Q${(count += 1)} { viewer { accountName } }`;
const VIEWER = { viewer: { accountName: 'default' } };

describe('automatic persisted queries', () => {
  test('are executed by their hash over POST and GET when a request registered the document', async () => {
    const query = newQuery();
    const hash = hashOf(query);
    const unknown = await post(byHash(hash));
    expect(unknown).toMatchObject({ status: 200, errors: [{ message: 'PersistedQueryNotFound' }] });
    expect(codeOf(unknown)).toBe('PERSISTED_QUERY_NOT_FOUND');
    expect(unknown.headers.get('cache-control')).toBe('private, no-store');
    expect((await post(byHash(hash), { accept: 'application/graphql-response+json' })).status).toBe(404);

    expect((await post({ query, ...byHash(hash) })).data).toEqual(VIEWER);
    expect((await post(byHash(hash))).data).toEqual(VIEWER);
    expect((await get({ extensions: JSON.stringify(byHash(hash).extensions) })).data).toEqual(VIEWER);
    expect((await post({ documentId: `sha256:${hash}` })).data).toEqual(VIEWER);
    expect((await get({ documentId: `sha256:${hash}` })).data).toEqual(VIEWER);
  });

  test('accept variables and an operation name with the hash', async () => {
    const query = 'query A { __typename } query B($id: ID!) { node(id: $id) { id } }';
    const asked = { operationName: 'B', variables: { id: 'x' }, ...byHash(hashOf(query)) };
    expect((await post({ query, ...asked })).data).toEqual({ node: null });
    expect((await post(asked)).data).toEqual({ node: null });
    expect(codeOf(await post({ ...asked, variables: {} }))).toBe('BAD_USER_INPUT');
  });

  test('are shared between accounts, and read the data of the caller', async () => {
    const query = newQuery();
    await post({ query, ...byHash(hashOf(query)) });
    const key = await open.createKey('other', ['READ']);
    expect((await post(byHash(hashOf(query)), { key })).data).toEqual({ viewer: { accountName: 'other' } });
    expect(codeOf(await post(byHash(hashOf(query)), { key: null }))).toBe('UNAUTHENTICATED');
  });

  test('reject a wrong hash and register nothing under it', async () => {
    const [query, other] = [newQuery(), newQuery()];
    for (const hash of [hashOf(other), hashOf(query).toUpperCase(), 'x']) {
      const answer = await post({ query, ...byHash(hash) });
      expect([answer.status, codeOf(answer)]).toEqual([400, 'BAD_REQUEST']);
      expect(codeOf(await post(byHash(hash)))).toBe('PERSISTED_QUERY_NOT_FOUND');
    }
  });

  test.each([
    ['version 2', byHash('x', 2)],
    ['no hash', byHash(undefined)],
    ['a hash that is a number', byHash(7)],
    ['a persistedQuery that is a number', { extensions: { persistedQuery: 7 } }],
    ['an id that is a number', { documentId: 7 }],
    ['an id that is a list', { documentId: ['x'] }],
    ['an empty id', { documentId: '' }],
    ['extensions that are a text', { extensions: 'persistedQuery' }],
    ['neither id nor document', { extensions: { persistedQuery: null } }],
  ])('return BAD_REQUEST for %s', async (_, body) => {
    const answer = await post(body);
    expect([answer.status, codeOf(answer)]).toEqual([400, 'BAD_REQUEST']);
  });

  test('return PERSISTED_QUERY_NOT_FOUND for any unknown id', async () => {
    for (const documentId of ['constructor', '__proto__', 'md5:x', 'x'.repeat(10_000)]) {
      expect(codeOf(await post({ documentId }))).toBe('PERSISTED_QUERY_NOT_FOUND');
    }
  });

  test.each([
    ['a document that does not parse', '{', 'GRAPHQL_PARSE_FAILED'],
    ['a document that is not valid', '{ nothing }', 'GRAPHQL_VALIDATION_FAILED'],
    ['a document that asks for too much', `{ ${'__typename '.repeat(21)} }`, 'DOCUMENT_TOO_LARGE'],
  ])('reject %s and do not register it', async (_, query, code) => {
    expect(codeOf(await post({ query, ...byHash(hashOf(query)) }))).toBe(code);
    expect(codeOf(await post(byHash(hashOf(query))))).toBe('PERSISTED_QUERY_NOT_FOUND');
  });

  test('register nothing when the request has no key', async () => {
    const query = '{ __typename }';
    expect((await post({ query, ...byHash(hashOf(query)) }, { key: null })).data).toEqual({ __typename: 'Query' });
    expect(codeOf(await post(byHash(hashOf(query))))).toBe('PERSISTED_QUERY_NOT_FOUND');
  });

  test('reject a mutation by its hash over GET', async () => {
    const query = 'mutation { deleteStream(name: "persisted") { __typename } }';
    expect((await post({ query, ...byHash(hashOf(query)) })).data).toEqual({
      deleteStream: { __typename: 'NotFoundError' },
    });
    const answer = await get({ documentId: hashOf(query) });
    expect([answer.status, codeOf(answer)]).toEqual([405, 'BAD_REQUEST']);
  });

  test('execute subscriptions by their hash over SSE and WebSocket', async () => {
    const run = await (await createSteppedJob(open)).run();
    const query = 'subscription ($id: ID!) { runUpdated(runId: $id) { id } }';
    const variables = { id: run.id };
    const socket = await openSocket(open.url, { 'X-API-Key': open.key });
    await socket.until(({ type }) => type === 'connection_ack');
    const subscribe = (id: string, payload: object) => {
      socket.send({ type: 'subscribe', id, payload });
      return socket.until((message) => message.id === id);
    };
    const asked = { query: '', variables, ...byHash(hashOf(query)) };
    expect(await subscribe('1', asked)).toMatchObject({
      type: 'error',
      payload: [{ message: 'PersistedQueryNotFound', extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' } }],
    });
    const found = { type: 'next', payload: { data: { runUpdated: { id: run.id } } } };
    expect(await subscribe('2', { ...asked, query })).toMatchObject(found);
    expect(await subscribe('3', asked)).toMatchObject(found);
    socket.close();

    const leaving = new AbortController();
    const events = await fetch(`${open.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', 'x-api-key': open.key },
      body: JSON.stringify({ variables, ...byHash(hashOf(query)) }),
      signal: leaving.signal,
    });
    let text = '';
    for await (const chunk of (events.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes('data: ')) break;
    }
    leaving.abort();
    expect(text).toContain(JSON.stringify(found.payload));
  });

  test('evict the least recently used document, and do not cache one of an eighth of the memory', async () => {
    const server = await startAnother({ PERSISTED_DOCUMENT_BYTES: '8192' });
    const queries = Array.from({ length: 40 }, newQuery);
    for (const query of queries)
      expect((await post({ query, ...byHash(hashOf(query)) }, { server })).data).toBeTruthy();
    const codes = await Promise.all(
      queries.map(async (query) => codeOf(await post(byHash(hashOf(query)), { server }))),
    );
    expect(codes.filter((code) => code === undefined).length).toBeGreaterThan(10);
    expect(codes.filter((code) => code !== undefined).length).toBeGreaterThan(10);
    expect(codes.findLastIndex((code) => code === 'PERSISTED_QUERY_NOT_FOUND')).toBe(
      codes.findIndex((code) => code === undefined) - 1,
    );
    const long = `{ viewer { accountName } } #${'x'.repeat(500)}`;
    expect((await post({ query: long, ...byHash(hashOf(long)) }, { server })).data).toBeTruthy();
    expect(codeOf(await post(byHash(hashOf(long)), { server }))).toBe('PERSISTED_QUERY_NOT_FOUND');
    await server.stop();
  });

  test('return PERSISTED_QUERY_NOT_SUPPORTED when registration is disabled', async () => {
    const server = await startAnother({ PERSISTED_DOCUMENT_BYTES: '0' });
    const query = newQuery();
    expect((await post({ query, ...byHash(hashOf(query)) }, { server })).data).toEqual(VIEWER);
    const answer = await post(byHash(hashOf(query)), { server });
    expect(answer).toMatchObject({ status: 200, errors: [{ message: 'PersistedQueryNotSupported' }] });
    expect(codeOf(answer)).toBe('PERSISTED_QUERY_NOT_SUPPORTED');
    await server.stop();
  });

  test('never take more than their memory, and contain the last registered document', () => {
    const set = fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 900 }));
    const texts = fc.array(set, { minLength: 30, maxLength: 100 });
    fc.assert(
      fc.property(texts, (sets) => {
        const store = createTextCache(8000);
        for (const [name, length] of sets) {
          store.set(String(name), 'x'.repeat(length));
          const isKept = length * 2 + 300 < 1000;
          if (isKept) expect(store.get(String(name))).toHaveLength(length);
          const kept = Array.from({ length: 31 }, (_, each) => store.get(String(each))).filter((text) => text != null);
          expect(kept.reduce((sum, text) => sum + text.length * 2 + 300, 0)).toBeLessThanOrEqual(8000);
        }
      }),
    );
  });
});

describe('trusted documents', () => {
  const QUERY = 'query Trusted { viewer { accountName } }';
  /** Document whose id in the file has the form of GraphQL Code Generator. */
  const PREFIXED = 'query Prefixed { viewer { accountName } }';
  const LARGE = `query Large { ${Array.from({ length: 21 }, (_, index) => `a${index}: __typename`).join(' ')} }`;
  let folder: string;
  let file: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-trusted-'));
    file = join(folder, 'documents.json');
    const documents = { 'of-a-release': QUERY, [hashOf(QUERY)]: QUERY, [`sha256:${hashOf(PREFIXED)}`]: PREFIXED };
    await writeFile(file, JSON.stringify({ ...documents, large: LARGE }));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('are known by their ids from the start, and other documents are executed too', async () => {
    const server = await startAnother({ TRUSTED_DOCUMENTS: file });
    const query = newQuery();
    for (const body of [
      { documentId: 'of-a-release' },
      { documentId: `sha256:${hashOf(QUERY)}` },
      byHash(hashOf(QUERY)),
      { documentId: `sha256:${hashOf(PREFIXED)}` },
      byHash(hashOf(PREFIXED)),
    ]) {
      expect((await post(body, { server })).data).toEqual(VIEWER);
    }
    expect((await post({ query }, { server })).data).toEqual(VIEWER);
    expect(codeOf(await post({ documentId: 'of-another' }, { server }))).toBe('PERSISTED_QUERY_NOT_FOUND');
    await server.stop();
  });

  test('are the only ones executed over HTTP and WebSocket, within the limits, when TRUSTED_DOCUMENTS_ONLY is set', async () => {
    const server = await startAnother({
      TRUSTED_DOCUMENTS: file,
      TRUSTED_DOCUMENTS_ONLY: 'true',
      MAX_DOCUMENT_FIELDS: '20',
    });
    expect((await post({ documentId: 'of-a-release' }, { server })).data).toEqual(VIEWER);
    expect((await post({ query: QUERY }, { server })).data).toEqual(VIEWER);
    expect(codeOf(await post({ documentId: 'large' }, { server }))).toBe('DOCUMENT_TOO_LARGE');
    const query = newQuery();
    for (const body of [{ query }, { query, ...byHash(hashOf(query)) }, { query: '{ __schema { types { name } } }' }]) {
      const answer = await post(body, { server });
      expect([answer.status, codeOf(answer), answer.data]).toEqual([200, 'DOCUMENT_NOT_TRUSTED', undefined]);
      expect((await post(body, { server, accept: 'application/graphql-response+json' })).status).toBe(400);
    }
    const socket = await openSocket(server.url, { 'X-API-Key': server.key });
    await socket.until(({ type }) => type === 'connection_ack');
    socket.send({ type: 'subscribe', id: '1', payload: { query } });
    expect(await socket.until(({ id }) => id === '1')).toMatchObject({
      type: 'error',
      payload: [{ extensions: { code: 'DOCUMENT_NOT_TRUSTED' } }],
    });
    socket.close();
    await server.stop();
  });

  test('are executed beside those of the console, unless CONSOLE is false', async () => {
    const only = { TRUSTED_DOCUMENTS: file, TRUSTED_DOCUMENTS_ONLY: 'true' };
    const query = (await listSentDocuments()).find((text) => text.startsWith('query Viewer ')) ?? '';
    const server = await startAnother(only);
    expect((await post({ query }, { server })).data).toMatchObject(VIEWER);
    expect((await post({ query, ...byHash(hashOf(query)) }, { server })).data).toMatchObject(VIEWER);
    expect(codeOf(await post({ query: `${query} ` }, { server }))).toBe('DOCUMENT_NOT_TRUSTED');
    await server.stop();
    const without = await startAnother({ ...only, CONSOLE: 'false' });
    expect(codeOf(await post({ query }, { server: without }))).toBe('DOCUMENT_NOT_TRUSTED');
    await without.stop();
  });

  test.each([
    ['is missing', null, 'cannot be read (ENOENT)'],
    ['is not JSON', '{', 'must be a JSON object that maps ids to documents'],
    ['is a list', '[]', 'must be a JSON object that maps ids to documents'],
    ['has no texts', '{"a": 1}', 'must map each id to a document as a string'],
  ])('stop the start with a message when the file %s', async (_, text, problem) => {
    const wrong = join(folder, 'wrong.json');
    await (text === null ? rm(wrong, { force: true }) : writeFile(wrong, text));
    const config = loadConfig({ DATABASE_URL: open.database.url, PORT: '0', TRUSTED_DOCUMENTS: wrong });
    const { log } = createLogLines();
    const started = startServer({ config, log, signal: new AbortController().signal });
    const error = await started.catch((thrown: unknown) => thrown);
    expect(formatStartupError(error)).toBe(`Sluice cannot start: the file ${wrong} of TRUSTED_DOCUMENTS ${problem}.`);
  });

  test('stop the start with a message when TRUSTED_DOCUMENTS_ONLY is set without a file', () => {
    expect(() => loadConfig({ DATABASE_URL: 'postgres://x/y', TRUSTED_DOCUMENTS_ONLY: 'true' })).toThrow(
      'TRUSTED_DOCUMENTS_ONLY needs the file TRUSTED_DOCUMENTS',
    );
  });
});
