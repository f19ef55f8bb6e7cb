import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { computeCompleteness } from '../../src/deliveries/completeness.ts';
import {
  addRecords,
  createJob,
  endedRun,
  endedRunsOf,
  exportAgain,
  innerId,
  type Manifest,
  querySql,
  readExport,
  readRun,
  runJob,
  runsOf,
  runThat,
  type Settings,
} from '../support/job-steps.ts';
import { declareComplete } from '../../src/streams/declare-complete.ts';
import { restate } from '../support/restatement-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf, within } from '../streams/held-transactions.ts';

const HOUR = 3_600_000;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: { MAX_CATCH_UP: '7', LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '4' },
  });
});
afterAll(() => server.stop());

const iso = (at: number): string => new Date(at).toISOString().replace('.000Z', 'Z');
const floorToHour = (at: number): number => Math.floor(at / HOUR) * HOUR;

async function declare(stream: string, through: string): Promise<void> {
  const { declareComplete } = await server.graphql<{ declareComplete: { __typename: string } }>(
    `mutation ($input: DeclareCompleteInput!) { declareComplete(input: $input) { __typename } }`,
    { input: { stream, through } },
  );
  expect(declareComplete.__typename).toBe('AllocationReceipt');
}

interface Waited {
  readonly status: string;
  readonly waitsUntil: string | null;
  readonly complete: boolean | null;
  readonly delivery: { readonly complete: boolean | null; readonly revision: number };
}

async function waitOf(runId: string): Promise<Waited> {
  const { run } = await server.graphql<{ run: Waited }>(
    'query ($id: ID!) { run(id: $id) { status waitsUntil complete delivery { complete revision } } }',
    { id: runId },
  );
  return run;
}

type CompleteManifest = Manifest & { readonly completeness: object };

let made = 0;

/** Creates an HOURLY stream with a record in each of the last ten hours. */
async function createStream(): Promise<string> {
  made += 1;
  const name = `awaited-${made}`;
  const records = Array.from({ length: 10 }, (_, index) => ({
    timestamp: iso(floorToHour(Date.now()) - index * HOUR),
    elementName: 'acme',
    value: '1',
  }));
  await addRecords(server, name, 'HOURLY', records);
  return name;
}

/** Creates a job whose run of one slot is queued now. Returns the run. */
async function queueSlot(meter: string | null, slot: number, settings: Settings = {}): Promise<string> {
  const jobId = await createJob(server, {
    aggregationBucket: 'HOUR',
    range: 'ago(1h)',
    meterApiNames: meter === null ? null : [meter],
    completeWithin: 'ago(6h)',
    enabled: true,
    scheduledTimeInSeconds: Math.floor(Date.now() / 1000) + 3600,
    ...settings,
  });
  await querySql(server, 'UPDATE jobs SET next_run_at = $2 WHERE id = $1', [innerId(jobId), new Date(slot)]);
  const [run] = await eventually(
    () => runsOf(server, jobId),
    (runs) => runs.length > 0,
  );
  return run?.id ?? '';
}

const jobOf = async (runId: string): Promise<string> => {
  const { run } = await server.graphql<{ run: { job: { id: string } } }>(
    'query ($id: ID!) { run(id: $id) { job { id } } }',
    {
      id: runId,
    },
  );
  return run.job.id;
};

