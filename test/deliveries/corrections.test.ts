import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, createJob, exportAgain, innerId, querySql, readExport, updateJob } from '../support/job-steps.ts';
import {
  checkedAll,
  daysAgo,
  deliverDay,
  deliveriesOf,
  restatedJob,
  restatementsOf,
  revert,
  settled,
  settleImmediately,
  write,
} from '../support/correction-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
});
afterAll(() => server.stop());

const at = (day: number, elementName: string, value: string, hour = 5) => ({
  timestamp: daysAgo(day, hour),
  elementName,
  value,
});

/** Delivers the window of 9 days ago with acme 100 and hooli 250. */
async function deliver(stream: string, settings = {}) {
  await addRecords(server, stream, 'HOURLY', [at(9, 'acme', '100'), at(9, 'hooli', '250')]);
  return deliverDay(server, stream, 9, settings);
}

const marksOf = (jobId: string) =>
  querySql<{ touched: boolean }>(server, 'SELECT touched_at IS NOT NULL AS touched FROM deliveries WHERE job_id = $1', [
    innerId(jobId),
  ]);

/** Returns the spans of the last days that do not agree with the ledger or are not checked yet. */
async function staleSpans(jobId: string): Promise<object[]> {
  const { job } = await server.graphql<{ job: { coverage: { stale: object[] } } }>(
    `query ($id: ID!, $from: DateTime!, $to: DateTime!) { job(id: $id) { coverage(from: $from, to: $to) { stale { from to } } } }`,
    { id: jobId, from: daysAgo(20), to: daysAgo(1) },
  );
  return job.coverage.stale;
}

async function correctionCount(): Promise<number> {
  const [row] = await querySql<{ count: number }>(server, 'SELECT count(*)::int AS count FROM corrections');
  return row?.count ?? 0;
}

