import { afterAll, beforeAll, expect, test } from 'vitest';
import { addRecords, innerId, querySql, readExport, runsOf } from '../support/job-steps.ts';
import {
  checkedAll,
  daysAgo,
  deliverDay,
  deliveriesOf,
  restatementsOf,
  settled,
  write,
} from '../support/correction-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
});
afterAll(() => server.stop());

test('a restored database > restates only what was marked or may be missing, and continues to find corrections', async () => {
  const record = { timestamp: daysAgo(9, 5), elementName: 'acme', value: '100' };
  await addRecords(server, 'marked', 'HOURLY', [record]);
  await addRecords(server, 'other', 'HOURLY', [record]);
  const marked = await deliverDay(server, 'marked', 9);
  const other = await deliverDay(server, 'other', 9);
  await settled(server);
  await querySql(server, 'UPDATE jobs SET settle_seconds = 3600 WHERE id = $1', [innerId(marked.jobId)]);
  const operation = await write(server, 'allocationSum', 'marked', [record]);
  await checkedAll(server);
  expect(await deliveriesOf(server, marked.jobId)).toMatchObject([{ state: 'TOUCHED' }]);
  await querySql(server, `UPDATE operations SET received_at = received_at - interval '3 days'`);
  await querySql(server, 'UPDATE ledgers SET system_identifier = 1');
  await eventually(
    () => querySql<{ restored: boolean }>(server, 'SELECT history_from IS NOT NULL AS restored FROM ledger_cursors'),
    ([row]) => row?.restored === true,
    100_000,
  );
  await settled(server);
  expect(await deliveriesOf(server, marked.jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
  expect(await deliveriesOf(server, other.jobId)).toMatchObject([{ state: 'CURRENT', revision: 1 }]);
  expect(await runsOf(server, other.jobId)).toHaveLength(1);
  const [restated] = await restatementsOf(server, marked.jobId);
  if (!restated) throw new Error('The window was not restated.');
  expect(readExport(server, restated)).toMatchObject({
    text: expect.stringContaining(',acme,200\n') as string,
    manifest: { revision: 2, supersedes: { revision: 1 }, changes: null },
  });
  const { usage } = await server.graphql<{ usage: { code?: string } }>(
    'query ($input: UsageInput!) { usage(input: $input) { __typename ... on UserError { code } } }',
    {
      input: {
        meterApiNames: ['marked'],
        from: daysAgo(9),
        to: daysAgo(8),
        aggregationBucket: 'DAY',
        asOf: { operation },
      },
    },
  );
  expect(usage).toEqual({ __typename: 'ConflictError', code: 'HISTORY_GONE' });
  await write(server, 'allocationSum', 'other', [record]);
  await settled(server);
  expect(await deliveriesOf(server, other.jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
});
