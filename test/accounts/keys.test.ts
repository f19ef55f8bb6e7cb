import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isWellFormed, newSecret } from '../../src/accounts/secrets.ts';
import { openEventStream } from '../support/event-stream.ts';
import { withClient } from '../support/postgres-admin.ts';
import { openSocket } from '../support/socket-client.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

/** Two servers on one database. */
let server: TestServer;
let other: TestServer;
let now = new Date('2026-03-01T12:00:00Z');
const started: TestServer[] = [];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' }, resources: { clock: { now: () => now } } });
  other = await startTestServer({ env: { ROLE: 'api' }, database: server.database, s3: server.s3 });
});
afterEach(async () => {
  for (const one of started.splice(0)) await one.stop();
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

const start = async (env: Readonly<Record<string, string>>): Promise<TestServer> => {
  const one = await startTestServer({ env: { ROLE: 'api', ...env }, database: server.database, s3: server.s3 });
  started.push(one);
  return one;
};

const VIEWER = '{ viewer { accountName key { id name prefix scopes lastUsedAt } } }';
interface Viewer {
  readonly viewer: {
    readonly accountName: string;
    readonly key: {
      readonly id: string;
      readonly name: string;
      readonly prefix: string;
      readonly lastUsedAt: string | null;
    };
  };
}
const REVOKE = `mutation ($id: ID!) { revokeApiKey(id: $id) { __typename ... on ApiKey { revokedAt } ... on UserError { code message } } }`;
interface Revoked {
  readonly revokeApiKey: { readonly __typename: string; readonly revokedAt?: string; readonly code?: string };
}
const idOf = async (key: string, at = server): Promise<string> =>
  (await at.graphql<Viewer>(VIEWER, {}, key)).viewer.key.id;
const statusWith = async (headers: Record<string, string>, at = server): Promise<number> =>
  (await fetch(`${at.url}/graphql?query=${encodeURIComponent(VIEWER)}`, { headers })).status;

describe('authentication', () => {
  test.each([
    ['X-API-Key', (key: string) => ({ 'X-API-Key': key })],
    ['x-api-key', (key: string) => ({ 'x-api-key': key })],
    ['Authorization without a scheme', (key: string) => ({ Authorization: key })],
    ['Authorization: Bearer', (key: string) => ({ Authorization: `Bearer ${key}` })],
    ['authorization: bearer with spaces', (key: string) => ({ authorization: `bearer   ${key} ` })],
    [
      'X-API-Key when Authorization has another value',
      (key: string) => ({ 'X-API-Key': key, Authorization: 'Bearer something else' }),
    ],
  ])('accepts a key in %s', async (_name, headers) => {
    const made = await server.createKey('default', ['READ']);
    for (const key of [server.key, made]) expect(await statusWith(headers(key))).toBe(200);
  });

  test.each([
    ['no header', {}],
    ['an empty X-API-Key', { 'X-API-Key': '' }],
    ['Bearer without a key', { Authorization: 'Bearer' }],
    ['another scheme', { Authorization: 'Basic dXNlcjpwYXNz' }],
    ['a key of 5,000 characters', { 'X-API-Key': 'x'.repeat(5000) }],
  ])('rejects %s with 401', async (_name, headers) => {
    expect(await statusWith(headers)).toBe(401);
  });
});

describe('createApiKey', () => {
  test('returns a prefix, 256 random bits and a checksum, and stores only a hash of the secret', async () => {
    const { createApiKey } = await server.graphql<{
      createApiKey: { secret: string; key: { id: string; prefix: string } };
    }>(
      'mutation { createApiKey(input: { name: "  For tests ", scopes: [INGEST, READ, READ] }) { ... on NewApiKey { secret key { id name prefix scopes } } } }',
    );
    expect(createApiKey).toMatchObject({
      secret: expect.stringMatching(/^sluice_[A-Za-z0-9_-]{43}[0-9a-f]{8}$/),
      key: { name: 'For tests', prefix: createApiKey.secret.slice(0, 12), scopes: ['INGEST', 'READ'] },
    });
    const stored = await withClient(server.database.url, (client) =>
      client.query<{ row: string }>(`SELECT k::text AS row FROM api_keys k`),
    );
    expect(stored.rows.length).toBeGreaterThan(0);
    expect(stored.rows.map(({ row }) => row).join()).not.toContain(createApiKey.secret.slice(12, 30));
    expect(await statusWith({ 'X-API-Key': createApiKey.secret })).toBe(200);
  });

  test('generates a different secret each time', () => {
    expect(new Set(Array.from({ length: 1000 }, newSecret)).size).toBe(1000);
  });

  test('makes a checksum that detects one wrong character without a database query', async () => {
    const key = await server.createKey('default', ['READ']);
    for (let at = 'sluice_'.length; at < key.length; at += 5) {
      const wrong = key.slice(0, at) + (key[at] === 'a' ? 'b' : 'a') + key.slice(at + 1);
      expect(isWellFormed(wrong)).toBe(false);
      expect(await statusWith({ 'X-API-Key': wrong })).toBe(401);
    }
    for (const cut of [key.slice(0, -1), `${key}0`, key.toUpperCase()]) {
      expect(await statusWith({ 'X-API-Key': cut })).toBe(401);
    }
  });

  test.each([
    ['', ['READ'], 'BAD_LENGTH'],
    ['   ', ['READ'], 'BAD_LENGTH'],
    ['x'.repeat(256), ['READ'], 'BAD_LENGTH'],
    ['a\u0000b', ['READ'], 'CONTROL_CHARACTER'],
    ['fine', [], 'NO_SCOPES'],
  ])('rejects the name %j with the scopes %j', async (name, scopes, code) => {
    const { createApiKey } = await server.graphql<{ createApiKey: object }>(
      `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { ... on ValidationError { code issues { code } } } }`,
      { input: { name, scopes } },
    );
    expect(createApiKey).toEqual({ code: 'VALIDATION_FAILED', issues: [{ code }] });
  });
});

describe('revokeApiKey', () => {
  test('takes effect on every server within a second, and ends event streams and WebSockets of the key', async () => {
    let slowest = Infinity;
    // A busy machine can delay one of them.
    for (let attempt = 0; attempt < 5 && slowest >= 1000; attempt += 1) {
      const key = await server.createKey('default', ['READ']);
      const id = await idOf(key);
      const open = await Promise.all(
        [server, other].map(async (at) => {
          expect(await statusWith({ 'X-API-Key': key }, at)).toBe(200);
          const stream = await openEventStream({ url: at.url, key, query: 'subscription { runUpdated { id } }' });
          const socket = await openSocket(at.url, { 'X-API-Key': key });
          await socket.until(({ type }) => type === 'connection_ack');
          socket.send({ type: 'subscribe', id: '1', payload: { query: 'subscription { runUpdated { id } }' } });
          return { at, stream, socket };
        }),
      );
      const { revokeApiKey } = await server.graphql<Revoked>(REVOKE, { id });
      const revoked = performance.now();
      const within = async (what: Promise<unknown>): Promise<number> => {
        await what;
        return performance.now() - revoked;
      };
      const times = await Promise.all(
        open.flatMap(({ at, stream, socket }) => [
          within(
            eventually(
              () => statusWith({ 'X-API-Key': key }, at),
              (status) => status === 401,
            ),
          ),
          within(stream.ended),
          within(socket.closed),
        ]),
      );
      expect(revokeApiKey).toEqual({ __typename: 'ApiKey', revokedAt: expect.any(String) });
      expect(times).toHaveLength(6);
      slowest = Math.max(...times);
      for (const { stream, socket } of open) {
        expect(stream.results.at(-1)).toMatchObject({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] });
        expect(await socket.closed).toBe(4403);
      }
      // A second revocation of the same key succeeds and changes nothing.
      now = new Date(now.getTime() + 60_000);
      expect((await server.graphql<Revoked>(REVOKE, { id })).revokeApiKey).toEqual(revokeApiKey);
    }
    expect(slowest).toBeLessThan(1000);
  });

  test('keeps the last ADMIN key of an account when two keys revoke each other concurrently', async () => {
    for (let round = 0; round < 5; round += 1) {
      const account = `pair-${round}`;
      const [one, two] = [
        await server.createKey(account, ['ADMIN']),
        await server.createKey(account, ['ADMIN', 'READ']),
      ];
      // This key does not count, because it lacks ADMIN.
      await server.createKey(account, ['READ', 'INGEST', 'JOBS']);
      const [first, second] = [await idOf(one), await idOf(two, other)];
      const answers = await Promise.all([
        server.request<Revoked>(REVOKE, { id: second }, one),
        other.request<Revoked>(REVOKE, { id: first }, two),
      ]);
      const results = answers.map(
        ({ data, errors }) => data?.revokeApiKey.code ?? errors?.[0]?.extensions?.['code'] ?? 'revoked',
      );
      expect(results).toContain('revoked');
      // UNAUTHENTICATED if the first revocation had ended before the second server authenticated its key.
      expect(results.some((result) => result === 'CONFLICT' || result === 'UNAUTHENTICATED')).toBe(true);
      const left = await withClient(server.database.url, (client) =>
        client.query(
          'SELECT 1 FROM api_keys k JOIN accounts a ON a.id = k.account_id WHERE a.name = $1 AND revoked_at IS NULL AND scopes @> $2',
          [account, ['ADMIN']],
        ),
      );
      expect(left.rowCount).toBe(1);
    }
  });

  test('revokes a key without ADMIN, and returns ConflictError when the only ADMIN key revokes itself', async () => {
    const admin = await server.createKey('small', ['ADMIN']);
    const reader = await server.createKey('small', ['READ']);
    const revoke = async (key: string) =>
      (await server.graphql<Revoked>(REVOKE, { id: await idOf(key) }, admin)).revokeApiKey.__typename;
    expect(await revoke(reader)).toBe('ApiKey');
    expect(await revoke(admin)).toBe('ConflictError');
    expect(await statusWith({ 'X-API-Key': admin })).toBe(200);
  });
});

describe('API_KEY', () => {
  test.each([
    ['any 32 characters', 'x'.repeat(32)],
    ['spaces and punctuation', 'correct horse battery staple, <b>"quoted"</b>!'],
    ['the prefix without a checksum', `sluice_${'z'.repeat(40)}`],
  ])('becomes an ADMIN key of the account default when it is %s', async (_name, key) => {
    const one = await start({ API_KEY: key });
    const { viewer } = await one.graphql<Viewer>(VIEWER, {}, key);
    expect(viewer).toMatchObject({ accountName: 'default', key: { scopes: ['ADMIN'], name: 'API_KEY setting' } });
    expect(key).not.toBe(viewer.key.prefix);
    expect(viewer.key.prefix.length).toBeLessThanOrEqual(12);
  });

  test('is the same key after a restart', async () => {
    const key = randomBytes(20).toString('hex');
    const first = await idOf(key, await start({ API_KEY: key }));
    expect(await idOf(key, await start({ API_KEY: key }))).toBe(first);
  });

  test('stays revoked when a server starts with a revoked key', async () => {
    const key = randomBytes(20).toString('hex');
    await start({ API_KEY: key });
    await server.graphql(REVOKE, { id: await idOf(key) });
    const again = await start({ API_KEY: key });
    await eventually(
      () => statusWith({ 'X-API-Key': key }),
      (status) => status === 401,
    );
    expect(await statusWith({ 'X-API-Key': key }, again)).toBe(401);
  });
});

describe('lastUsedAt', () => {
  test('is updated at most once a minute when two servers use the key', async () => {
    const key = await server.createKey('default', ['READ']);
    const id = await idOf(key);
    const lastUsed = async (): Promise<number> => {
      const { node } = await server.graphql<{ node: { lastUsedAt: string | null } }>(
        'query ($id: ID!) { node(id: $id) { ... on ApiKey { lastUsedAt } } }',
        { id },
      );
      return Date.parse(node.lastUsedAt ?? '');
    };
    const begun = now;
    await eventually(lastUsed, (at) => at === begun.getTime());
    now = new Date(begun.getTime() + 59_000);
    // After the cached key expires, the server reads the key again and does not update lastUsedAt.
    await forgotten();
    await idOf(key);
    await forgotten();
    expect(await lastUsed()).toBe(begun.getTime());
    now = new Date(begun.getTime() + 61_000);
    await idOf(key);
    await eventually(lastUsed, (at) => at === now.getTime());
  });
});

/** Waits until the server has read a key that it had cached from the database again. */
const forgotten = async (): Promise<void> => {
  const key = await server.createKey('default', ['READ']);
  const id = await idOf(key);
  await server.graphql(REVOKE, { id });
  await eventually(
    () => statusWith({ 'X-API-Key': key }),
    (status) => status === 401,
  );
};

describe('apiKeys', () => {
  test('returns the keys whose name contains the text of `search`, ignoring case', async () => {
    for (const name of ['Nightly 100%', 'nightly intake', 'reader']) {
      await server.graphql(
        'mutation ($name: String!) { createApiKey(input: { name: $name, scopes: [READ] }) { __typename } }',
        { name },
      );
    }
    const find = async (search: string): Promise<string[]> => {
      const { apiKeys } = await server.graphql<{ apiKeys: { edges: { node: { name: string } }[] } }>(
        'query ($search: String) { apiKeys(search: $search, first: 100) { edges { node { name } } } }',
        { search },
      );
      return apiKeys.edges.map(({ node: { name } }) => name).toSorted();
    };
    expect(await find('NIGHTLY')).toEqual(['Nightly 100%', 'nightly intake']);
    expect(await find('100%')).toEqual(['Nightly 100%']);
    expect(await find('%')).toEqual(['Nightly 100%']);
    expect(await find('\0')).toEqual([]);
    expect(await find('nobody')).toEqual([]);
  });
});
