import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { forgetTotals } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { expectHistory } from './played-histories.ts';
import { history, question } from './random-requests.ts';
import { readRecords, type RecordInput, write } from './writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const entry = (dimension: string, ...values: string[]) => ({ dimension, values });

let deletes = 0;
test.each<[string, Partial<RecordInput>, string[]]>([
  ['the bucket alone', {}, []],
  ['an element', { elementName: 'e1' }, ['1', '3', '5']],
  ['an empty filter', { filter: [], elementName: 'e2' }, ['0', '2', '4']],
  [
    'all dimensions, in another order',
    { filter: [entry('team', 'b', 'a'), entry('region', 'eu')] },
    ['2', '3', '4', '5'],
  ],
  ['one dimension', { filter: [entry('region', 'eu')] }, ['2', '3', '4', '5']],
  ['a part of the values of a dimension', { filter: [entry('team', 'a')] }, ['0', '1', '2', '3', '4', '5']],
  ['the values of another dimension', { filter: [entry('region', 'a', 'b')] }, ['0', '1', '2', '3', '4', '5']],
  ['a filter and an element', { filter: [entry('team', 'c')], elementName: 'e1' }, ['0', '1', '2', '3', '5']],
  ['another bucket', { timestamp: '2026-01-26T00:00:00Z' }, ['0', '1', '2', '3', '4', '5']],
])('a delete by %s leaves what it does not name', async (_, selector, expected) => {
  const stream = `deletes-${(deletes += 1)}`;
  const filters = [
    [entry('region', 'eu'), entry('team', 'a', 'b')],
    [entry('region', 'us'), entry('team', 'a', 'b')],
    [entry('region', 'us'), entry('team', 'c')],
  ];
  const bucket = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY' };
  // Values 0 to 5: two elements for each filter.
  const records = filters.flatMap((filter, index) =>
    ['e1', 'e2'].map((elementName, at) => ({ ...bucket, filter, elementName, value: String(index * 2 + at) })),
  );
  await write(server, 'Sum', { stream, records });
  const answer = await write(server, 'Delete', { stream, records: [{ ...bucket, ...selector }] });
  expect(answer.operation?.hiddenRecords).toBe(6 - expected.length);
  const left = (await readRecords(server, stream)) ?? [];
  expect(left.map((record) => record.value).toSorted()).toEqual(expected);
});

let accounts = 0;
test(
  'random histories > have the live values, counts, usage and earlier usage of the model',
  { timeout: 240_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.array(question, { minLength: 2, maxLength: 2 }), async (one, questions) => {
        const accountName = `history-${(accounts += 1)}`;
        await expectHistory(
          { server, accountName, forgetTotals: (_, stream) => forgetTotals(server, stream) },
          one,
          questions,
        );
      }),
      { numRuns: 40 },
    );
  },
);