describe('run with completeWithin', () => {
  test('waits QUEUED, and starts within seconds of the declaration, while manual runs and restatements pass it', async () => {
    const stream = await createStream();
    const slot = Date.now() - 30 * 60_000;
    const runId = await queueSlot(stream, slot);
    const end = floorToHour(slot);
    const waitsUntil = iso(Math.floor(slot / 1000) * 1000 + 6 * HOUR);
    const waiting = await waitOf(runId);
    expect(waiting).toMatchObject({ status: 'QUEUED', complete: null, delivery: { complete: null, revision: 0 } });
    expect(waiting.waitsUntil?.slice(0, 19)).toBe(waitsUntil.slice(0, 19));
    const job = await jobOf(runId);
    const manual = await endedRun(server, await runJob(server, job, iso(end - HOUR)));
    expect(await waitOf(manual.id)).toMatchObject({ status: 'SUCCEEDED', waitsUntil: null, complete: false });
    const restated = await restate(server, job, { windowStart: manual.windowStart });
    expect(restated).toMatchObject({ status: 'CANCELED', error: { code: 'UNCHANGED' } });
    // Through the start of the last bucket of the window, and not its end.
    await declare(stream, iso(end - HOUR));
    expect((await readRun(server, runId)).status).toBe('QUEUED');
    const sent = performance.now();
    await declare(stream, iso(end));
    const run = await endedRun(server, runId);
    expect(performance.now() - sent).toBeLessThan(25_000);
    expect(run).toMatchObject({ status: 'SUCCEEDED', trigger: 'ONE_OFF', attempt: 1 });
    expect(await waitOf(runId)).toMatchObject({
      waitsUntil: null,
      complete: true,
      delivery: { complete: true, revision: 1 },
    });
    expect((readExport(server, run).manifest as CompleteManifest).completeness).toEqual({
      complete: true,
      meters: [{ meterApiName: stream, completeThrough: iso(end), complete: true }],
    });
    // The field is in REST too.
    const response = await fetch(`${server.url}/runs/${runId}`, { headers: { 'x-api-key': server.key } });
    expect(await response.json()).toMatchObject({ waitsUntil: null, complete: true });
  });

  test('starts immediately if its streams are complete when it is queued', async () => {
    const stream = await createStream();
    const slot = Date.now() - 30 * 60_000;
    await declare(stream, iso(floorToHour(slot)));
    const run = await runThat(server, await queueSlot(stream, slot), ({ status }) => status === 'SUCCEEDED');
    expect(await waitOf(run.id)).toMatchObject({ waitsUntil: null, complete: true });
  });

  test('delivers with complete false when the wait ends, and delivers again when its streams are declared', async () => {
    const stream = await createStream();
    const runId = await queueSlot(stream, Date.now() - 45_000, { completeWithin: 'ago(1m)' });
    expect((await waitOf(runId)).waitsUntil).not.toBeNull();
    const run = await endedRun(server, runId);
    expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 1 });
    expect(await waitOf(runId)).toMatchObject({
      waitsUntil: null,
      complete: false,
      delivery: { complete: false, revision: 1 },
    });
    expect((readExport(server, run).manifest as CompleteManifest).completeness).toEqual({
      complete: false,
      meters: [{ meterApiName: stream, completeThrough: null, complete: null }],
    });
    // Until its last bucket is declared, a check finds nothing to do.
    await declare(stream, iso(Date.parse(run.windowEnd) - HOUR));
    await eventually(
      () => querySql(server, 'SELECT 1 FROM deliveries WHERE run_id = $1 AND touched_at IS NULL', [innerId(runId)]),
      (found) => found.length === 1,
    );
    const job = await jobOf(runId);
    expect(await runsOf(server, job)).toHaveLength(1);
    await declare(stream, run.windowEnd);
    const again = (await endedRunsOf(server, job, 2)).find(({ trigger }) => trigger === 'RESTATEMENT');
    expect(again).toMatchObject({ status: 'SUCCEEDED' });
    expect(await waitOf(again?.id ?? '')).toMatchObject({ complete: true, delivery: { complete: true, revision: 2 } });
    if (!again) throw new Error('The delivery has not been restated.');
    expect(readExport(server, again).manifest).toMatchObject({
      revision: 2,
      changes: { rowsAdded: 0, rowsRemoved: 0, rowsChanged: 0, meters: [] },
    });
    expect(await querySql(server, 'SELECT reason FROM runs WHERE id = $1', [innerId(again.id)])).toEqual([
      { reason: 'COMPLETE' },
    ]);
    // Once is enough.
    await declare(stream, iso(Date.parse(run.windowEnd) + HOUR));
    expect(await runsOf(server, job)).toHaveLength(2);
  });

  test('starts after the next scan of the ledger if the server that took the declaration ended before it released the run', async () => {
    const stream = await createStream();
    const slot = Date.now() - 30 * 60_000;
    const runId = await queueSlot(stream, slot);
    const accountId = await accountIdOf(server, 'default');
    await declareComplete(within(server, server.resources.database.forAccount(accountId)), {
      accountId,
      stream,
      through: iso(floorToHour(slot)),
      path: ['input'],
    });
    const run = await runThat(server, runId, ({ status }) => status === 'SUCCEEDED');
    expect((await waitOf(run.id)).complete).toBe(true);
  });

  test('does not wait after its time, and not if it is MANUAL or IMMEDIATE', async () => {
    const stream = await createStream();
    const late = await endedRun(server, await queueSlot(stream, Date.now() - 7 * HOUR));
    expect(await waitOf(late.id)).toMatchObject({ status: 'SUCCEEDED', complete: false });
    const settings = {
      aggregationBucket: 'HOUR',
      range: 'ago(1h)',
      meterApiNames: [stream],
      completeWithin: 'ago(6h)',
    };
    const jobId = await createJob(server, { ...settings, enabled: true });
    const immediate = await runThat(
      server,
      (await runsOf(server, jobId))[0]?.id ?? '',
      ({ status }) => status === 'SUCCEEDED',
    );
    expect(immediate.trigger).toBe('IMMEDIATE');
    const manual = await endedRun(server, await runJob(server, jobId));
    expect(await waitOf(manual.id)).toMatchObject({ status: 'SUCCEEDED', waitsUntil: null });
  });

  test('is one of 150 that wait, of which none is MISSED or SUPERSEDED, and those that are declared start', async () => {
    const stream = await createStream();
    const first = Math.floor(Date.now() / 60_000) * 60_000 - 149.5 * HOUR;
    const jobId = await createJob(server, {
      cron: `${new Date(first).getUTCMinutes()} * * * *`,
      enabled: true,
      aggregationBucket: 'HOUR',
      range: 'ago(1h)',
      meterApiNames: [stream],
      completeWithin: 'ago(7d)',
    });
    await querySql(server, 'UPDATE jobs SET next_run_at = $2 WHERE id = $1', [innerId(jobId), new Date(first)]);
    const statuses = () =>
      querySql<{ status: string; runs: number }>(
        server,
        'SELECT status, count(*)::int AS runs FROM runs WHERE job_id = $1 GROUP BY status ORDER BY status',
        [innerId(jobId)],
      );
    expect(await eventually(statuses, (found) => found.length > 0)).toEqual([{ status: 'QUEUED', runs: 150 }]);
    await endedRun(server, await runJob(server, jobId));
    await declare(stream, iso(floorToHour(first) + 2 * HOUR));
    const ended = await eventually(statuses, (found) => (found[1]?.runs ?? 0) > 3);
    expect(ended).toEqual([
      { status: 'QUEUED', runs: 147 },
      { status: 'SUCCEEDED', runs: 4 },
    ]);
  });
});

