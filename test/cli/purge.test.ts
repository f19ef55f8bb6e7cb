import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { purgeCommand } from '../../src/cli/commands/purge.ts';
import { loadConfig } from '../../src/config/config.ts';
import { findHiddenRecords } from '../../src/streams/purge/find-purgeable.ts';
import { purgeStream } from '../../src/streams/purge/purge.ts';
import { createGate } from '../support/faults.ts';
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
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

/** With a minimum age of 2 s. */
const SHORT_REQUESTS = { REQUEST_TIMEOUT_MS: '1000', INTAKE_MAX_SECONDS: '1' };
const MINIMUM_MS = 2000;

const sluicePurge = (...args: string[]) =>
  runSluice('cli', ['purge', ...args], { ...SHORT_REQUESTS, DATABASE_URL: server.database.url });

/** As if all that happened until now had happened an hour earlier. */
const letAnHourPass = async () => {
  await querySql(
    server,
    `UPDATE operations SET received_at = received_at - interval '1 hour', ended_at = ended_at - interval '1 hour'`,
  );
  await querySql(
    server,
    `UPDATE streams SET deleted_at = deleted_at - interval '1 hour', purged_before = purged_before - interval '1 hour'`,
  );
  for (const table of ['runs', 'deliveries']) {
    await querySql(server, `UPDATE ${table} SET watermark_at = watermark_at - interval '1 hour'`);
  }
};

/** The same in this process, an hour later: what was answered and said. */
const purge = async ({ hidden = false, dryRun = false, olderThanMs = MINIMUM_MS } = {}) => {
  await letAnHourPass();
  const words = { stdout: '', stderr: '' };
  await purgeCommand(
    {
      terminal: { print: (text) => void (words.stdout += text), message: (text) => void (words.stderr += text) },
      log: { debug: () => undefined, warn: () => undefined, error: () => undefined },
      loadConfig: () => loadConfig({ ...SHORT_REQUESTS, DATABASE_URL: server.database.url }),
    },
    { hidden, dryRun, olderThanMs },
  );
  return words;
};

const recordOf = (elementName: string, value: string) => ({
  timestamp: '2026-01-25T00:00:00Z',
  filter: filterOf({ region: 'eu' }),
  elementName,
  value,
});

const deleteStream = (name: string) =>
  server.graphql(`mutation ($name: String!) { deleteStream(name: $name) { __typename } }`, { name });

/** Rows of all streams that ever had the name. */
const rowsOf = async (name: string) => {
  const [counts] = await querySql<{ records: number; filters: number; operations: number; streams: number }>(
    server,
    `SELECT (SELECT count(*)::int FROM records r WHERE r.stream_id = ANY(s.ids)) AS records,
       (SELECT count(*)::int FROM filters f WHERE f.stream_id = ANY(s.ids)) AS filters,
       (SELECT count(*)::int FROM operations o WHERE o.stream_id = ANY(s.ids)) AS operations,
       cardinality(s.ids) AS streams
     FROM (SELECT array_agg(id) AS ids FROM streams WHERE name = $1) s`,
    [name],
  );
  return counts;
};

const SUM = `mutation ($input: AllocationInput!) {
  allocationSum(input: $input) { ... on AllocationReceipt { replayed operation { id insertedRecords } stream { id name } } }
}`;

