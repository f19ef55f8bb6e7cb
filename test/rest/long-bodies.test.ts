import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { send } from './requests.ts';

// The work at the end of a body is linear in its number of records, not quadratic. Comparing each
// record with all others of its bucket would take minutes for these bodies, and would end at INTAKE_MAX_SECONDS.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', INTAKE_MAX_SECONDS: '12' } });
});
afterAll(() => server.stop());

const COUNT = 25_000;

const shapes: [what: string, lineAt: (index: number) => string][] = [
  ['elements of one filter', (index) => `"filter":{"d":["a"]},"element-name":"e${index}"`],
  ['filters of one element', (index) => `"filter":{"d":["f${index}"]},"element-name":"e"`],
];

test.each(shapes)('%s of one bucket > are summed, replaced and deleted in seconds', async (what, lineAt) => {
  const stream = what.replaceAll(' ', '-');
  const lines = (value: string): string[] =>
    Array.from(
      { length: COUNT },
      (_, index) => `{"timestamp":"2026-01-25","granularity":"DAILY",${lineAt(index)}${value}}`,
    );
  const answers = [await send(server, 'NDJSON', [stream, 'sum'], lines(',"value":1'))];
  answers.push(await send(server, 'NDJSON', [stream, 'replace'], lines(',"value":2')));
  answers.push(await send(server, 'NDJSON', [stream, 'delete'], lines('')));
  expect(answers.map(({ status, body }) => [status, body.insertedRecords, body.hiddenRecords])).toEqual([
    [200, COUNT, 0],
    [200, COUNT, COUNT],
    [201, 0, COUNT],
  ]);
});
