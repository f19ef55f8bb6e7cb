import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  deleteJob,
  endedRun,
  endedRunsOf,
  innerId,
  type Manifest,
  querySql,
  readRun,
  runJob,
  runsOf,
  runThat,
  type RunView,
  updateJob,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';

// Slots become due as after downtime: SQL sets next_run_at back, and the schedulers of two servers find it.

const HOUR = 3_600_000;
const MAX_CATCH_UP = 7;
/** Deadline of tests that wait for many runs. */
const BUSY_MS = 100_000;

let smtp: TestSmtp;
let server: TestServer;
let other: TestServer;
let faults: Faults;
beforeAll(async () => {
  smtp = await startSmtp();
  const env = { SMTP_URL: smtp.url, MAX_CATCH_UP: String(MAX_CATCH_UP), EXPORT_CONCURRENCY: '8' };
  server = await startTestServer({ env });
  other = await startTestServer({ env, database: server.database, s3: server.s3 });
  faults = createFaults(server.s3);
  await addRecords(server, 's', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' }]);
});
afterAll(async () => {
  try {
    expect(brokenPromises(server.s3.puts)).toEqual([]);
    expect(server.s3.refusals).toEqual([]);
  } finally {
    await other.stop();
    await server.stop();
    await smtp.close();
  }
});

const iso = (at: number): string => new Date(at).toISOString().replace('.000Z', 'Z');
const timeOf = (text: string | null | undefined): number => Date.parse(text ?? '');

/** An hourly cron whose last slot was the given number of minutes ago, so that no slot becomes due during the test, and its last slots. */
const hourly = (minutesAgo = 30) => {
  const last = Math.floor(Date.now() / 60_000) * 60_000 - minutesAgo * 60_000;
  return {
    cron: `${new Date(last).getUTCMinutes()} * * * *`,
    /** Sorted from the oldest. */
    last: (count: number): number[] => Array.from({ length: count }, (_, index) => last - (count - 1 - index) * HOUR),
  };
};

/** Sets next_run_at as if no server had run since before this slot. */
const makeDue = async (jobId: string, since: number): Promise<void> => {
  await querySql(server, 'UPDATE jobs SET next_run_at = $2 WHERE id = $1', [innerId(jobId), new Date(since)]);
};

const nextRunAt = async (jobId: string): Promise<number | null> => {
  const [row] = await querySql<{ at: Date | null }>(server, 'SELECT next_run_at AS at FROM jobs WHERE id = $1', [
    innerId(jobId),
  ]);
  return row?.at?.getTime() ?? null;
};

const hourlyJob = (cron: string, settings: object = {}): Promise<string> =>
  createJob(server, { cron, enabled: true, aggregationBucket: 'HOUR', range: 'ago(1h)', ...settings });

const slotsOf = (runs: readonly RunView[]): string[] => runs.map(({ scheduledFor }) => scheduledFor);

const putsBelow = (folder: string): string[] =>
  server.s3.puts.filter(({ key }) => key.startsWith(folder)).map(({ key }) => key);

describe.concurrent('missed slots', () => {
  test('of an hourly job run oldest first, each for its own window', async () => {
    const { cron, last } = hourly();
    const slots = last(5);
    const jobId = await hourlyJob(cron);
    expect(await nextRunAt(jobId)).toBe((slots.at(-1) ?? 0) + HOUR);
    await makeDue(jobId, slots[0] ?? 0);
    const runs = await endedRunsOf(server, jobId, 5, BUSY_MS);
    expect(slotsOf(runs)).toEqual(slots.map(iso));
    const hourOf = (at: number): number => Math.floor(at / HOUR) * HOUR;
    expect(runs.map(({ windowStart, windowEnd }) => [windowStart, windowEnd])).toEqual(
      slots.map((slot) => [iso(hourOf(slot) - HOUR), iso(hourOf(slot))]),
    );
    expect(
      runs.every(({ trigger, status, attempt }) => trigger === 'CRON' && status === 'SUCCEEDED' && attempt === 1),
    ).toBe(true);
    const times = runs.flatMap(({ startedAt, finishedAt }) => [timeOf(startedAt), timeOf(finishedAt)]);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    // Lists are sorted from the newest, although all runs were created together.
    const { job } = await server.graphql<{ job: { runs: { edges: { node: { scheduledFor: string } }[] } } }>(
      `query ($id: ID!) { job(id: $id) { runs { edges { node { scheduledFor } } } } }`,
      { id: jobId },
    );
    expect(job.runs.edges.map(({ node }) => node.scheduledFor)).toEqual(slots.map(iso).toReversed());
    expect(await nextRunAt(jobId)).toBe((slots.at(-1) ?? 0) + HOUR);
  });

  test('do not run if the window of a later slot contains theirs', async () => {
    const { cron, last } = hourly();
    const slots = last(6);
    // The window of each slot is the last complete month before it.
    const jobId = await hourlyJob(cron, { aggregationBucket: 'MONTH', range: 'ago(1d)' });
    await makeDue(jobId, slots[0] ?? 0);
    const month = (at: number | undefined): string => (at === undefined ? '' : iso(at).slice(0, 7));
    const expected = slots.filter((slot, index) => month(slot) !== month(slots[index + 1]));
    const runs = await endedRunsOf(server, jobId, expected.length, BUSY_MS);
    expect(slotsOf(runs)).toEqual(expected.map(iso));
    expect(runs.every(({ status }) => status === 'SUCCEEDED')).toBe(true);
  });

  test('beyond MAX_CATCH_UP are recorded as MISSED and reported in one mail', async () => {
    const { cron, last } = hourly();
    const slots = last(MAX_CATCH_UP + 3);
    const jobId = await hourlyJob(cron, { jobName: 'Too late', email: 'missed@example.com' });
    await makeDue(jobId, slots[0] ?? 0);
    const runs = await endedRunsOf(server, jobId, slots.length, BUSY_MS);
    expect(slotsOf(runs)).toEqual(slots.map(iso));
    expect(runs.map(({ status, attempt }) => `${status} ${attempt}`)).toEqual([
      ...Array.from({ length: 3 }, () => 'CANCELED 0'),
      ...Array.from({ length: MAX_CATCH_UP }, () => 'SUCCEEDED 1'),
    ]);
    for (const run of runs.slice(0, 3)) {
      expect(run).toMatchObject({
        error: { code: 'MISSED', retryable: false },
        startedAt: null,
        finishedAt: expect.any(String),
        objects: [],
        manifestKey: null,
      });
    }
    const mails = await eventually(
      () => Promise.resolve(smtp.messages.filter(({ to }) => to.includes('missed@example.com'))),
      (messages) => messages.length === 1 + MAX_CATCH_UP,
    );
    const [missed, ...ended] = mails.toSorted(
      (a, b) => Number(b.subject.includes('missed')) - Number(a.subject.includes('missed')),
    );
    expect(missed?.subject).toBe('Sluice: Too late missed 3 slots');
    for (const slot of slots.slice(0, 3)) expect(missed?.text).toContain(`  ${iso(slot)}, window `);
    expect(missed?.text).not.toContain(iso(slots[3] ?? 0));
    expect(missed?.text).toContain(`(${MAX_CATCH_UP} per job)`);
    expect(ended.every(({ subject }) => subject.startsWith('Sluice: Too late succeeded'))).toBe(true);
  });
});

describe.concurrent('slots of two servers', () => {
  test('run once each', async () => {
    const { cron, last } = hourly();
    const [slot = 0] = last(1);
    const jobIds = await Promise.all(
      Array.from({ length: 12 }, (_, index) => hourlyJob(cron, { jobName: `twin ${index}`, s3Url: 'exports/twins' })),
    );
    await querySql(server, `UPDATE jobs SET next_run_at = $1 WHERE name LIKE 'twin %'`, [new Date(slot)]);
    for (const jobId of jobIds) {
      const runs = await endedRunsOf(server, jobId, 1, BUSY_MS);
      expect(runs).toMatchObject([{ status: 'SUCCEEDED', attempt: 1, trigger: 'CRON' }]);
    }
    const keys = putsBelow('twins/');
    expect(keys).toHaveLength(24);
    expect(new Set(keys).size).toBe(24);
  });

  test('include one run at scheduledTimeInSeconds', async () => {
    const at = Math.floor(Date.now() / 1000) + 10;
    const jobId = await createJob(server, { enabled: true, scheduledTimeInSeconds: at });
    expect(await runsOf(server, jobId)).toEqual([]);
    const [run, ...more] = await endedRunsOf(server, jobId, 1);
    expect(more).toEqual([]);
    expect(run).toMatchObject({ trigger: 'ONE_OFF', status: 'SUCCEEDED', scheduledFor: iso(at * 1000) });
    expect(Date.parse(run?.startedAt ?? '')).toBeGreaterThanOrEqual(at * 1000);
    expect(await nextRunAt(jobId)).toBeNull();
    // A second run needs an explicit runJob.
    await updateJob(server, jobId, { description: 'edited' });
    expect(await nextRunAt(jobId)).toBeNull();
  });
});

describe.concurrent('runs of one job', () => {
  test('never overlap, while runs of other jobs continue', async () => {
    const folder = 'overlap/held/';
    const gate = createGate();
    let asked = 0;
    faults.on(folder, () => ((asked += 1) === 1 ? { hold: gate.opened } : undefined));
    const { cron, last } = hourly();
    const slots = last(3);
    const jobId = await hourlyJob(cron, { jobName: 'held', s3Url: 'exports/overlap' });
    await makeDue(jobId, slots[0] ?? 0);
    await eventually(
      () => Promise.resolve(asked),
      (count) => count === 1,
    );
    const manual = await runJob(server, jobId, '2026-01-28T02:00:00Z');
    const free = await createJob(server, { s3Url: 'exports/overlap' });
    expect((await endedRun(server, await runJob(server, free))).status).toBe('SUCCEEDED');
    expect((await runsOf(server, jobId)).map(({ status }) => status)).toEqual([
      'QUEUED',
      'RUNNING',
      'QUEUED',
      'QUEUED',
    ]);
    expect(asked).toBe(1);
    gate.open();
    const runs = await endedRunsOf(server, jobId, 4);
    expect(runs.every(({ status, attempt }) => status === 'SUCCEEDED' && attempt === 1)).toBe(true);
    // Sequentially: the waiting run of the oldest slot first.
    const inOrder = runs.toSorted((a, b) => timeOf(a.startedAt) - timeOf(b.startedAt));
    expect(slotsOf(inOrder)).toEqual([
      iso(slots[0] ?? 0),
      '2026-01-28T02:00:00Z',
      iso(slots[1] ?? 0),
      iso(slots[2] ?? 0),
    ]);
    expect(inOrder[1]?.id).toBe(manual);
    for (const [index, run] of inOrder.slice(1).entries()) {
      expect(timeOf(run.startedAt)).toBeGreaterThanOrEqual(timeOf(inOrder[index]?.finishedAt));
    }
  });

  test('that wait are superseded by a later slot whose window contains theirs, and reported by mail', async () => {
    const folder = 'overlap/slow/';
    const gate = createGate();
    let asked = 0;
    faults.on(folder, () => ((asked += 1) === 1 ? { hold: gate.opened } : undefined));
    const [early, late] = [hourly(40), hourly(20)];
    const settings = {
      jobName: 'slow',
      s3Url: 'exports/overlap',
      email: 'slow@example.com',
      range: 'ago(3d)',
      aggregationBucket: 'MONTH',
    };
    const jobId = await hourlyJob(early.cron, settings);
    const manual = await runJob(server, jobId);
    await eventually(
      () => Promise.resolve(asked),
      (count) => count === 1,
    );
    const [first = 0] = early.last(1);
    await makeDue(jobId, first);
    await eventually(
      () => runsOf(server, jobId),
      (runs) => runs.length === 2,
    );
    await updateJob(server, jobId, { cron: late.cron });
    const [second = 0] = late.last(1);
    await makeDue(jobId, second);
    const runs = await eventually(
      () => runsOf(server, jobId),
      (all) => all.length === 3,
    );
    const bySlot = new Map(runs.map((run) => [run.scheduledFor, run]));
    // Both slots have the same window unless a month began between them.
    const same = iso(first).slice(0, 7) === iso(second).slice(0, 7);
    if (same) {
      expect(bySlot.get(iso(first))).toMatchObject({
        status: 'CANCELED',
        attempt: 0,
        error: { code: 'SUPERSEDED', retryable: false },
        finishedAt: expect.any(String),
      });
    }
    gate.open();
    expect((await endedRun(server, bySlot.get(iso(second))?.id ?? '')).status).toBe('SUCCEEDED');
    expect((await endedRun(server, manual)).status).toBe('SUCCEEDED');
    const subjects = await eventually(
      () =>
        Promise.resolve(
          smtp.messages.filter(({ to }) => to.includes('slow@example.com')).map(({ subject }) => subject),
        ),
      (all) => all.length >= 3,
    );
    expect(subjects.map((subject) => subject.split(' ')[2] ?? '').toSorted()).toEqual(
      same ? ['succeeded', 'succeeded', 'was'] : ['succeeded', 'succeeded', 'succeeded'],
    );
  });

  test('that wait are not superseded by a later slot if the job was updated meanwhile', async () => {
    const folder = 'overlap/turned/';
    const gate = createGate();
    let asked = 0;
    faults.on(folder, () => ((asked += 1) === 1 ? { hold: gate.opened } : undefined));
    const [early, late] = [hourly(40), hourly(20)];
    const jobId = await hourlyJob(early.cron, {
      jobName: 'turned',
      s3Url: 'exports/overlap',
      range: 'ago(3d)',
      aggregationBucket: 'MONTH',
    });
    const manual = await runJob(server, jobId);
    await eventually(
      () => Promise.resolve(asked),
      (count) => count === 1,
    );
    const [first = 0] = early.last(1);
    await makeDue(jobId, first);
    await eventually(
      () => runsOf(server, jobId),
      (runs) => runs.length === 2,
    );
    // To another S3 bucket: readers of the first one expect the slot that was queued for it.
    await updateJob(server, jobId, { cron: late.cron, s3Url: 'other-exports/overlap' });
    const [second = 0] = late.last(1);
    await makeDue(jobId, second);
    await eventually(
      () => runsOf(server, jobId),
      (all) => all.length === 3,
    );
    gate.open();
    const runs = await endedRunsOf(server, jobId, 3);
    expect(runs.map(({ status }) => status)).toEqual(['SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED']);
    expect(runs.find(({ id }) => id === manual)?.status).toBe('SUCCEEDED');
    const of = (slot: number): string =>
      runs.find(({ scheduledFor }) => scheduledFor === iso(slot))?.objects[0]?.key ?? '';
    expect(server.s3.object('exports', of(first))).toBeDefined();
    expect(server.s3.object('other-exports', of(second))).toBeDefined();
  });

  test('that are queued keep their settings when the job is updated', async () => {
    const folder = 'overlap/edited/';
    const gate = createGate();
    let asked = 0;
    faults.on(folder, () => ((asked += 1) === 1 ? { hold: gate.opened } : undefined));
    const { cron, last } = hourly();
    const slots = last(2);
    const jobId = await hourlyJob(cron, { jobName: 'edited', s3Url: 'exports/overlap' });
    await makeDue(jobId, slots[0] ?? 0);
    await eventually(
      () => Promise.resolve(asked),
      (count) => count === 1,
    );
    await updateJob(server, jobId, { format: 'JSON', s3Url: 'other-exports/overlap', enabled: false });
    expect(await nextRunAt(jobId)).toBeNull();
    gate.open();
    const runs = await endedRunsOf(server, jobId, 2);
    expect(runs.map(({ status, objects }) => [status, objects[0]?.key.endsWith('.csv')])).toEqual([
      ['SUCCEEDED', true],
      ['SUCCEEDED', true],
    ]);
    const manifest = JSON.parse(
      server.s3.object('exports', runs[1]?.manifestKey ?? '')?.body.toString() ?? '',
    ) as Manifest;
    expect(manifest.settings).toMatchObject({ format: 'CSV', s3Url: 'exports/overlap', enabled: true });
    const run = await endedRun(server, await runJob(server, jobId, '2026-01-28T02:00:00Z'));
    expect(run).toMatchObject({ status: 'SUCCEEDED', trigger: 'MANUAL' });
    expect(server.s3.object('other-exports', run.objects[0]?.key ?? '')?.body.toString()).toBe('[]');
  });

  test('that failed do not delay the next slot', async () => {
    const folder = 'overlap/refused/';
    let asked = 0;
    faults.on(folder, () => ((asked += 1) === 1 ? { status: 403, code: 'AccessDenied' } : undefined));
    const { cron, last } = hourly();
    const slots = last(3);
    const jobId = await hourlyJob(cron, { jobName: 'refused', s3Url: 'exports/overlap' });
    await makeDue(jobId, slots[0] ?? 0);
    const runs = await endedRunsOf(server, jobId, 3);
    expect(runs.map(({ status }) => status)).toEqual(['FAILED', 'SUCCEEDED', 'SUCCEEDED']);
    // The failed window can be exported by runJob: another run for the same slot.
    const id = await runJob(server, jobId, iso(slots[0] ?? 0));
    const again = await endedRun(server, id);
    expect(again).toMatchObject({ status: 'SUCCEEDED', trigger: 'MANUAL', scheduledFor: iso(slots[0] ?? 0) });
    expect(again.windowStart).toBe(runs[0]?.windowStart);
    expect(await runsOf(server, jobId)).toHaveLength(4);
  });

  test('that wait or run are canceled when the job is deleted, no further slot is queued, and the history remains', async () => {
    const folder = 'overlap/goes/';
    const gate = createGate();
    let asked = 0;
    faults.on(folder, () => ((asked += 1) === 2 ? { hold: gate.opened } : undefined));
    const { cron, last } = hourly();
    const slots = last(3);
    const jobId = await hourlyJob(cron, { jobName: 'goes', s3Url: 'exports/overlap' });
    const done = await runJob(server, jobId, '2026-01-28T02:00:00Z');
    await runThat(server, done, () => asked === 2);
    await makeDue(jobId, slots[0] ?? 0);
    await eventually(
      () => runsOf(server, jobId),
      (runs) => runs.length === 4,
    );
    await deleteJob(server, jobId);
    const { runs } = await server.graphql<{ runs: { edges: { node: RunView }[] } }>(
      `{ runs(first: 100) { edges { node { id jobName status job { id } finishedAt scheduledFor } } } }`,
    );
    const left = runs.edges.map(({ node }) => node).filter(({ jobName }) => jobName === 'goes');
    expect(left).toHaveLength(4);
    for (const run of left)
      expect(run).toMatchObject({ status: 'CANCELED', job: null, finishedAt: expect.any(String) });
    expect(await nextRunAt(jobId)).toBeNull();
    gate.open();
    expect(await readRun(server, done)).toMatchObject({ status: 'CANCELED', jobName: 'goes' });
  });
});

test('queueDueSlots > says in the oldest MISSED run that older slots are not recorded after years of downtime', async () => {
  // Every minute: 10,000 slots are recorded individually.
  const jobId = await hourlyJob('* * * * *', { jobName: 'Years later', range: 'ago(2h)', minimizeFresh: false });
  // Another job that is due at the same time runs, too.
  const { cron, last } = hourly();
  const beside = await hourlyJob(cron);
  await querySql(
    server,
    'UPDATE jobs SET next_run_at = CASE id WHEN $1::uuid THEN $2::timestamptz ELSE $4::timestamptz END WHERE id IN ($1, $3)',
    [innerId(jobId), new Date(Date.now() - 30 * 24 * HOUR), innerId(beside), new Date(last(1)[0] ?? 0)],
  );
  const counted = await eventually(
    () =>
      querySql<{ missed: number; runs: number }>(
        server,
        `SELECT count(*) FILTER (WHERE error ->> 'code' = 'MISSED')::int AS missed, count(*)::int AS runs FROM runs WHERE job_id = $1`,
        [innerId(jobId)],
      ),
    ([row]) => (row?.missed ?? 0) > 0,
    BUSY_MS,
  );
  expect(counted[0]?.runs).toBeLessThan(10_100);
  // Another minute may have started since, with one more slot.
  const kept = (counted[0]?.runs ?? 0) - (counted[0]?.missed ?? 0);
  expect([MAX_CATCH_UP, MAX_CATCH_UP + 1]).toContain(kept);
  const oldest = await querySql<{ message: string }>(
    server,
    `SELECT error ->> 'message' AS message
     FROM runs WHERE job_id = $1 AND error IS NOT NULL ORDER BY scheduled_for LIMIT 2`,
    [innerId(jobId)],
  );
  expect(oldest.map(({ message }) => message.includes('Slots before the 10000 newest were skipped too'))).toEqual([
    true,
    false,
  ]);
  expect(await endedRunsOf(server, beside, 1)).toMatchObject([{ status: 'SUCCEEDED' }]);
  await deleteJob(server, jobId);
});
