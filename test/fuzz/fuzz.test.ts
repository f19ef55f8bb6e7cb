import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSchema } from '../../src/graphql/schema/schema.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { fuzz } from './run.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

// A small share with a seed that stays: npm run test:fuzz sends 100,000, others each time.
test('700 random inputs of every kind > get a response without a 5xx', async () => {
  const { faults, byKind, byStatus } = await fuzz({ target: server, schema: createSchema(), seed: 1, count: 700 });
  expect(faults).toEqual([]);
  expect(Object.keys(byKind)).toHaveLength(12);
  // Else all the rest were refused at the door.
  expect(byStatus['200']).toBeGreaterThan(150);
});
