import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createJob, deleteJob, runJob, type Settings } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let key: string;
let strangersJob: string;
/** Names of the jobs, oldest first. */
const NAMES = Array.from(
  { length: 23 },
  (_, index) => `Job ${String(index).padStart(2, '0')}${index % 2 ? ' (odd)' : ''}`,
);
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  key = await server.createKey('lister', ['JOBS']);
  for (const [index, jobName] of NAMES.entries()) {
    await createJob(server, { jobName, s3Url: 'exports/lists', cron: '0 6 * * *', enabled: index % 3 === 0 }, key);
  }
  strangersJob = await createJob(server, { jobName: 'Job of another account' });
  const deleted = await createJob(server, { jobName: 'Job deleted' }, key);
  await server.graphql(`mutation ($id: ID!) { deleteJob(id: $id) { __typename } }`, { id: deleted }, key);
});
afterAll(() => server.stop());

interface Page {
  readonly totalCount: number;
  readonly names: string[];
  readonly cursors: string[];
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
  readonly startCursor: string | null;
  readonly endCursor: string | null;
}

const QUERY = `query ($first: Int, $after: String, $last: Int, $before: String, $enabled: Boolean, $search: String) {
  jobs(first: $first, after: $after, last: $last, before: $before, enabled: $enabled, search: $search) {
    totalCount edges { cursor node { jobName } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`;

const list = async (args: Settings = {}): Promise<Page> => {
  const { jobs } = await server.graphql<{
    jobs: { totalCount: number; edges: { cursor: string; node: { jobName: string } }[]; pageInfo: Omit<Page, 'names'> };
  }>(QUERY, args, key);
  return {
    ...jobs.pageInfo,
    totalCount: jobs.totalCount,
    names: jobs.edges.map(({ node }) => node.jobName),
    cursors: jobs.edges.map(({ cursor }) => cursor),
  };
};

const NEWEST_FIRST = NAMES.toReversed();

