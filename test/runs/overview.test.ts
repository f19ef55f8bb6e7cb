import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobRow } from '../../src/jobs/jobs.ts';
import { nextSlot, upcomingSlots } from '../../src/jobs/schedule/upcoming-slots.ts';
import { fillIntake, findNextSlots, startOfOpenDays } from '../../src/runs/overview.ts';
import { addRecords, createJob, deleteJob, exportOnce, innerId, querySql, runJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

interface OverviewAnswer {
  readonly at: string;
  readonly failingRuns: readonly { readonly jobName: string }[];
  readonly failingJobCount: number;
  readonly jobsWithWarnings: readonly { readonly jobName: string }[];
  readonly jobWithWarningsCount: number;
  readonly attentionDeliveries: readonly { readonly state: string; readonly job: { readonly jobName: string } }[];
  readonly staleDeliveryCount: number;
  readonly missingDeliveryCount: number;
  readonly queueLagSeconds: number;
  readonly runsLast24Hours: readonly { readonly status: string; readonly count: number }[];
  readonly intake: readonly {
    readonly date: string;
    readonly operations: number;
    readonly insertedRecords: number;
    readonly hiddenRecords: number;
  }[];
  readonly nextSlots: readonly {
    readonly job: { readonly jobName: string; readonly nextRuns: readonly string[] };
    readonly scheduledFor: string;
    readonly windowStart: string;
    readonly windowEnd: string;
  }[];
}

const QUERY = `{ overview { at failingRuns { jobName } failingJobCount jobsWithWarnings { jobName } jobWithWarningsCount
  attentionDeliveries { state job { jobName } } staleDeliveryCount missingDeliveryCount queueLagSeconds
  runsLast24Hours { status count } intake { date operations insertedRecords hiddenRecords }
  nextSlots { job { jobName nextRuns(first: 2) } scheduledFor windowStart windowEnd } } }`;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const readOverview = async (at = server, key?: string): Promise<OverviewAnswer> =>
  (await at.graphql<{ overview: OverviewAnswer }>(QUERY, {}, key)).overview;

describe('overview', () => {
  test('has zeros and no rows when the account is empty', async () => {
    const { at, intake, runsLast24Hours, ...overview } = await readOverview(
      server,
      await server.createKey('empty', ['READ']),
    );
    expect(overview).toEqual({
      failingRuns: [],
      failingJobCount: 0,
      jobsWithWarnings: [],
      jobWithWarningsCount: 0,
      attentionDeliveries: [],
      staleDeliveryCount: 0,
      missingDeliveryCount: 0,
      queueLagSeconds: 0,
      nextSlots: [],
    });
    expect(runsLast24Hours.map(({ count }) => count)).toEqual([0, 0, 0, 0, 0]);
    expect(intake).toHaveLength(30);
    expect(intake.at(-1)?.date).toBe(`${at.slice(0, 10)}T00:00:00Z`);
    expect(intake.every(({ operations }) => operations === 0)).toBe(true);
  });

  test('has the newest ended runs that failed, the warnings and the deliveries that need attention', async () => {
    const exported = await Promise.all(
      ['fails', 'recovered', 'stale', 'missing', 'deleted'].map((jobName) =>
        exportOnce(
          server,
          { jobName, s3Url: `exports/${jobName}`, meterApiNames: ['nowhere'] },
          '2026-01-26T01:00:00Z',
        ),
      ),
    );
    const [fails, recovered, stale, missing, deleted] = exported.map(({ jobId }) => jobId) as [
      string,
      string,
      string,
      string,
      string,
    ];
    await querySql(server, `UPDATE runs SET status = 'FAILED' WHERE job_id = ANY($1::uuid[])`, [
      [fails, recovered, deleted].map(innerId),
    ]);
    await querySql(server, `UPDATE deliveries SET stale_since = now() WHERE job_id = ANY($1::uuid[])`, [
      [stale, deleted].map(innerId),
    ]);
    await querySql(server, `UPDATE deliveries SET revision = 0 WHERE job_id = $1`, [innerId(missing)]);
    // A later run of the job succeeded, and another one has not ended.
    for (const status of ['SUCCEEDED', 'QUEUED']) {
      await querySql(
        server,
        `INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid(), 'status', $2::text,
           'created_at', clock_timestamp(), 'trigger', 'MANUAL', 'not_before', now() + interval '1 hour'))).* FROM runs r WHERE r.job_id = $1 AND r.status = 'FAILED'`,
        [innerId(recovered), status],
      );
    }
    await deleteJob(server, deleted);
    const overview = await readOverview();
    expect(overview).toMatchObject({
      failingRuns: [{ jobName: 'fails' }],
      failingJobCount: 1,
      jobsWithWarnings: ['fails', 'missing', 'recovered', 'stale'].map((jobName) => ({ jobName })),
      jobWithWarningsCount: 4,
      staleDeliveryCount: 1,
      missingDeliveryCount: 1,
      queueLagSeconds: 0,
    });
    expect(overview.attentionDeliveries.map(({ state, job }) => `${state} ${job.jobName}`).toSorted()).toEqual([
      'MISSING missing',
      'STALE stale',
    ]);
    expect(Object.fromEntries(overview.runsLast24Hours.map(({ status, count }) => [status, count]))).toEqual({
      QUEUED: 1,
      RUNNING: 0,
      SUCCEEDED: 3,
      FAILED: 3,
      CANCELED: 0,
    });
    await querySql(server, `DELETE FROM runs WHERE status = 'QUEUED'`);
  });

  test('counts all but lists at most 20', async () => {
    await querySql(
      server,
      `INSERT INTO deliveries SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'manifest_key', 'k' || n,
         'window_end', d.window_end + n * interval '1 day'))).* FROM deliveries d, generate_series(1, 30) n WHERE d.revision = 0`,
    );
    const { attentionDeliveries, missingDeliveryCount } = await readOverview();
    expect([attentionDeliveries.length, missingDeliveryCount]).toEqual([20, 31]);
  });

  test('has the age of the oldest due run, which does not wait for completeness or for its next attempt', async () => {
    const idle = await startTestServer({ env: { ROLE: 'api' } });
    try {
      const job = await createJob(idle, { jobName: 'waits' });
      await runJob(idle, job, '2026-01-26T01:00:00Z');
      const set = (notBefore: string) =>
        querySql(idle, `UPDATE runs SET created_at = now() - interval '100 s', not_before = ${notBefore}`);
      await set('NULL');
      expect((await readOverview(idle)).queueLagSeconds).toBeGreaterThanOrEqual(100);
      await set(`now() + interval '1 hour'`);
      expect((await readOverview(idle)).queueLagSeconds).toBe(0);
      await set(`now() - interval '50 s'`);
      const lag = (await readOverview(idle)).queueLagSeconds;
      expect([lag >= 50, lag < 100]).toEqual([true, true]);
    } finally {
      await idle.stop();
    }
  });

  test('has the operations and records of each of the last 30 UTC days', async () => {
    const own = await server.createKey('intake', ['ADMIN']);
    const record = { timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' };
    await addRecords(server, 'taken', 'DAILY', [record, { ...record, elementName: 'f' }], own);
    await addRecords(server, 'taken', 'DAILY', [record], own);
    const key = await server.createKey('other', ['ADMIN']);
    await server.graphql(
      `mutation { allocationSum(input: { stream: "s", records: [{ timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, elementName: "e", value: "1" }] }) { __typename } }`,
      {},
      key,
    );
    await querySql(
      server,
      `UPDATE operations SET received_at = ((now() AT TIME ZONE 'UTC')::date - 29) AT TIME ZONE 'UTC', hidden_records = 5
         WHERE inserted_records = 2`,
    );
    const { intake, at } = await readOverview(server, own);
    const total = intake.map((day) => [day.operations, day.insertedRecords, day.hiddenRecords]);
    expect(total[0]).toEqual([1, 2, 5]);
    expect(total.at(-1)).toEqual([1, 1, 0]);
    expect(
      total
        .slice(1, -1)
        .flat()
        .every((figure) => figure === 0),
    ).toBe(true);
    const first = new Date(`${at.slice(0, 10)}T00:00:00Z`).getTime() - 29 * 86_400_000;
    expect(intake.map(({ date }) => Date.parse(date))).toEqual(
      Array.from({ length: 30 }, (_, index) => first + index * 86_400_000),
    );

    // Days that ended are not counted again, today is.
    await querySql(server, `UPDATE operations SET hidden_records = 7 WHERE hidden_records = 5`);
    await addRecords(server, 'taken', 'DAILY', [record], own);
    const again = await readOverview(server, own);
    expect([again.intake[0]?.hiddenRecords, again.intake.at(-1)?.operations]).toEqual([5, 2]);
  });

  test('has the next 10 slots of the enabled jobs with their windows', async () => {
    await createJob(server, {
      jobName: 'each minute',
      s3Url: 'exports/m',
      enabled: true,
      cron: '* * * * *',
      range: 'ago(1h)',
      aggregationBucket: 'HOUR',
    });
    await createJob(server, { jobName: 'each year', s3Url: 'exports/y', enabled: true, cron: '0 0 1 1 *' });
    await createJob(server, { jobName: 'never', s3Url: 'exports/n', enabled: false, cron: '* * * * *' });
    const { nextSlots, at } = await readOverview();
    expect(nextSlots).toHaveLength(10);
    expect(new Set(nextSlots.map(({ job }) => job.jobName))).toEqual(new Set(['each minute']));
    const minute = Math.floor(Date.parse(at) / 60_000) * 60_000;
    expect(nextSlots.map(({ scheduledFor }) => Date.parse(scheduledFor) - minute)).toEqual(
      Array.from({ length: 10 }, (_, index) => (index + 1) * 60_000),
    );
    for (const { windowStart, windowEnd } of nextSlots) {
      expect(Date.parse(windowEnd) - Date.parse(windowStart)).toBeGreaterThanOrEqual(3_600_000);
    }
  });
});

describe('findNextSlots', () => {
  const AT = new Date('2026-03-28T23:30:00Z');
  const job = fc.record({
    cron: fc.constantFrom('* * * * *', '*/7 * * * *', '0 * * * *', '30 2 * * *', '0 0 * * 1', '0 0 1 1 *', null),
    timeZone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York'),
    once: fc.integer({ min: -3, max: 90 }),
    isDue: fc.boolean(),
  });

  const jobOf = (name: string, settings: object, nextRunAt: Date | null): JobRow =>
    ({ name, settings, nextRunAt }) as unknown as JobRow;
  const SETTINGS = {
    enabled: true,
    scheduledTimeInSeconds: null,
    timeZone: 'UTC',
    range: 'ago(1d)',
    endTimeOffset: null,
    aggregationBucket: 'DAY',
    minimizeFresh: true,
  };

  test('sorts a job whose stored slot is due by the slot after it', () => {
    const due = new Date(AT.getTime() - 60_000);
    const yearly = Array.from({ length: 10 }, (_, index) =>
      jobOf(`yearly ${index}`, { ...SETTINGS, cron: '0 0 1 1 *' }, due),
    );
    const minutely = { ...SETTINGS, cron: '* * * * *' };
    const often = jobOf('often', minutely, upcomingSlots(minutely as never, AT, 1)[0] ?? null);
    expect(new Set(findNextSlots([...yearly, often], AT).map((one) => one.job.name))).toEqual(new Set(['often']));
  });

  test('returns what the slots of all jobs together are', () => {
    fc.assert(
      fc.property(fc.array(job, { maxLength: 40 }), (drawn) => {
        const jobs = drawn.map(({ cron, timeZone, once, isDue }, index): JobRow => {
          const settings = {
            ...SETTINGS,
            cron,
            timeZone,
            scheduledTimeInSeconds: cron === null ? AT.getTime() / 1000 + once * 60 : null,
          };
          const next = nextSlot(settings as never, AT);
          const nextRunAt = isDue && next ? new Date(AT.getTime() - 60_000) : next;
          return jobOf(`job ${String(index).padStart(2, '0')}`, settings, nextRunAt);
        });
        const stored = jobs
          .filter(({ nextRunAt }) => nextRunAt !== null)
          .toSorted((a, b) => Number(a.nextRunAt) - Number(b.nextRunAt) || (a.name < b.name ? -1 : 1));
        const given = [
          ...stored.filter(({ nextRunAt }) => Number(nextRunAt) <= AT.getTime()),
          ...stored.filter(({ nextRunAt }) => Number(nextRunAt) > AT.getTime()).slice(0, 10),
        ];
        const expected = jobs
          .flatMap((one) => upcomingSlots(one.settings, AT, 10).map((slot) => `${slot.toISOString()} ${one.name}`))
          .toSorted()
          .slice(0, 10);
        expect(findNextSlots(given, AT).map((one) => `${one.scheduledFor.toISOString()} ${one.job.name}`)).toEqual(
          expected,
        );
      }),
      { numRuns: 200 },
    );
  });
});

test('fillIntake > begins 29 UTC days before the day of the time', () => {
  const days = fillIntake([], new Date('2026-03-01T23:59:59.999Z'));
  expect([days[0]?.date.toISOString(), days.at(-1)?.date.toISOString(), days.length]).toEqual([
    '2026-01-31T00:00:00.000Z',
    '2026-03-01T00:00:00.000Z',
    30,
  ]);
});

test.each([
  ['2026-03-02T00:59:59Z', '2026-03-01T00:00:00.000Z'],
  ['2026-03-02T01:00:00Z', '2026-03-02T00:00:00.000Z'],
])('startOfOpenDays > at %s is %s', (at, start) => {
  expect(startOfOpenDays(new Date(at)).toISOString()).toBe(start);
});
