import pg from 'pg';
import { expect, test } from 'vitest';
import { selectWaiting } from '../support/lock-waits.ts';
import { createLogLines } from '../support/log-lines.ts';
import { eventually, startTestServer } from '../support/server.ts';

const WARN = 40;

test('server > logs no error when a client disconnects before the response', async () => {
  const { log, lines } = createLogLines();
  const server = await startTestServer({ env: { ROLE: 'api' }, resources: { log } });
  const other = new pg.Client({ connectionString: server.database.url });
  await other.connect();
  await other.query('BEGIN; LOCK TABLE streams');

  const leaving = new AbortController();
  const request = fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': server.key },
    body: JSON.stringify({ query: '{ streams { totalCount } }' }),
    signal: leaving.signal,
  });
  request.catch(() => undefined);
  await eventually(
    async () => (await other.query(selectWaiting("relation = 'streams'::regclass"))).rows,
    (waiting) => waiting.length > 0,
  );
  leaving.abort();
  await expect(request).rejects.toThrow('aborted');
  await other.query('COMMIT');
  await other.end();

  // The server handles the closed connection before it answers the next request.
  await server.graphql('{ streams { totalCount } }');
  await server.stop();
  expect(lines().filter(({ level }) => level >= WARN)).toEqual([]);
});
