import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expandFolder } from '../../src/jobs/destination.ts';
import {
  cancelRun,
  createJob,
  deleteJob,
  innerId,
  jobSettings,
  querySql,
  type Result,
  runJob,
  type Settings,
  tryCreateJob,
  tryUpdateJob,
  updateJob,
} from '../support/job-steps.ts';
import { untilLockWaits } from '../support/lock-waits.ts';
import { withClient } from '../support/postgres-admin.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// The server has no worker, so runs stay QUEUED.

const TAKEN = { __typename: 'ConflictError', code: 'CONFLICT' };
const MADE = { __typename: 'Job' };

let server: TestServer;
let theirKey: string;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  theirKey = await server.createKey('others', ['JOBS']);
});
// The names are free for the next test.
afterEach(() => querySql(server, 'UPDATE jobs SET deleted_at = now() WHERE deleted_at IS NULL'));
afterAll(() => server.stop());

type Place = Pick<Settings, 's3Url' | 'jobName'>;
const place = (s3Url: string, jobName: string): Place => ({ s3Url: `exports/${s3Url}`, jobName });

const checkJob = async (settings: Settings): Promise<Result> => {
  const { checkJob: result } = await server.graphql<{ checkJob: Result }>(
    `mutation ($input: CreateJobInput!) { checkJob(input: $input) { __typename ... on UserError { code message } } }`,
    { input: settings },
    theirKey,
  );
  return result;
};

