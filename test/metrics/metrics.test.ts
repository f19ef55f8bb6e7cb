import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { addRecords, createJob, endedRun, exportOnce, runJob } from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { scrape, type Scrape } from '../support/scrape.ts';
import { hearStatements } from '../support/sent-statements.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';

const DAY = '2026-01-25T00:00:00Z';
const SLOT = '2026-01-28T02:00:00Z';
const ALLOCATION = 'POST /unit-cost/v1/telemetry/allocation/{stream}';
const record = (value: number) => ({ timestamp: DAY, granularity: 'DAILY', 'element-name': 'acme', value });

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(server.url + path, {
    method: 'POST',
    headers: { 'x-api-key': server.key, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const telemetry = (verb: string): string => `/unit-cost/v1/telemetry/allocation/calls/${verb}`;

/** Expects the growth of each metric during the work. Waits, because a request is counted shortly after its response was sent. */
const expectGrowth = async (
  work: () => Promise<unknown>,
  expected: readonly (readonly [name: string, labels: Record<string, string>, growth: number])[],
): Promise<void> => {
  const before = await scrape(server.url);
  await work();
  const growth = (after: Scrape): unknown[] =>
    expected.map(([name, labels]) => [
      name,
      labels,
      (after.value(name, labels) ?? 0) - (before.value(name, labels) ?? 0),
    ]);
  const seen = await eventually(
    () => scrape(server.url),
    (after) => JSON.stringify(growth(after)) === JSON.stringify(expected),
    30_000,
  ).catch(() => scrape(server.url));
  expect(growth(seen)).toEqual(expected);
};

const ok = (api: string, operation: string) => ({ api, operation, outcome: 'ok' });
const refused = (api: string, operation: string) => ({ api, operation, outcome: 'refused' });
const REQUESTS = 'sluice_requests_total';

describe('metrics of a server', () => {
  test('count requests by operation and outcome, and writes and records by kind', async () => {
    await expectGrowth(async () => {
      await post(telemetry('sum'), { records: [record(1), record(2)] }, { 'idempotency-key': 'once' });
      await post(telemetry('sum'), { records: [record(1), record(2)] }, { 'idempotency-key': 'once' });
      await post(telemetry('sum'), { records: [record(-1)] });
      await post(telemetry('sum'), { records: [record(1)] }, { 'x-api-key': 'none' });
      await post(telemetry('replace'), `${JSON.stringify(record(7))}\n`, { 'content-type': 'application/x-ndjson' });
      await addRecords(server, 'calls', 'DAILY', [{ timestamp: DAY, elementName: 'hooli', value: '3' }]);
      await server.graphql(`mutation { allocationDelete(input: { stream: "calls", records: [
          { timestamp: "${DAY}", granularity: DAILY, elementName: "hooli" }] }) { __typename } }`);
      await server.graphql(`mutation { allocationDelete(input: { stream: "none", records: [
          { timestamp: "${DAY}", granularity: DAILY }] }) { __typename } }`);
    }, [
      [REQUESTS, ok('rest', `${ALLOCATION}/sum`), 2],
      [REQUESTS, refused('rest', `${ALLOCATION}/sum`), 2],
      [REQUESTS, ok('rest', `${ALLOCATION}/replace`), 1],
      [REQUESTS, ok('graphql', 'mutation allocationSum'), 1],
      [REQUESTS, ok('graphql', 'mutation allocationDelete'), 1],
      // An error result, which reports why nothing was written.
      [REQUESTS, refused('graphql', 'mutation allocationDelete'), 1],
      ['sluice_request_duration_seconds_count', { operation: `${ALLOCATION}/sum` }, 4],
      ['sluice_intake_operations_total', { kind: 'sum', replayed: 'false' }, 2],
      ['sluice_intake_operations_total', { kind: 'sum', replayed: 'true' }, 1],
      ['sluice_intake_operations_total', { kind: 'replace', replayed: 'false' }, 1],
      ['sluice_intake_operations_total', { kind: 'delete', replayed: 'false' }, 1],
      ['sluice_intake_records_total', { kind: 'sum' }, 3],
      ['sluice_intake_records_total', { kind: 'replace' }, 1],
      ['sluice_intake_hidden_records_total', { kind: 'replace' }, 2],
      ['sluice_intake_hidden_records_total', { kind: 'delete' }, 1],
    ]);
  });

  test('count operations over WebSocket, and subscriptions without their duration', async () => {
    const subscription = 'subscription runUpdated';
    await expectGrowth(async () => {
      const client = await openSocket(server.url, { 'x-api-key': server.key });
      await client.until(({ type }) => type === 'connection_ack');
      client.send({ type: 'subscribe', id: '1', payload: { query: '{ viewer { accountName } }' } });
      client.send({ type: 'subscribe', id: '2', payload: { query: 'subscription { runUpdated { id } }' } });
      await client.until(({ type, id }) => type === 'complete' && id === '1');
      await eventually(
        () => scrape(server.url),
        (seen) => seen.value('sluice_subscriptions_open') === 1,
      );
      client.close();
      await eventually(
        () => scrape(server.url),
        (seen) => seen.value('sluice_subscriptions_open') === 0,
      );
    }, [
      [REQUESTS, ok('graphql', 'query viewer'), 1],
      [REQUESTS, { api: 'graphql', operation: subscription }, 1],
      ['sluice_request_duration_seconds_count', { operation: 'query viewer' }, 1],
      ['sluice_request_duration_seconds_count', { operation: subscription }, 0],
    ]);
  });

  test('contain no names that a client made up', async () => {
    const names = async (): Promise<string[]> => {
      const { samples } = await scrape(server.url);
      return samples.flatMap(({ name, labels }) => (name === REQUESTS ? [labels['operation'] ?? ''] : []));
    };
    await server.request('query MadeUp { madeup: viewer { accountName } }');
    await server.request('query MadeUp { viewer { accountName } madeup: __typename }');
    await server.request('query MadeUp { madeup }');
    await server.request('madeup');
    await post('/unit-cost/v1/telemetry/allocation/madeup/sum', { records: [] });
    await fetch(`${server.url}/jobs/madeup/madeup`);
    await fetch(`${server.url}/madeup`);
    await post('/graphql', 'madeup');
    const seen = await eventually(names, (found) => found.includes('query several') && found.includes('other'));
    expect(seen.filter((name) => /madeup/i.test(name))).toEqual([]);
    expect(seen).toEqual(expect.arrayContaining([`${ALLOCATION}/sum`, 'query viewer', 'query several', 'other']));
  });

  test('count attempts of runs with their durations and puts', async () => {
    await addRecords(server, 'exported', 'DAILY', [{ timestamp: DAY, elementName: 'acme', value: '1' }]);
    const before = await scrape(server.url);
    await exportOnce(server, { jobName: 'metered', meterApiNames: ['exported'] }, SLOT);
    const failing = await createJob(server, { jobName: 'metered and failing', s3Url: 'no-such-bucket/a' });
    await endedRun(server, await runJob(server, failing, SLOT));
    const after = await eventually(
      () => scrape(server.url),
      (seen) => (seen.value('sluice_run_attempts_total') ?? 0) - (before.value('sluice_run_attempts_total') ?? 0) === 2,
    );
    const grown = (name: string, labels = {}) => (after.value(name, labels) ?? 0) - (before.value(name, labels) ?? 0);
    expect(grown('sluice_run_attempts_total', { outcome: 'succeeded' })).toBe(1);
    expect(grown('sluice_run_attempts_total', { outcome: 'failed' })).toBe(1);
    expect(grown('sluice_run_attempt_duration_seconds_count')).toBe(2);
    expect(grown('sluice_run_attempt_duration_seconds_sum')).toBeGreaterThan(0);
    // One object and its manifest.
    expect(grown('sluice_put_object_duration_seconds_count', { outcome: 'ok' })).toBe(2);
    expect(grown('sluice_put_object_duration_seconds_count', { outcome: 'failed' })).toBe(1);
  });

  test('read the database once for all scrapes of two seconds', async () => {
    const readings = async (scrapes: number): Promise<number> => {
      const hearing = hearStatements();
      try {
        const seen = await Promise.all(Array.from({ length: scrapes }, () => scrape(server.url)));
        expect(seen.map((one) => one.value('sluice_database_up'))).toEqual(seen.map(() => 1));
      } finally {
        hearing.stop();
      }
      return hearing.heard.filter(({ text }) => text.includes('min(next_run_at)')).length;
    };
    await eventually(
      async () => {
        await eventually(
          () => readings(1),
          (count) => count === 1,
        );
        return readings(20);
      },
      (count) => count === 0,
    );
  });
});

describe('metrics without the database', () => {
  const setDatabase = (state: 'open' | 'away'): Promise<void> =>
    withClient(inject('postgresAdminUrl'), async (admin) => {
      const name = new URL(server.database.url).pathname.slice(1);
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS ${state === 'open'}`);
      if (state === 'away')
        await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
    });

  test('are returned immediately, without those that need the database', async () => {
    expect((await scrape(server.url)).value('sluice_slot_lag_seconds')).toBe(0);
    await setDatabase('away');
    try {
      const away = await eventually(
        () => scrape(server.url),
        (seen) => seen.value('sluice_database_up') === 0,
      );
      for (const name of ['sluice_runs', 'sluice_slot_lag_seconds', 'sluice_oldest_waiting_run_age_seconds'])
        expect([name, away.value(name)]).toEqual([name, undefined]);
      expect(away.value('sluice_database_pool_size')).toBe(10);
      expect(away.value('sluice_runs_ended_total')).toBeGreaterThanOrEqual(0);
    } finally {
      await setDatabase('open');
    }
    const back = await eventually(
      () => scrape(server.url),
      (seen) => seen.value('sluice_database_up') === 1,
    );
    expect(back.value('sluice_runs', { status: 'QUEUED' })).toBe(0);
  });

  test('wait up to two seconds for a database that does not respond', async () => {
    await withClient(server.database.url, async (other) => {
      await other.query('BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE');
      const held = await eventually(
        async () => {
          const begun = performance.now();
          const seen = await scrape(server.url);
          return { seen, seconds: (performance.now() - begun) / 1000 };
        },
        ({ seen }) => seen.value('sluice_database_up') === 0,
      );
      expect(held.seconds).toBeLessThan(8);
      await other.query('ROLLBACK');
    });
    await eventually(
      () => scrape(server.url),
      (seen) => seen.value('sluice_database_up') === 1,
    );
  });
});