describe.concurrent('jobs', () => {
  test('returns the jobs of the account, newest first, 20 per page by default', async () => {
    const page = await list();
    expect(page.names).toEqual(NEWEST_FIRST.slice(0, 20));
    expect(page).toMatchObject({
      totalCount: 23,
      hasNextPage: true,
      hasPreviousPage: false,
      startCursor: page.cursors[0],
      endCursor: page.cursors[19],
    });
    const rest = await list({ after: page.endCursor });
    expect(rest.names).toEqual(NEWEST_FIRST.slice(20));
    expect(rest).toMatchObject({ totalCount: 23, hasNextPage: false, hasPreviousPage: true });
  });

  test.each([1, 4, 7, 23, 100])('returns every job once in both directions with %i per page', async (size) => {
    const forward: string[] = [];
    for (let after: string | null = null, more = true; more;) {
      const page = await list({ first: size, after });
      forward.push(...page.names);
      [after, more] = [page.endCursor, page.hasNextPage];
      expect(page.names.length).toBe(more ? size : page.names.length);
    }
    expect(forward).toEqual(NEWEST_FIRST);
    const backward: string[] = [];
    for (let before: string | null = null, more = true; more;) {
      const page = await list({ last: size, before });
      backward.unshift(...page.names);
      [before, more] = [page.startCursor, page.hasPreviousPage];
    }
    expect(backward).toEqual(NEWEST_FIRST);
  });

  test('returns the jobs between two cursors', async () => {
    const { cursors } = await list();
    const between = { after: cursors[2], before: cursors[8] };
    expect((await list(between)).names).toEqual(NEWEST_FIRST.slice(3, 8));
    expect((await list({ ...between, first: 2 })).names).toEqual(NEWEST_FIRST.slice(3, 5));
    expect((await list({ ...between, last: 2 })).names).toEqual(NEWEST_FIRST.slice(6, 8));
    expect(await list({ first: 0 })).toMatchObject({ names: [], totalCount: 23, startCursor: null, endCursor: null });
  });

  test.each([
    ['odd', 11],
    ['ODD', 11],
    ['JOB 1', 10],
    ['(odd)', 11],
    ['%', 0],
    ['_', 0],
    ['\\', 0],
    ['Job 05', 1],
    ['another account', 0],
    ['deleted', 0],
    ['', 23],
    ['\u0000', 0],
    ['\ud800', 0],
  ])('searches for %j and finds %i', async (search, count) => {
    const page = await list({ search });
    expect(page.totalCount).toBe(count);
    expect(page.names).toHaveLength(Math.min(count, 20));
  });

  test('filters by enabled together with a search and pages', async () => {
    expect(await list({ enabled: true })).toMatchObject({ totalCount: 8 });
    expect(await list({ enabled: false })).toMatchObject({ totalCount: 15 });
    const page = await list({ enabled: true, search: 'odd', first: 2 });
    expect(page).toMatchObject({ totalCount: 4, hasNextPage: true, names: ['Job 21 (odd)', 'Job 15 (odd)'] });
    expect((await list({ enabled: true, search: 'odd', first: 2, after: page.endCursor })).names).toEqual([
      'Job 09 (odd)',
      'Job 03 (odd)',
    ]);
  });

  const cursorOf = (...parts: unknown[]): string => Buffer.from(JSON.stringify(parts)).toString('base64url');
  const SOME_ID = '0199e6a0-0000-7000-8000-000000000001';
  test.each<[string, Settings]>([
    ['first: 101', { first: 101 }],
    ['last: 101', { last: 101 }],
    ['first: -1', { first: -1 }],
    ['first together with last', { first: 1, last: 1 }],
    ['an invalid cursor', { after: 'x' }],
    ['an empty cursor', { after: '' }],
    ['a cursor of another list', { after: cursorOf('name') }],
    ['a cursor without a timestamp', { after: cursorOf('yesterday', SOME_ID) }],
    ['a cursor with an invalid day', { after: cursorOf('2026-02-31T00:00:00.000Z', SOME_ID) }],
    ['a cursor with an invalid hour', { before: cursorOf('2026-02-01T25:00:00.000Z', SOME_ID) }],
    ['a cursor with the year 0', { before: cursorOf('0000-02-01T05:00:00.000Z', SOME_ID) }],
    ['a cursor without an id', { before: cursorOf('2026-02-01T00:00:00.000Z', "'; DROP TABLE jobs") }],
  ])('rejects %s, as runs does', async (_name, args) => {
    for (const query of [
      QUERY,
      QUERY.replaceAll('jobs(', 'runs(')
        .replace(/, \$enabled.*String\)/, ')')
        .replace(', enabled: $enabled, search: $search', '')
        .replace('jobName', 'id'),
    ]) {
      const answer = await server.request(query, args, key);
      expect(answer.errors?.map(({ extensions }) => extensions?.['code'])).toEqual(['BAD_USER_INPUT']);
    }
  });
});

describe.concurrent('runs of a job', () => {
  test('are returned newest first, in pages, by status, and with their total count', async () => {
    const id = await createJob(server, { jobName: 'with runs' });
    const slots = Array.from({ length: 7 }, (_, index) => `2026-01-0${index + 1}T00:00:00Z`);
    for (const slot of slots) await runJob(server, id, slot);
    const read = async (args: Settings) => {
      const { job, runs } = await server.graphql<Record<'job' | 'runs', { runs: RunPage } & RunPage>>(
        `query ($id: ID!, $first: Int, $after: String, $status: [RunStatus!]) {
           job(id: $id) { runs(first: $first, after: $after, status: $status) { ...page } }
           runs(jobId: $id, first: $first, after: $after, status: $status) { ...page } }
         fragment page on RunConnection { totalCount edges { node { scheduledFor } } pageInfo { hasNextPage endCursor } }`,
        { id, ...args },
      );
      expect(job.runs).toEqual(runs);
      return {
        total: runs.totalCount,
        slots: runs.edges.map(({ node }) => node.scheduledFor),
        next: runs.pageInfo.hasNextPage ? runs.pageInfo.endCursor : null,
      };
    };
    const first = await read({ first: 5 });
    expect(first).toMatchObject({ total: 7, slots: slots.toReversed().slice(0, 5) });
    expect(await read({ first: 5, after: first.next })).toEqual({
      total: 7,
      slots: slots.toReversed().slice(5),
      next: null,
    });
    expect(await read({ status: ['RUNNING', 'SUCCEEDED'] })).toEqual({ total: 0, slots: [], next: null });
    expect((await read({ status: ['QUEUED'] })).total).toBe(7);
    expect((await read({ status: [] })).total).toBe(0);
    await deleteJob(server, id);
  });

  test('are not found when the job belongs to another account', async () => {
    const id = await runJob(server, strangersJob, '2026-01-01T00:00:00Z');
    const answer = await server.graphql<{ run: unknown; runs: { totalCount: number }; node: unknown }>(
      `query ($id: ID!, $jobId: ID!) { run(id: $id) { id } runs(jobId: $jobId) { totalCount } node(id: $id) { id } }`,
      { id, jobId: strangersJob },
      key,
    );
    expect(answer).toEqual({ run: null, runs: { totalCount: 0 }, node: null });
  });
});