describe('purge', () => {
  test('removes the records of deleted streams, and a repeated request still returns its receipt', async () => {
    const input = {
      stream: 'dead',
      idempotencyKey: 'first',
      records: [{ ...recordOf('hooli', '5'), granularity: 'DAILY' }],
    };
    const { allocationSum: receipt } = await server.graphql<{ allocationSum: { stream: { id: string } } }>(SUM, {
      input,
    });
    await addRecords(server, 'live', 'DAILY', [recordOf('hooli', '7')]);
    await deleteStream('dead');
    await addRecords(server, 'dead', 'DAILY', [recordOf('reborn', '1')]);
    expect(await rowsOf('dead')).toEqual({ records: 2, filters: 2, operations: 3, streams: 2 });

    const young = await purge({ olderThanMs: 2 * 3_600_000 });
    expect(young.stdout).toMatch(/^nothing to remove: nothing was deleted before /);
    const trial = await sluicePurge('--dry-run', '--older-than', '0d');
    expect(trial.stdout).toMatch(
      /^would remove 1 record and 1 filter of the stream "dead" of the account "default", deleted .*\ntotal: 1 record of 1 stream; nothing was removed\n$/,
    );
    expect((await rowsOf('dead'))?.records).toBe(2);

    const done = await sluicePurge('--yes', '--older-than', '2s');
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^removed 1 record and 1 filter of the stream "dead" .*\ntotal: 1 record of 1 stream\n$/,
      ),
    });
    expect(await rowsOf('dead')).toEqual({ records: 1, filters: 1, operations: 3, streams: 2 });
    expect(await rowsOf('live')).toMatchObject({ records: 1, filters: 1 });

    const again = await server.graphql<{ allocationSum: object }>(SUM, { input });
    expect(again.allocationSum).toEqual({ ...receipt, replayed: true });
    const { node } = await server.graphql<{ node: { deletedAt: string | null } }>(
      `query ($id: ID!) { node(id: $id) { ... on Stream { deletedAt operations { edges { node { kind } } } } } }`,
      { id: receipt.stream.id },
    );
    expect(node).toMatchObject({
      deletedAt: expect.any(String),
      operations: { edges: [{ node: { kind: 'DELETE_STREAM' } }, { node: { kind: 'SUM' } }] },
    });
  });

  test('keeps records that an active run reads, and removes them afterwards', async () => {
    await addRecords(server, 'read', 'DAILY', [recordOf('hooli', '5')]);
    const gate = createGate();
    server.s3.setFault(() => ({ hold: gate.opened }));
    const jobId = await createJob(server, { meterApiNames: ['read'], range: 'ago(40d)', groupBy: ['element'] });
    const runId = await runJob(server, jobId, '2026-01-28T00:00:00Z');
    await eventually(
      () => Promise.resolve(server.s3.connections),
      (connections) => connections > 0,
    );
    await deleteStream('read');

    const kept = await purge();
    expect(kept).toEqual({
      stdout: expect.stringMatching(/^nothing to remove/),
      stderr: expect.stringMatching(/^Kept the stream "read" .*: an active run reads its earlier state/),
    });
    expect((await rowsOf('read'))?.records).toBe(1);

    gate.open();
    const run = await endedRun(server, runId);
    server.s3.setFault(undefined);
    expect(readExport(server, run).text).toContain(',hooli,5\n');
    // The deletion corrects the delivered window, so its check needs the records too.
    await eventually(
      async () => {
        await querySql(server, 'UPDATE deliveries SET check_at = now() WHERE check_at > now() AND checking IS NULL');
        return purge();
      },
      ({ stdout }) => stdout.includes('removed 1 record and 1 filter of the stream "read"'),
    );
  });

  test('also removes hidden records with --hidden, and keeps every live value', async () => {
    const replace = (value: string) =>
      server.graphql(`mutation ($input: AllocationInput!) { allocationReplace(input: $input) { __typename } }`, {
        input: { stream: 'replaced', records: [{ ...recordOf('hooli', value), granularity: 'DAILY' }] },
      });
    for (const value of ['1', '2', '3']) await replace(value);
    expect((await rowsOf('replaced'))?.records).toBe(3);
    expect((await purge()).stdout).toMatch(/^nothing to remove/);
    const done = await purge({ hidden: true });
    expect(done.stdout).toContain('removed 2 hidden records of the live stream "replaced" of the account "default"');
    expect(await rowsOf('replaced')).toEqual({ records: 1, filters: 1, operations: 3, streams: 1 });
    const { stream } = await server.graphql<{ stream: object }>(
      `{ stream(name: "replaced") { records { edges { node { elementName value } } } } }`,
    );
    expect(stream).toEqual({ records: { edges: [{ node: { elementName: 'hooli', value: '3' } }] } });
  });

  test('keeps hidden records that an active run reads', async () => {
    const db = server.resources.database.acrossAccounts;
    const jobId = await createJob(server, { meterApiNames: ['watched'] });
    await addRecords(server, 'watched', 'DAILY', [recordOf('hooli', '5')]);
    const [present] = await querySql<{ watermark: string }>(server, 'SELECT pg_current_snapshot()::text AS watermark');
    await server.graphql(
      `mutation ($input: AllocationDeleteInput!) { allocationDelete(input: $input) { __typename } }`,
      {
        input: { stream: 'watched', records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY' }] },
      },
    );
    const runId = await runJob(server, jobId, '2026-01-28T00:00:00Z');
    await endedRun(server, runId);
    const names = async () =>
      (await findHiddenRecords(db, { before: new Date(Date.now() + 1000), assumedMs: 0 })).map(
        (found) => found.streamName,
      );
    expect(await names()).toContain('watched');
    // As between two attempts.
    const setRun = (status: string) =>
      querySql(
        server,
        `UPDATE runs SET status = $1, watermark = $2, not_before = now() + interval '1 hour' WHERE id = $3`,
        [status, present?.watermark, innerId(runId)],
      );
    await setRun('QUEUED');
    expect(await names()).not.toContain('watched');
    await setRun('FAILED');
    expect(await names()).toContain('watched');
  });

  test('removes more records than fit in one batch, live and hidden ones', async () => {
    await addRecords(server, 'large', 'DAILY', [recordOf('hooli', '1')]);
    await deleteStream('large');
    await querySql(
      server,
      `INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id, hidden_by)
       SELECT r.account_id, r.stream_id, r.bucket_start + n % 40 * interval '1 day', r.filter_id, 'e' || n, 1, r.operation_id,
         CASE WHEN n % 2 = 0 THEN r.operation_id + n % 7 END
       FROM records r JOIN streams s ON s.id = r.stream_id, generate_series(1, 50000) n WHERE s.name = 'large'`,
    );
    const done = await purge();
    expect(done.stdout).toMatch(/^removed 50,001 records and 1 filter of the stream "large"/);
    expect(await rowsOf('large')).toMatchObject({ records: 0, filters: 0, operations: 2 });
    expect((await purge({ dryRun: true })).stdout).toMatch(/^nothing to remove/);
  });

  test('removes hidden records operation by operation', async () => {
    const db = server.resources.database.acrossAccounts;
    await addRecords(server, 'busy', 'DAILY', [recordOf('hooli', '1')]);
    await querySql(
      server,
      `WITH hiding AS (
         INSERT INTO operations (account_id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256)
         SELECT s.account_id, s.id, 'DELETE', now() - n * interval '1 minute', pg_current_xact_id(), true, 0, 20, ''
         FROM streams s, generate_series(1, 1200) n WHERE s.name = 'busy' RETURNING *)
       INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id, hidden_by)
       SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, 'e' || n, 1, r.operation_id, h.id
       FROM records r JOIN hiding h ON h.stream_id = r.stream_id, generate_series(1, 20) n`,
    );
    const age = { before: new Date(Date.now() - 600.5 * 60_000), assumedMs: 0 };
    const found = await findHiddenRecords(db, age);
    const busy = found.find(({ streamName }) => streamName === 'busy')!;
    expect(await purgeStream(db, busy, age)).toEqual({ records: 600 * 20, filters: 0 });
    expect((await rowsOf('busy'))?.records).toBe(1 + 600 * 20);
  });

  test('ends the history of the streams from which it removes records', async () => {
    const replace = async (value: string): Promise<string> => {
      const { allocationReplace } = await server.graphql<{ allocationReplace: { operation: { id: string } } }>(
        `mutation ($input: AllocationInput!) { allocationReplace(input: $input) { ... on AllocationReceipt { operation { id } } } }`,
        { input: { stream: 'ended', records: [{ ...recordOf('hooli', value), granularity: 'DAILY' }] } },
      );
      return allocationReplace.operation.id;
    };
    const usage = (operation: string) =>
      eventually(
        async () =>
          (
            await server.graphql<{ usage: { code?: string; series?: { total: string }[] } }>(
              `query ($asOf: LedgerMomentInput) { usage(input: { meterApiNames: ["ended"], from: "2026-01-25T00:00:00Z", to: "2026-01-26T00:00:00Z",
                 aggregationBucket: DAY, asOf: $asOf }) { ... on Usage { series { total } } ... on UserError { code } } }`,
              { asOf: { operation } },
            )
          ).usage,
        ({ code }) => code !== 'TOO_RECENT',
      );
    const first = await replace('1');
    await replace('2');
    expect(await usage(first)).toEqual({ series: [{ total: '1' }] });
    expect((await purge({ hidden: true })).stdout).toContain('removed 1 hidden record of the live stream "ended"');
    expect(await usage(first)).toEqual({ code: 'HISTORY_GONE' });
    const { stream } = await server.graphql<{ stream: { id: string } }>(`{ stream(name: "ended") { id } }`);
    const { errors } = await server.request(
      `query ($id: ID!, $first: ID!) { node(id: $id) { ... on Stream { records(asOf: { operation: $first }) { edges { cursor } } } } }`,
      { id: stream.id, first },
    );
    expect(errors?.[0]?.extensions?.['code']).toBe('HISTORY_GONE');
    const last = await replace('3');
    expect(await usage(last)).toEqual({ series: [{ total: '3' }] });
  });

  test('keeps hidden records while a correction waits for its check or a run compares with a delivery', async () => {
    await addRecords(server, 'compared', 'DAILY', [recordOf('hooli', '5')]);
    const jobId = await createJob(server, { jobName: 'compared', meterApiNames: ['compared'], enabled: false });
    const runId = await runJob(server, jobId, '2026-01-26T01:00:00Z');
    await endedRun(server, runId);
    await server.graphql(
      `mutation ($input: AllocationDeleteInput!) { allocationDelete(input: $input) { __typename } }`,
      { input: { stream: 'compared', records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY' }] } },
    );
    const setDelivery = (change: string) =>
      querySql(server, `UPDATE deliveries SET ${change} WHERE job_id = $1`, [innerId(jobId)]);
    const setRun = (status: string) =>
      querySql(server, `UPDATE runs SET status = $1, watermark = NULL, not_before = 'infinity' WHERE id = $2`, [
        status,
        innerId(runId),
      ]);
    const expectKept = async () => {
      expect((await purge({ hidden: true })).stderr).toContain(
        'Kept the live stream "compared" of the account "default": a delivery is compared with its earlier state',
      );
      expect((await rowsOf('compared'))?.records).toBe(1);
    };
    await setDelivery(`touched_at = now(), check_at = '9999-01-01'`);
    await expectKept();
    await setDelivery(`touched_at = NULL, check_at = NULL, watermark = '1:1:'`);
    await setRun('QUEUED');
    await expectKept();
    await setRun('SUCCEEDED');
    // A later window owns the buckets, so the check has nothing to compare.
    await setDelivery(`touched_at = now(), check_at = '9999-01-01', owed_until = window_start`);
    expect((await purge({ hidden: true })).stdout).toContain('removed 1 hidden record of the live stream "compared"');
    expect((await rowsOf('compared'))?.records).toBe(0);
  });

  test('removes what was hidden before the watermark of a delivery that is checked, and leaves the check exact', async () => {
    const replace = (value: string) =>
      server.graphql(`mutation ($input: AllocationInput!) { allocationReplace(input: $input) { __typename } }`, {
        input: { stream: 'checked', records: [{ ...recordOf('hooli', value), granularity: 'DAILY' }] },
      });
    const removed = async () =>
      /removed .* of the live stream "checked"/.exec((await purge({ hidden: true })).stdout)?.[0];
    const areTotalled = async () => {
      const rows = await querySql(server, 'SELECT 1 FROM operations WHERE NOT totalled');
      return rows.length === 0;
    };
    await replace('1');
    await replace('2');
    await eventually(areTotalled, Boolean);
    // A transaction that is open at the watermark of the run, also in the database of another file, would keep the record.
    const areOld = async () => {
      const rows = await querySql(
        server,
        'SELECT 1 FROM operations WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())',
      );
      return rows.length === 0;
    };
    await eventually(areOld, Boolean);
    const jobId = await createJob(server, { jobName: 'checked', meterApiNames: ['checked'], enabled: false });
    await endedRun(server, await runJob(server, jobId, '2026-01-26T01:00:00Z'));
    const setDelivery = (change: string) =>
      querySql(server, `UPDATE deliveries SET ${change} WHERE job_id = $1`, [innerId(jobId)]);
    const readDelivery = async () => {
      const [row] = await querySql<{ is_marked: boolean; is_stale: boolean }>(
        server,
        'SELECT touched_at IS NOT NULL AS is_marked, stale_since IS NOT NULL AS is_stale FROM deliveries WHERE job_id = $1',
        [innerId(jobId)],
      );
      return row;
    };
    const becomes = (isMarked: boolean) => eventually(readDelivery, (row) => row?.is_marked === isMarked);
    await replace('9');
    await replace('2');
    await becomes(true);
    await eventually(areTotalled, Boolean);
    expect(await removed()).toBe('removed 1 hidden record of the live stream "checked"');
    expect(await removed()).toBeUndefined();
    expect((await rowsOf('checked'))?.records).toBe(3);
    await setDelivery('check_at = now()');
    expect(await becomes(false)).toEqual({ is_marked: false, is_stale: false });
    expect(await removed()).toBe('removed 2 hidden records of the live stream "checked"');
  });

  test.each([
    ['a delivery whose check is not planned', `check_at = NULL, stale_since = now()`],
    ['a mark that is older than 7 days', `check_at = '9999-01-01', touched_at = now() - interval '8 days'`],
    ['a delivery of an earlier epoch', `check_at = '9999-01-01', watermark_epoch = 'another cluster'`],
    ['a job without the stream', `check_at = '9999-01-01'`],
  ])('is not blocked by %s', async (what, change) => {
    const stream = what.replaceAll(' ', '-');
    const isOther = what === 'a job without the stream';
    await addRecords(server, stream, 'DAILY', [recordOf('hooli', '1')]);
    await addRecords(server, 'other', 'DAILY', [recordOf('hooli', '1')]);
    const meterApiNames = [isOther ? 'other' : stream];
    const jobId = await createJob(server, { jobName: what, meterApiNames, enabled: false });
    await endedRun(server, await runJob(server, jobId, '2026-01-26T01:00:00Z'));
    for (const name of [stream, ...meterApiNames]) {
      await server.graphql(
        `mutation ($input: AllocationDeleteInput!) { allocationDelete(input: $input) { __typename } }`,
        { input: { stream: name, records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY' }] } },
      );
    }
    await eventually(
      () => querySql(server, 'SELECT 1 FROM deliveries WHERE job_id = $1 AND touched_at IS NOT NULL', [innerId(jobId)]),
      (marked) => marked.length > 0,
    );
    await querySql(server, `UPDATE deliveries SET ${change} WHERE job_id = $1`, [innerId(jobId)]);
    expect((await purge({ hidden: true })).stdout).toContain(`removed 1 hidden record of the live stream "${stream}"`);
  });
});
