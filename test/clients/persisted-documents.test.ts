import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';
import { installPackages, openFolder } from './example.ts';

const FOLDER = join(ROOT, 'conventions/persisted');
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  await installPackages(openFolder(FOLDER));
});
afterAll(() => server.stop());

const startAnother = (env: Readonly<Record<string, string>>): Promise<TestServer> =>
  startTestServer({ env: { ROLE: 'api', ...env }, database: server.database, s3: server.s3 });

/** Returns the results and the requests of a client. */
const ask = async (client: string, method: string, asked: TestServer): Promise<unknown> => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(FOLDER, client), method], {
    env: { ...process.env, SLUICE_URL: asked.url, SLUICE_KEY: asked.key },
    timeout: 60_000,
  });
  return JSON.parse(stdout);
};

const BOTH = Array.from({ length: 2 }, () => ({
  viewer: expect.objectContaining({ accountName: 'default' }) as unknown,
}));
const byId = (method: string, code: string | null = null) => ({ method, document: false, id: true, code });
const withDocument = (method: string) => ({ method, document: true, id: true, code: null });
const without = (method: string) => ({ method, document: true, id: false, code: null });

describe.each([
  ['apollo.ts', 'POST'],
  // With GET, urql also sends short documents with GET.
  ['urql.ts', 'GET'],
])('conventions/persisted/%s', (client, documentBy) => {
  test.each([['POST'], ['GET']])('sends ids with %s, and an unknown one again with its document', async (method) => {
    // A server that does not know the document yet.
    const fresh = await startAnother({});
    try {
      expect(await ask(client, method, fresh)).toEqual({
        results: BOTH,
        requests: [
          byId(method, 'PERSISTED_QUERY_NOT_FOUND'),
          withDocument(method === 'GET' ? documentBy : 'POST'),
          byId(method),
        ],
      });
    } finally {
      await fresh.stop();
    }
  });

  test('sends documents only when the server stores none', async () => {
    const keepsNone = await startAnother({ PERSISTED_DOCUMENT_BYTES: '0' });
    try {
      expect(await ask(client, 'POST', keepsNone)).toEqual({
        results: BOTH,
        requests: [byId('POST', 'PERSISTED_QUERY_NOT_SUPPORTED'), without('POST'), without('POST')],
      });
    } finally {
      await keepsNone.stop();
    }
  });
});