interface RunPage {
  readonly totalCount: number;
  readonly edges: readonly { readonly node: { readonly scheduledFor: string } }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string };
}

describe.concurrent('nextRuns', () => {
  const nextRuns = async (settings: Settings, first?: number): Promise<string[]> => {
    const id = await createJob(server, { s3Url: 'exports/next', ...settings });
    const { job } = await server.graphql<{ job: { nextRuns: string[] } }>(
      first === undefined
        ? `query ($id: ID!) { job(id: $id) { nextRuns } }`
        : `query ($id: ID!, $first: Int!) { job(id: $id) { nextRuns(first: $first) } }`,
      { id, first },
    );
    return job.nextRuns;
  };

  test('returns the next five slots by default', async () => {
    const before = Date.now();
    const slots = await nextRuns({ enabled: true, cron: '30 6 * * 1', timeZone: 'America/New_York' });
    expect(slots).toHaveLength(5);
    const wall = new Intl.DateTimeFormat('en-US', {
      timeZone: 'America/New_York',
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    expect(slots.map((slot) => wall.format(new Date(slot)))).toEqual(Array.from({ length: 5 }, () => 'Mon 06:30'));
    const times = slots.map((slot) => Date.parse(slot));
    expect(times[0]).toBeGreaterThan(before);
    expect(times[0]).toBeLessThan(before + 8 * 86_400_000);
    // Slots are a week apart, give or take an hour when the clock changes.
    for (const [index, time] of times.slice(1).entries())
      expect(Math.abs(time - (times[index] ?? 0) - 7 * 86_400_000)).toBeLessThanOrEqual(3_600_000);
  });

  test.each<[string, Settings, number]>([
    ['a disabled job', { enabled: false, cron: '0 * * * *' }, 0],
    ['a job without a schedule', { enabled: true }, 0],
    ['a job with a cron', { enabled: true, cron: '0 * * * *' }, 7],
    ['a job with a one-off time', { enabled: true, scheduledTimeInSeconds: Math.floor(Date.now() / 1000) + 600 }, 1],
    [
      'a disabled job with a one-off time',
      { enabled: false, scheduledTimeInSeconds: Math.floor(Date.now() / 1000) + 600 },
      0,
    ],
  ])('returns up to seven slots of %s when first is 7', async (_name, settings, count) => {
    expect(await nextRuns(settings, 7)).toHaveLength(count);
  });

  test('accepts first from 0 to 100', async () => {
    expect(await nextRuns({ enabled: true, cron: '0 * * * *' }, 0)).toEqual([]);
    expect(await nextRuns({ enabled: true, cron: '0 * * * *' }, 100)).toHaveLength(100);
    for (const first of [101, -1]) {
      await expect(nextRuns({ enabled: true, cron: '0 * * * *' }, first)).rejects.toThrow('BAD_USER_INPUT');
    }
  });
});
