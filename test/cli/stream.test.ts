import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, filterOf } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runInTerminal } from '../support/terminal.ts';
import { type Client, clientOf } from './client-steps.ts';

let server: TestServer;
let first: Client;
let other: Client;
let empty: Client;

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  first = clientOf(server);
  other = clientOf(server, await server.createKey('other', ['ADMIN']));
  empty = clientOf(server, await server.createKey('empty', ['ADMIN']));
  const record = {
    timestamp: '2026-01-25T00:00:00Z',
    elementName: 'e',
    value: '1',
    filter: filterOf({ region: 'eu' }),
  };
  await addRecords(server, 'calls', 'DAILY', [record, { ...record, timestamp: '2026-01-26T00:00:00Z' }]);
  await addRecords(server, 'calls', 'DAILY', [record]);
  await addRecords(server, 'seconds', 'HOURLY', [{ ...record, filter: [] }]);
});
afterAll(() => server.stop());

describe('stream list', () => {
  test('prints a table by name, or one JSON object per line', async () => {
    const { code, stdout, stderr } = await first.run('stream', 'list');
    expect([code, stderr]).toEqual([0, '']);
    const [head, calls, seconds, end] = stdout.split('\n');
    expect(head).toMatch(/^STREAM +GRANULARITY +DIMENSIONS +FIRST +LAST +COMPLETE THROUGH +LAST OPERATION$/);
    expect(calls).toMatch(/^calls +DAILY +region +2026-01-25T00:00:00Z +2026-01-26T00:00:00Z +- +\S+Z$/);
    expect(seconds).toMatch(/^seconds +HOURLY +- +2026-01-25T00:00:00Z /);
    expect(end).toBe('');
    expect(await first.json('stream', 'list', '--search', 'ALL')).toMatchObject([
      { name: 'calls', granularity: 'DAILY', dimensions: ['region'], firstTimestamp: '2026-01-25T00:00:00Z' },
    ]);
  });

  test('pages through all streams up to --limit, and says when there are more', async () => {
    const input = (stream: string) => ({
      stream,
      records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'e', value: '1' }],
    });
    const key = await server.createKey('many', ['ADMIN']);
    const names = Array.from({ length: 103 }, (_, index) => `s${String(index).padStart(3, '0')}`);
    for (const name of names) {
      await server.graphql(
        'mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename } }',
        { input: input(name) },
        key,
      );
    }
    const many = clientOf(server, key);
    const listed = await many.json<{ name: string }>('stream', 'list', '--limit', '1000');
    expect(listed.map(({ name }) => name)).toEqual(names);
    const { stdout, stderr } = await many.run('stream', 'list', '--limit', '101');
    expect(stdout.trimEnd().split('\n')).toHaveLength(102);
    expect(stderr).toBe('There are more than 101 streams. List more with --limit.\n');
  });

  test('says how to send records when the account has no stream', async () => {
    expect(await empty.run('stream', 'list')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'No streams found. Send records: npm run -s sluice -- ingest FILE --stream NAME\n',
    });
    expect(await empty.json('stream', 'list')).toEqual([]);
  });
});

describe('stream show', () => {
  test('prints the stream and its newest operations', async () => {
    const { code, stdout } = await first.run('stream', 'show', 'calls');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Stream: +calls\nId: +\S+\nGranularity: +DAILY\nDimensions: +region\n/);
    expect(stdout).toMatch(
      /\nRecords: +from 2026-01-25T00:00:00Z to 2026-01-26T00:00:00Z\nComplete through: +never declared\n\n/,
    );
    expect(stdout).toMatch(
      /\nRECEIVED +KIND +INSERTED +HIDDEN +FIRST +LAST +ID\n\S+Z +SUM +1 +0 .*\n\S+Z +SUM +2 +0 .*\n$/,
    );
    const [stream] = await first.json<{ operations: unknown[] }>('stream', 'show', 'calls', '--limit', '1');
    expect(stream).toMatchObject({ name: 'calls', operations: [{ kind: 'SUM', insertedRecords: 1 }] });
  });

  test('fails for a stream of another account', async () => {
    expect(await other.run('stream', 'show', 'calls')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'Stream "calls" does not exist. List the names: npm run -s sluice -- stream list\n',
    });
  });
});

describe('stream delete', () => {
  const send = (name: string) =>
    addRecords(server, name, 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' }]);
  const exists = async (name: string) => (await first.run('stream', 'show', name)).code === 0;

  test('requires --force if the stream has records', async () => {
    await send('forced');
    expect(await first.run('stream', 'delete', 'forced')).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'The stream "forced" has records from 2026-01-25T00:00:00Z to 2026-01-25T00:00:00Z. Usage and exports will no longer contain them. Nothing was deleted. Confirm it with --force.\n',
    });
    expect(await exists('forced')).toBe(true);
    expect(await other.run('stream', 'delete', 'forced', '--force')).toMatchObject({ code: 1 });
    expect(await first.json('stream', 'delete', 'forced', '--force')).toMatchObject([{ name: 'forced' }]);
    expect(await exists('forced')).toBe(false);
  });

  test.runIf(process.platform === 'linux')('asks in a terminal', async () => {
    await send('asked');
    const answer = (keys: string) => {
      let isAnswered = false;
      return runInTerminal(['stream', 'delete', 'asked'], {
        columns: 200,
        settings: { SLUICE_URL: server.url, API_KEY: server.key },
        onOutput: (all, type) => {
          if (isAnswered || !all.includes('Type yes to delete: ')) return;
          isAnswered = true;
          type(keys);
        },
      });
    };
    expect((await answer('no\n')).stdout).toContain('Nothing was deleted.');
    expect((await answer('\u0003')).code).toBe(130);
    expect(await exists('asked')).toBe(true);
    expect((await answer('yes\n')).stdout).toContain('Deleted the stream "asked".');
    expect(await exists('asked')).toBe(false);
  });
});
