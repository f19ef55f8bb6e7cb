import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allocationPath, ask, type RestAnswer, type RestFailure, send } from '../rest/requests.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';

// Parsed JSON can take twenty times the memory of its text. The heap of this server has room for a few such bodies only.

const HEAP_MB = 200;
const AT_ONCE = 5;

let server: ServerProcess;
beforeAll(async () => {
  server = await startServerProcess({ NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` });
});
afterAll(() => server?.stop());

const EMPTY_OBJECTS = `[${'{},'.repeat(500)}{}]`;
/** 3.7 MB of JSON that take 80 MB when parsed. */
const RECORDS = `[0,${`{"filter":${EMPTY_OBJECTS}},`.repeat(2400)}0]`;

const sendAtOnce = (route: string, body: string): Promise<RestAnswer<RestFailure>[]> =>
  Promise.all(
    Array.from({ length: AT_ONCE }, () =>
      ask(server, route, { body, headers: { 'content-type': 'application/json' } }),
    ),
  );

describe('bodies that are many times as large when parsed', () => {
  test.each([
    ['sum', 5],
    ['delete', 3],
  ] as const)('do not exhaust the memory when several arrive concurrently: REST %s', async (verb, issuesOfRecord) => {
    await send(
      server,
      'JSON',
      ['x', 'sum'],
      ['{"timestamp":"2026-01-25","granularity":"DAILY","element-name":"a","value":1}'],
    );
    const answers = await sendAtOnce(`POST ${allocationPath('x', verb)}`, `{"records":${RECORDS}}`);
    const found = answers.map(({ status, body }) => [status, body.error.issueCount, body.error.issues.length]);
    expect(found).toEqual(Array.from({ length: AT_ONCE }, () => [400, 2400 * issuesOfRecord + 2, 100]));
  });
});
