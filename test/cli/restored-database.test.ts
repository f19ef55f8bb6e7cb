import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrate } from '../../src/db/migrate.ts';
import { withClient } from '../support/postgres-admin.ts';
import {
  addRecords,
  createJob,
  endedRun,
  filterOf,
  innerId,
  querySql,
  readExport,
  runJob,
} from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

/** How far the transaction ids of the cluster that the copy was taken from were ahead of this one's. */
const AHEAD = 1_000_000_000_000n;

/** What pg_dump and a restore into a new cluster do to the ledger: the rows come, the cluster's count does not. */
const moveToAnotherCluster = () =>
  withClient(server.database.url, async (client) => {
    const ahead = (column: string) => `(${column}::text::numeric + ${AHEAD})::text::xid8`;
    await client.query(`UPDATE operations SET xid = ${ahead('xid')}`);
    await client.query(
      `UPDATE streams SET created_xid = ${ahead('created_xid')}, deleted_xid = ${ahead('deleted_xid')}`,
    );
  });

const usageOf = async (stream: string): Promise<string | undefined> => {
  const { usage } = await server.graphql<{ usage: { series: { total: string }[] } }>(
    `query ($input: UsageInput!) { usage(input: $input) { ... on Usage { series { total } } } }`,
    {
      input: {
        meterApiNames: [stream],
        from: '2026-01-01T00:00:00Z',
        to: '2026-02-01T00:00:00Z',
        aggregationBucket: 'MONTH',
      },
    },
  );
  return usage.series[0]?.total;
};

const recordOf = (elementName: string, value: string) => ({
  timestamp: '2026-01-25T00:00:00Z',
  filter: filterOf({ region: 'eu' }),
  elementName,
  value,
});

const deleteStream = (name: string) =>
  server.graphql(`mutation ($name: String!) { deleteStream(name: $name) { __typename } }`, { name });

test('a database restored into another cluster reads as it did, once migrate has run', async () => {
  await addRecords(server, 'kept', 'DAILY', [recordOf('hooli', '5')]);
  await addRecords(server, 'kept', 'DAILY', [recordOf('hooli', '2')]);
  await addRecords(server, 'gone', 'DAILY', [recordOf('hooli', '1')]);
  await deleteStream('gone');
  expect([await usageOf('kept'), await usageOf('gone')]).toEqual(['7', undefined]);

  await moveToAnotherCluster();
  // What this is about: to every snapshot of the new cluster all of it lies in the future.
  expect(await usageOf('kept')).toBeUndefined();
  const settings = { DATABASE_URL: server.database.url };
  const before = await runSluice('cli', ['doctor'], settings);
  expect(before).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^ledger +broken +restored from a copy .*migrate/m),
  });

  const repair = await runSluice('cli', ['migrate'], settings);
  expect(repair).toMatchObject({ code: 0, stderr: expect.stringContaining('restored from a copy of another cluster') });
  expect([await usageOf('kept'), await usageOf('gone')]).toEqual(['7', undefined]);
  expect(await migrate(server.database.url)).toEqual({ applied: 0, repaired: false });

  await addRecords(server, 'kept', 'DAILY', [recordOf('hooli', '3')]);
  expect(await usageOf('kept')).toBe('10');
});

test('an unfinished run fixes its watermark anew, since the old one tells nothing in another cluster', async () => {
  await addRecords(server, 'exported', 'DAILY', [recordOf('hooli', '5')]);
  const jobId = await createJob(server, { meterApiNames: ['exported'], range: 'ago(40d)', groupBy: ['element'] });
  const runId = await runJob(server, jobId, '2026-01-28T00:00:00Z');
  const moved = `${AHEAD}:${AHEAD}:`;
  // As between two attempts, the first of which began in the other cluster.
  const between = 'UPDATE runs SET attempt = 1, watermark = $2, watermark_at = now() WHERE id = $1';
  await querySql(server, between, [innerId(runId), moved]);
  await addRecords(server, 'exported', 'DAILY', [recordOf('initech', '1')]);

  expect(await migrate(server.database.url)).toEqual({ applied: 0, repaired: true });
  const worker = await startTestServer({ env: { ROLE: 'worker' }, database: server.database, s3: server.s3 });
  const run = await endedRun(server, runId);
  await worker.stop();
  const { text, manifest } = readExport(server, run);
  expect(text.trimEnd().split('\n').slice(1)).toEqual([
    'exported,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,hooli,5',
    'exported,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,initech,1',
  ]);
  expect(manifest.watermark.snapshot).not.toBe(moved);
});

test('a database that stayed in its cluster is left as it is', async () => {
  const read = () => querySql(server, 'SELECT id, xid::text FROM operations ORDER BY id');
  await addRecords(server, 'kept', 'DAILY', [recordOf('hooli', '4')]);
  const before = await read();
  expect(await migrate(server.database.url)).toEqual({ applied: 0, repaired: false });
  expect(await read()).toEqual(before);
});
