import pg from 'pg';
import { expect, test } from 'vitest';
import { createLogLines } from '../support/log-lines.ts';
import { eventually, startTestServer } from '../support/server.ts';

const WARN = 40;

test('a client that goes before its answer is no failure of the server', async () => {
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
  const waiting = `SELECT count(*)::int AS waiting FROM pg_locks WHERE NOT granted AND relation = 'streams'::regclass`;
  await eventually(
    async () => (await other.query<{ waiting: number }>(waiting)).rows[0]?.waiting,
    (count) => count !== undefined && count > 0,
  );
  leaving.abort();
  await expect(request).rejects.toThrow('aborted');
  await other.query('COMMIT');
  await other.end();

  // What the server does with the one that has gone comes before its answer to the next.
  await server.graphql('{ streams { totalCount } }');
  await server.stop();
  expect(lines().filter(({ level }) => level >= WARN)).toEqual([]);
});
