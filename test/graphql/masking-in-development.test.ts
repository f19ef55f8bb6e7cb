import { expect, test } from 'vitest';

// Packages read NODE_ENV when they are loaded, and unmask errors in development. So it is set before any other import.
process.env['NODE_ENV'] = 'development';

test('errors of the server > are masked when NODE_ENV is development', async () => {
  const { startTestServer } = await import('../support/server.ts');
  const { withClient } = await import('../support/postgres-admin.ts');
  const server = await startTestServer({ env: { ROLE: 'api' } });
  await withClient(server.database.url, (client) => client.query('DROP TABLE streams CASCADE'));
  const { errors } = await server.request('{ streams { edges { cursor } } }');
  expect(errors).toEqual([
    {
      message: expect.stringMatching(
        /^Unexpected error\. The log of the server contains the cause under the id [0-9a-f-]{36}\.$/,
      ),
      locations: [{ line: 1, column: 3 }],
      path: ['streams'],
      extensions: { code: 'INTERNAL', errorId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
    },
  ]);
  await server.stop();
});