describe('completeness of a run', () => {
  test('counts the streams that were ever declared if the job names none, as of its watermark', async () => {
    const stream = await createStream();
    const other = await createStream();
    const at = floorToHour(Date.now());
    const jobId = await createJob(server, { aggregationBucket: 'HOUR', range: 'ago(1h)' });
    const names = async (): Promise<(string | undefined)[]> => {
      const { run, manifest } = await exportAgain(server, jobId, iso(at));
      const { completeness } = manifest as unknown as {
        completeness: { complete: boolean | null; meters: { meterApiName: string; complete: boolean }[] };
      };
      expect((await waitOf(run.id)).complete).toBe(completeness.complete);
      return completeness.meters
        .filter(({ meterApiName }) => meterApiName === stream || meterApiName === other)
        .map(({ meterApiName, complete }) => `${meterApiName} ${complete}`);
    };
    expect(await names()).toEqual([]);
    await declare(stream, iso(at));
    expect(await names()).toEqual([`${stream} true`]);
    await declare(other, iso(at - HOUR));
    expect(await names()).toEqual([`${stream} true`, `${other} false`]);
  });
});

const window = (start: string, end: string) => ({ start: new Date(start), end: new Date(end) });
const declared = (granularity: 'HOURLY' | 'DAILY' | 'MONTHLY', through: string) => [
  { name: 'm', granularity, completeThrough: new Date(through) },
];

describe('computeCompleteness', () => {
  test.each([
    // The last bucket that starts in the window may end after it.
    ['HOURLY', 'UTC', '2026-11-20T00:00:00Z', '2026-11-20T05:20:00Z', '2026-11-20T06:00:00Z'],
    ['HOURLY', 'Asia/Kolkata', '2026-11-19T18:30:00Z', '2026-11-20T18:30:00Z', '2026-11-20T19:00:00Z'],
    ['DAILY', 'America/New_York', '2026-11-20T05:00:00Z', '2026-11-21T05:00:00Z', '2026-11-21T00:00:00Z'],
    ['DAILY', 'Pacific/Kiritimati', '2026-11-19T10:00:00Z', '2026-11-20T10:00:00Z', '2026-11-21T00:00:00Z'],
    ['DAILY', 'UTC', '2026-11-20T00:00:00Z', '2026-11-20T07:00:00Z', '2026-11-21T00:00:00Z'],
    ['MONTHLY', 'UTC', '2026-10-01T00:00:00Z', '2026-12-01T00:00:00Z', '2026-12-01T00:00:00Z'],
    ['MONTHLY', 'UTC', '2026-11-28T00:00:00Z', '2026-12-02T00:00:00Z', '2027-01-01T00:00:00Z'],
  ] as const)(
    'requires a declaration through the end of the last bucket that starts in the window: %s in %s',
    (granularity, timeZone, start, end, through) => {
      const settings = { meterApiNames: ['m'], timeZone };
      const before = iso(Date.parse(through) - HOUR);
      expect(computeCompleteness(settings, window(start, end), declared(granularity, through)).complete).toBe(true);
      expect(computeCompleteness(settings, window(start, end), declared(granularity, before)).complete).toBe(false);
    },
  );

  test('requires any declaration if no bucket of the stream starts in the window', () => {
    const month = declared('MONTHLY', '2020-01-01T00:00:00Z');
    const day = window('2026-11-20T00:00:00Z', '2026-11-21T00:00:00Z');
    expect(computeCompleteness({ meterApiNames: ['m'], timeZone: 'UTC' }, day, month).complete).toBe(true);
    expect(computeCompleteness({ meterApiNames: ['m'], timeZone: 'UTC' }, day, []).complete).toBe(false);
    expect(computeCompleteness({ meterApiNames: null, timeZone: 'UTC' }, day, [])).toEqual({
      complete: null,
      meters: [],
    });
  });
});