describe('correction', () => {
  test('leads to the next revision of the exact window', async () => {
    const { jobId } = await deliver('late');
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 1, staleSince: null }]);
    await write(server, 'allocationSum', 'late', [at(9, 'acme', '40')]);
    await settled(server);
    expect(await restatementsOf(server, jobId)).toMatchObject([
      { status: 'SUCCEEDED', windowStart: daysAgo(9), windowEnd: daysAgo(8), scheduledFor: daysAgo(8, 1) },
    ]);
    expect(await deliveriesOf(server, jobId)).toMatchObject([
      { state: 'CURRENT', revision: 2, staleSince: null, pendingOperations: [] },
    ]);
  });

  test('causes one restatement for all corrections until the check', async () => {
    const { jobId } = await deliver('several', { cron: '0 1 * * *' });
    await settled(server);
    await querySql(server, 'UPDATE jobs SET settle_seconds = 3600 WHERE id = $1', [innerId(jobId)]);
    const sum = await write(server, 'allocationSum', 'several', [at(9, 'acme', '40'), at(9, 'initech', '7')]);
    const replace = await write(server, 'allocationReplace', 'several', [at(9, 'hooli', '150')]);
    await eventually(
      () => deliveriesOf(server, jobId),
      ([one]) => one?.state === 'TOUCHED' && one.pendingOperations.length === 2,
      20_000,
    );
    const [touched] = await deliveriesOf(server, jobId);
    expect(touched?.pendingOperations).toEqual([
      { id: replace, kind: 'REPLACE' },
      { id: sum, kind: 'SUM' },
    ]);
    expect(await staleSpans(jobId)).toEqual([{ from: daysAgo(9), to: daysAgo(8) }]);
    await querySql(server, 'UPDATE deliveries SET check_at = now() WHERE job_id = $1', [innerId(jobId)]);
    await settled(server);
    expect(await restatementsOf(server, jobId)).toHaveLength(1);
  });

  test('is not stored if it touches only buckets after all windows', async () => {
    await deliver('open');
    await checkedAll(server);
    const before = await correctionCount();
    const now = { timestamp: new Date().toISOString(), value: '1' };
    await write(
      server,
      'allocationSum',
      'open',
      Array.from({ length: 5000 }, (_, index) => ({ ...now, elementName: `e${index}` })),
    );
    await checkedAll(server);
    expect(await correctionCount()).toBe(before);
  });

  test('touches only jobs whose filter and streams it concerns', async () => {
    const dimensioned = (env: string, value: string) => ({
      ...at(9, 'acme', value),
      filter: [{ dimension: 'env', values: [env] }],
    });
    await addRecords(server, 'filtered', 'HOURLY', [dimensioned('prod', '1'), dimensioned('dev', '2')]);
    const filter = (env: string) => ({ filter: [{ dimension: 'env', values: [env] }] });
    const prod = await deliverDay(server, 'filtered', 9, filter('prod'));
    const dev = await deliverDay(server, 'filtered', 9, filter('dev'));
    const element = await deliverDay(server, 'filtered', 9, { filter: [{ dimension: 'element', values: ['hooli'] }] });
    const all = await deliverDay(server, 'filtered', 9, { meterApiNames: null });
    await write(server, 'allocationSum', 'filtered', [dimensioned('dev', '40')]);
    await settled(server);
    const counts = await Promise.all(
      [prod, dev, element, all].map(async ({ jobId }) => (await restatementsOf(server, jobId)).length),
    );
    expect(counts).toEqual([0, 1, 0, 1]);
    // A new stream belongs to the job without names.
    await addRecords(server, 'gpu', 'HOURLY', [at(9, 'acme', '3')]);
    await settled(server);
    const restated = await restatementsOf(server, all.jobId);
    expect(restated).toHaveLength(2);
    expect(restated.map((run) => readExport(server, run).text.includes('gpu,'))).toContain(true);
    await updateJob(server, all.jobId, { enabled: false, meterApiNames: ['filtered'] });
  });

  test('leaves a window STALE that ended before restateWithin, or whose job has restatement NONE', async () => {
    const old = await deliver('old', { restateWithin: 'ago(7d)' });
    const none = await deliverDay(server, 'old', 9, { restatement: 'NONE', cron: null, enabled: false });
    const id = await write(server, 'allocationSum', 'old', [at(9, 'acme', '40')]);
    await settled(server);
    for (const { jobId } of [old, none]) {
      const [delivery] = await deliveriesOf(server, jobId);
      expect(delivery).toMatchObject({ state: 'STALE', revision: 1, pendingOperations: [{ id, kind: 'SUM' }] });
      expect(delivery?.staleSince).not.toBeNull();
      expect(await restatementsOf(server, jobId)).toEqual([]);
    }
    expect(await staleSpans(none.jobId)).toEqual([{ from: daysAgo(9), to: daysAgo(8) }]);
    // The correction undone, the rows agree again.
    await revert(server, id);
    await settled(server);
    expect(await deliveriesOf(server, none.jobId)).toMatchObject([{ state: 'CURRENT', staleSince: null }]);
  });

  test('is restated when a disabled job is enabled', async () => {
    const { jobId } = await deliver('disabled', { enabled: false });
    await write(server, 'allocationSum', 'disabled', [at(9, 'acme', '40')]);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'STALE', revision: 1 }]);
    expect(await restatementsOf(server, jobId)).toEqual([]);
    await write(server, 'allocationSum', 'disabled', [at(9, 'acme', '1')]);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'STALE', revision: 1 }]);
    await updateJob(server, jobId, { enabled: true });
    await write(server, 'allocationSum', 'disabled', [at(9, 'acme', '1')]);
    await settleImmediately(server, jobId);
    await eventually(
      () => deliveriesOf(server, jobId),
      ([one]) => one?.revision === 2,
      100_000,
    );
  });
});