describe('destination with placeholders', () => {
  test.each<[string, Place, Place]>([
    ['a year and its placeholder', place('c1/{yyyy}', 'A'), place('c1/2026', 'a')],
    ['the slug and its placeholder', place('c2', 'Daily usage'), place('c2/{job}', 'daily USAGE')],
    ['a slug of digits', place('c3', '2026'), place('c3/{job}', '2026')],
    ['a placeholder before the slug', place('c4/{yyyy}-{job}', 'x'), place('c4', '2026 x')],
    ['different placeholders', place('c5/{MM}', 'A'), place('c5/{dd}', 'a')],
    ['placeholders that overlap', place('c6/{yyyy}', 'A'), place('c6/{MM}{dd}', 'a')],
    ['digits before and after', place('c7/{dd}1', 'A'), place('c7/1{dd}', 'a')],
    ['special characters', place('c8/a.*+?^$|()[]\\/{dd}', 'A'), place('c8/a.*+?^$|()[]\\/31', 'a')],
  ])('is taken for %s', async (_, first, second) => {
    const [one, other] = [jobSettings({ ...first }), jobSettings({ ...second })];
    const id = await createJob(server, one);
    // The names may be equal, so the other job is of another account, and the message does not reveal the first.
    const refused = await tryCreateJob(server, other, theirKey);
    expect(refused).toMatchObject(TAKEN);
    expect(refused['message']).toMatch(/^Another job writes to the same S3 bucket/);
    expect(await checkJob(other)).toEqual(refused);
    const elsewhere = await createJob(server, { s3Url: 'exports/elsewhere', jobName: other['jobName'] }, theirKey);
    expect(await tryUpdateJob(server, { id: elsewhere, s3Url: other['s3Url'] }, theirKey)).toEqual(refused);

    await deleteJob(server, id);
    expect(await tryUpdateJob(server, { id: elsewhere, s3Url: other['s3Url'] }, theirKey)).toMatchObject(MADE);
    // In the other order.
    expect(await tryCreateJob(server, one)).toMatchObject(TAKEN);
  });

  test.each<[string, Place, Place]>([
    ['literal digits differ', place('d1/{yyyy}/1', 'A'), place('d1/2026/2', 'a')],
    ['the lengths differ', place('d2/{yyyy}', 'A'), place('d2/26', 'a')],
    ['a letter is where the placeholder is', place('d3/{yyyy}', 'A'), place('d3/202x', 'a')],
    ['the folders differ in depth', place('d4/{yyyy}', 'A'), place('d4/{yyyy}/{MM}', 'a')],
    ['the slugs differ', place('d5/{yyyy}', 'A'), place('d5/{yyyy}', 'b')],
    ['a sign is where the placeholder is', place('d6/{dd}', 'A'), place('d6/##', 'a')],
  ])('is free when %s', async (_, first, second) => {
    expect(await tryCreateJob(server, jobSettings({ ...first }))).toMatchObject(MADE);
    expect(await tryCreateJob(server, jobSettings({ ...second }), theirKey)).toMatchObject(MADE);
  });

  test('can be edited by its own job', async () => {
    const id = await createJob(server, place('own/{yyyy}', 'Own'));
    expect(await tryUpdateJob(server, { id, s3Url: 'exports/own/2026' })).toMatchObject(MADE);
    expect(await tryUpdateJob(server, { id, s3Url: 'exports/own/{MM}{dd}', description: 'x' })).toMatchObject(MADE);
  });

  test('can be as long as keys allow', async () => {
    const placeholders = '{dd}/'.repeat(300);
    expect(await tryCreateJob(server, jobSettings({ s3Url: `exports/${placeholders}`, jobName: 'L' }))).toMatchObject(
      MADE,
    );
    expect(
      await tryCreateJob(server, jobSettings({ s3Url: `exports/${'31/'.repeat(300)}`, jobName: 'l' }), theirKey),
    ).toMatchObject(TAKEN);
  });

  test('is given to one of the jobs that are created concurrently', async () => {
    const places = ['{yyyy}', '2026', '{MM}{dd}', '20{dd}', '{yyyy}', '2027'];
    const made = await Promise.all(
      places.map((path, index) =>
        tryCreateJob(server, jobSettings(place(`race/${path}`, 'R')), index % 2 ? theirKey : server.key),
      ),
    );
    const winners = places.filter((_, index) => made[index]?.__typename === 'Job');
    expect(made.filter(({ __typename: type }) => type !== 'Job').every(({ code }) => code === 'CONFLICT')).toBe(true);
    // Two years without placeholders do not collide.
    expect([['2026', '2027'], ...places.map((path) => [path])]).toContainEqual(winners.toSorted());
  });

  test('waits for a job that is being created', async () => {
    const taken = await withClient(server.database.url, async (creator) => {
      const other = await createJob(server, place('moment', 'Creating'), theirKey);
      await creator.query('BEGIN');
      await creator.query(`UPDATE jobs SET destination = 'exports/moment/{yyyy}/m' WHERE id = $1`, [innerId(other)]);
      await creator.query(`SELECT destination_is_written_to('exports/moment/{yyyy}/m', $1)`, [innerId(other)]);
      const created = tryCreateJob(server, jobSettings(place('moment/2026', 'M')));
      await untilLockWaits(server, 'advisory', created);
      await creator.query('COMMIT');
      return created;
    });
    expect(taken).toMatchObject(TAKEN);
  });

  test('is free only when the pending runs of a job that left it have ended', async () => {
    const leaving = await createJob(server, place('left/{job}/{yyyy}', 'Leaving'));
    const run = await runJob(server, leaving, '2026-06-01T00:00:00Z');
    await updateJob(server, leaving, { s3Url: 'exports/gone' });
    const candidates = [place('left/{job}/{yyyy}', 'leaving'), place('left/leaving', '2026')];
    for (const candidate of candidates) {
      expect(await tryCreateJob(server, jobSettings({ ...candidate }), theirKey)).toMatchObject(TAKEN);
      expect(await checkJob(jobSettings({ ...candidate }))).toMatchObject(TAKEN);
    }
    // The pending run is of another year.
    expect(await tryCreateJob(server, jobSettings(place('left/leaving', '2025')), theirKey)).toMatchObject(MADE);
    await cancelRun(server, run);
    const [, second] = candidates;
    expect(await tryCreateJob(server, jobSettings({ ...second }), theirKey)).toMatchObject(MADE);
  });

  test('query for the jobs with which it can collide > uses an index under row-level security', async () => {
    const plan = await server.resources.database.acrossAccounts.transaction(async (tx) => {
      await tx.execute('SET LOCAL enable_seqscan = off');
      const { rows } = await tx.execute<{ 'QUERY PLAN': string }>(
        `EXPLAIN SELECT 1 FROM jobs WHERE destination_mask = 'a' AND destination_shape < 'b' AND deleted_at IS NULL
           AND destinations_collide(destination, 'a')`,
      );
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    });
    expect(plan).toMatch(/jobs_live_mask[^]*Index Cond: \(\(destination_mask = 'a'::text\) AND \(destination_shape < /);
  });
});

describe('destinations_collide', () => {
  const ZONES = ['UTC', 'America/New_York', 'Asia/Kolkata', 'Pacific/Kiritimati', 'Pacific/Pago_Pago'];
  const pieces = fc.constantFrom(
    '{yyyy}',
    '{MM}',
    '{dd}',
    '{HH}',
    '2026',
    '11',
    '1',
    '01',
    'a',
    '-',
    '/',
    '0',
    '#',
    '.',
    '$',
  );
  const paths = fc.array(pieces, { minLength: 1, maxLength: 5 }).map(
    (parts) =>
      parts
        .join('')
        .replace(/\/+/g, '/')
        .replace(/^\/|\/$/g, '') || 'x',
  );
  const starts = Array.from({ length: 60 }, (_, index) => new Date(Date.UTC(2026, 0, 1) + index * 6.1 * 86_400_000));

  /** Marks each position at which a placeholder may have any digit. */
  const marks = (path: string): string =>
    path.replace(/\{(yyyy|MM|dd|HH)\}/g, (_, name: string) => '\u0001'.repeat(name.length));
  const canBeEqual = (a: string, b: string): boolean => {
    const [left, right] = [marks(a), marks(b)];
    if (left.length !== right.length) return false;
    return [...left].every((mark, index) => {
      const other = right[index] ?? '';
      if (mark === other) return true;
      return mark === '\u0001' ? /\d/.test(other) : other === '\u0001' && /\d/.test(mark);
    });
  };

  test('is true if any window in any time zone has the same folder, and if digits can make the texts equal', async () => {
    // Pairs that are likely to collide: the second is the first with other pieces, or expanded.
    const pairs = fc.sample(
      fc.tuple(paths, paths, fc.nat(59), fc.constantFrom(...ZONES), fc.nat(2)).map(([a, other, at, zone, kind]) => {
        const expanded = expandFolder({ path: `${a}/{job}`, slug: 's' }, starts[at] ?? new Date(0), zone);
        const mixed = a.replace('{yyyy}', '{MM}{dd}').replace('{HH}', '{dd}');
        return [`${a}/s`, kind === 0 ? `${other}/s` : kind === 1 ? expanded : `${mixed}/s`] as const;
      }),
      4000,
    );
    const rows = await querySql<{ ab: boolean; ba: boolean }>(
      server,
      `SELECT destinations_collide(a, b) AS ab, destinations_collide(b, a) AS ba
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS pairs (a, b, n) ORDER BY n`,
      [pairs.map(([a]) => a), pairs.map(([, b]) => b)],
    );
    const seen = { equal: 0, different: 0, collisions: 0 };
    for (const [index, [a, b]] of pairs.entries()) {
      const decided = rows[index]?.ab;
      expect([a, b, decided, rows[index]?.ba]).toEqual([a, b, canBeEqual(a, b), canBeEqual(a, b)]);
      seen[decided ? 'equal' : 'different'] += 1;
      const folders = (template: string, start: Date): string[] =>
        ZONES.map((zone) => expandFolder({ path: template, slug: '' }, start, zone).slice(0, -1));
      const collides = starts.some((start) => {
        const mine = new Set(folders(a, start));
        return folders(b, start).some((folder) => mine.has(folder));
      });
      if (collides) expect([a, b, decided]).toEqual([a, b, true]);
      seen.collisions += collides ? 1 : 0;
    }
    expect(Math.min(seen.equal, seen.different, seen.collisions)).toBeGreaterThan(500);
  });
});