describe('calendar dates', () => {
  test.each(['America/New_York', 'Pacific/Kiritimati'])(
    'of a DAILY stream touch only the window of the date in %s',
    async (timeZone) => {
      const stream = `daily-${timeZone.replace('/', '-')}`;
      await addRecords(server, stream, 'DAILY', [{ timestamp: daysAgo(9), elementName: 'acme', value: '1' }]);
      const jobId = await createJob(server, restatedJob(stream, { timeZone, restatement: 'NONE' }));
      for (const day of [7, 8, 9]) await exportAgain(server, jobId, daysAgo(day, 11));
      await write(
        server,
        'allocationSum',
        stream,
        [{ timestamp: daysAgo(9), elementName: 'acme', value: '40' }],
        'DAILY',
      );
      await checkedAll(server);
      await eventually(
        () => marksOf(jobId),
        (marks) => marks.some(({ touched }) => touched),
        10_000,
      );
      const { rows } = {
        rows: await querySql<{ date: string }>(
          server,
          'SELECT date_start::text AS date FROM deliveries WHERE job_id = $1 AND touched_at IS NOT NULL',
          [innerId(jobId)],
        ),
      };
      expect(rows).toEqual([{ date: daysAgo(9).slice(0, 10) }]);
    },
  );

  test('of a DAILY stream touch only the newest of several windows with the date', async () => {
    const stream = 'daily-overlapping';
    const record = { timestamp: daysAgo(9), elementName: 'acme', value: '1' };
    await addRecords(server, stream, 'DAILY', [record]);
    const jobId = await createJob(server, restatedJob(stream, { range: 'ago(3d)', restatement: 'NONE' }));
    await settleImmediately(server, jobId);
    for (const day of [8, 7]) {
      await exportAgain(server, jobId, daysAgo(day, 1));
      await querySql(server, 'UPDATE deliveries SET by_slot = true WHERE job_id = $1', [innerId(jobId)]);
      await exportAgain(server, jobId, daysAgo(day, 1));
    }
    await settled(server);
    await querySql(server, 'UPDATE jobs SET settle_seconds = 3600 WHERE id = $1', [innerId(jobId)]);
    await write(server, 'allocationSum', stream, [record], 'DAILY');
    await eventually(
      () => deliveriesOf(server, jobId),
      ([newest]) => newest?.state === 'TOUCHED',
    );
    await checkedAll(server);
    expect((await deliveriesOf(server, jobId)).map(({ state }) => state)).toEqual(['TOUCHED', 'CURRENT']);
  });
});

describe('scan', () => {
  test('stores one row for more than 1,000 operations of a stream, and finds them although transactions commit in another order', async () => {
    const { jobId } = await deliver('many');
    await settled(server);
    await querySql(server, 'UPDATE jobs SET settle_seconds = 3600 WHERE id = $1', [innerId(jobId)]);
    const [stream] = await querySql<{ id: string; account_id: string }>(
      server,
      `SELECT id, account_id FROM streams WHERE name = 'many'`,
    );
    await querySql(
      server,
      `INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256, first_bucket, last_bucket)
       SELECT $1, nextval('operation_ids'), $2, 'SUM', now(), pg_current_xact_id(), true, 0, 0, '', $3::timestamptz, $3::timestamptz FROM generate_series(1, 1200)`,
      [stream?.account_id, stream?.id, daysAgo(9, 5)],
    );
    await write(server, 'allocationSum', 'many', [at(9, 'acme', '40')]);
    await checkedAll(server);
    const rows = await querySql<{ is_summary: boolean }>(
      server,
      'SELECT operation_id < 0 AS is_summary FROM corrections WHERE stream_id = $1',
      [stream?.id],
    );
    expect(rows.filter(({ is_summary }) => is_summary)).toHaveLength(1);
    expect(rows.length).toBeLessThanOrEqual(3);
    await querySql(server, 'UPDATE deliveries SET check_at = now() WHERE job_id = $1', [innerId(jobId)]);
    await settled(server);
    expect(await restatementsOf(server, jobId)).toHaveLength(1);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
  });

  test('finds an operation whose transaction began first and commits last', async () => {
    const { jobId, text } = await deliver('crossing');
    expect(text).toContain('acme');
    await withClient(server.database.url, async (client) => {
      await client.query('BEGIN');
      await client.query(
        `WITH s AS (SELECT account_id, id FROM streams WHERE name = 'crossing'), o AS (
           INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256, first_bucket, last_bucket)
           SELECT account_id, nextval('operation_ids'), id, 'SUM', now(), pg_current_xact_id(), false, 1, 0, '', $1::timestamptz, $1::timestamptz FROM s
           RETURNING account_id, id, stream_id)
         INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id)
         SELECT o.account_id, o.stream_id, $1::timestamptz, (SELECT min(f.id) FROM filters f WHERE f.stream_id = o.stream_id), 'initech', 7, o.id FROM o`,
        [daysAgo(9, 5)],
      );
      await write(server, 'allocationSum', 'crossing', [at(9, 'acme', '40')]);
      await settled(server);
      expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
      await client.query('COMMIT');
    });
    await settled(server);
    expect(
      (await restatementsOf(server, jobId)).map(({ rowsWritten }) => rowsWritten).toSorted((a, b) => a - b),
    ).toEqual([2, 3]);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 3 }]);
  });
});
