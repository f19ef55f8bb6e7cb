import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBackfill, endedBackfill } from '../backfills/steps.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  exportAgain,
  type Exported,
  type Manifest,
  readExport,
  runsOf,
  updateJob,
} from '../support/job-steps.ts';
import {
  checkedAll,
  checkTouched,
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
import { nameAsBefore } from '../support/restatement-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
  faults = createFaults(server.s3);
});
afterAll(() => server.stop());

const at = (day: number, elementName: string, value: string) => ({ timestamp: daysAgo(day, 5), elementName, value });

/** Delivers the window of 9 days ago with acme 100 and hooli 250. */
async function deliver(stream: string): Promise<Exported> {
  await addRecords(server, stream, 'HOURLY', [at(9, 'acme', '100'), at(9, 'hooli', '250')]);
  return deliverDay(server, stream, 9);
}

/** Waits until everything has ended, and reads the newest restatement of the job. */
async function readRestated(jobId: string) {
  await settled(server);
  const newest = (await restatementsOf(server, jobId))
    .toSorted((a, b) => new Date(a.startedAt ?? 0).getTime() - new Date(b.startedAt ?? 0).getTime())
    .at(-1);
  if (!newest) throw new Error('The job was not restated.');
  return { run: newest, ...readExport(server, newest) };
}

const statesOf = (key: string): string[] =>
  server.s3.puts.filter((put) => put.key === key).map(({ body }) => (JSON.parse(body.toString()) as Manifest).state);

describe('correction', () => {
  test('that changes no value, or is undone before the check, causes neither a run nor a put', async () => {
    const { jobId } = await deliver('same');
    await settled(server);
    const puts = server.s3.puts.length;
    await updateJob(server, jobId, { restateAfter: 'ago(24h)' });
    await write(server, 'allocationReplace', 'same', [at(9, 'hooli', '250')]);
    await checkTouched(server, jobId, 1);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 1, staleSince: null }]);
    const id = await write(server, 'allocationSum', 'same', [at(9, 'acme', '40')]);
    await revert(server, id);
    await checkTouched(server, jobId, 3);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 1, staleSince: null }]);
    expect(await runsOf(server, jobId)).toHaveLength(1);
    expect(server.s3.puts).toHaveLength(puts);
  });

  test('that is undone after it was delivered leads to a revision with the bytes of the first one', async () => {
    const { jobId, run } = await deliver('undone');
    const id = await write(server, 'allocationSum', 'undone', [at(9, 'acme', '40')]);
    const second = await readRestated(jobId);
    expect(second.text).toContain(',acme,140\n');
    expect(second.run.objects[0]?.sha256).not.toBe(run.objects[0]?.sha256);
    await revert(server, id);
    const third = await readRestated(jobId);
    expect(third.manifest).toMatchObject({ revision: 3, supersedes: { revision: 2, runId: second.run.id } });
    expect(third.run.objects.map(({ sha256 }) => sha256)).toEqual(run.objects.map(({ sha256 }) => sha256));
  });

  test('by deleteStream empties recent windows, and windows older than restateWithin stay STALE', async () => {
    const { jobId } = await deliver('deleted');
    await addRecords(server, 'deleted', 'HOURLY', [at(37, 'acme', '1')]);
    // This window ended 36 days ago.
    await exportAgain(server, jobId, daysAgo(36, 1));
    await server.graphql('mutation { deleteStream(name: "deleted") { __typename } }');
    const emptied = await readRestated(jobId);
    expect(emptied.manifest).toMatchObject({ revision: 2, changes: { rowsRemoved: 2 }, totals: { rows: 0 } });
    const old = { windowStart: daysAgo(37), state: 'STALE', revision: 1 };
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }, old]);
    await addRecords(server, 'deleted', 'HOURLY', [at(9, 'acme', '3'), at(37, 'acme', '3')]);
    const again = await readRestated(jobId);
    expect(again.text).toContain(',acme,3\n');
    expect(again.manifest).toMatchObject({ revision: 3, supersedes: { revision: 2 }, changes: { rowsAdded: 1 } });
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 3 }, old]);
    expect(await restatementsOf(server, jobId)).toHaveLength(2);
  });

  test('of a bucket in which delivered windows end marks none of them', async () => {
    const stream = 'fresh';
    const timestamp = daysAgo(1, 5);
    await addRecords(server, stream, 'HOURLY', [{ timestamp, elementName: 'acme', value: '1' }]);
    const jobId = await createJob(
      server,
      restatedJob(stream, {
        range: 'ago(1h)',
        aggregationBucket: 'HOUR',
        minimizeFresh: false,
        cron: '*/5 * * * *',
        enabled: false,
      }),
    );
    const to = timestamp.replace(':00:00Z', ':59:00Z');
    const { id } = await createBackfill(server, { jobId, from: daysAgo(1, 4), to });
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', delivered: 12 });
    await updateJob(server, jobId, { cron: '0 1 1 1 *', enabled: true });
    await settleImmediately(server, jobId);
    for (let sent = 0; sent < 1000; sent += 50) {
      const some = Array.from({ length: 50 }, (_, index) => `e${(sent + index) % 7}`);
      await Promise.all(
        some.map((elementName) => addRecords(server, stream, 'HOURLY', [{ timestamp, elementName, value: '1' }])),
      );
    }
    await checkedAll(server);
    const states = async () =>
      (await deliveriesOf(server, jobId)).map(({ state, pendingOperations }) => [state, pendingOperations.length]);
    expect(await states()).toEqual([['CURRENT', 0], ...Array.from({ length: 11 }, () => ['SUPERSEDED', 0])]);
    expect(await restatementsOf(server, jobId)).toEqual([]);
    // The hour before belongs to the newest of them.
    await write(server, 'allocationSum', stream, [{ timestamp: daysAgo(1, 4), elementName: 'late', value: '1' }]);
    await settled(server);
    expect(await restatementsOf(server, jobId)).toMatchObject([{ windowEnd: timestamp.replace(':00:00Z', ':55:00Z') }]);
  });
});

describe('overlapping windows of a schedule', () => {
  /** An hour that is not due during the test. */
  const hour = (new Date().getUTCHours() + 12) % 24;

  test('are restated by the newest that was delivered, and by one off the schedule', async () => {
    const stream = 'weekly';
    await addRecords(server, stream, 'HOURLY', [at(8, 'acme', '100')]);
    const jobId = await createJob(
      server,
      restatedJob(stream, { range: 'ago(7d)', cron: `0 ${hour} * * *`, s3Url: `exports/${stream}` }),
    );
    await settleImmediately(server, jobId);
    const span = { jobId, from: daysAgo(19), to: daysAgo(3) };
    const first = await createBackfill(server, span);
    expect(await endedBackfill(server, first.id)).toMatchObject({ status: 'SUCCEEDED', delivered: 10 });
    const ends = async () => (await restatementsOf(server, jobId)).map(({ windowEnd }) => windowEnd);
    await settled(server);
    const correct = async (day: number) => {
      const puts = server.s3.puts.length;
      await write(server, 'allocationSum', stream, [at(day, 'acme', '40')]);
      await settled(server);
      return [
        ...new Set(
          server.s3.puts.slice(puts).map(({ key }) => /_(\d{8})T/.exec(key.split('/').at(-1)!.replace(/^_/, ''))?.[1]),
        ),
      ];
    };
    const dayOf = (day: number): string => daysAgo(day).slice(0, 10).replaceAll('-', '');
    expect(await correct(8)).toEqual([dayOf(3)]);
    expect(await ends()).toEqual([daysAgo(3)]);
    // The first bucket of the third-newest window.
    expect(await correct(12)).toEqual([dayOf(5)]);
    expect((await deliveriesOf(server, jobId)).map(({ state, revision }) => [state, revision])).toEqual([
      ['CURRENT', 2],
      ['CURRENT', 1],
      ['CURRENT', 2],
      ...Array.from({ length: 7 }, () => ['CURRENT', 1]),
    ]);

    faults.on(`${stream}/`, ({ key }) =>
      key.includes(`_${dayOf(2)}T`) ? { status: 403, code: 'AccessDenied' } : undefined,
    );
    const second = await createBackfill(server, { jobId, from: daysAgo(9), to: daysAgo(2) });
    expect(await endedBackfill(server, second.id)).toMatchObject({ status: 'FAILED', delivered: 0, failed: 1 });
    const [newest] = await deliveriesOf(server, jobId);
    expect(newest).toMatchObject({ state: 'MISSING', revision: 0 });
    expect(await correct(8)).toEqual([dayOf(3)]);

    await exportAgain(server, jobId, daysAgo(1, 5));
    expect(new Set(await correct(8))).toEqual(new Set([dayOf(3), dayOf(1)]));
    expect((await ends()).toSorted()).toEqual([daysAgo(5), daysAgo(3), daysAgo(3), daysAgo(3), daysAgo(1)]);
  });
});

describe('delivery of a job that is edited', () => {
  test('is owed again when the output is the same again, and after an edit of the schedule', async () => {
    const { jobId } = await deliver('edited');
    const add = (value: string) => write(server, 'allocationSum', 'edited', [at(9, 'acme', value)]);
    const edit = async (settings: object) => {
      await updateJob(server, jobId, { ...settings });
      await settleImmediately(server, jobId);
    };
    await edit({ groupBy: ['env'] });
    await add('40');
    await checkedAll(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'RETIRED', revision: 1 }]);
    expect(await restatementsOf(server, jobId)).toEqual([]);
    await edit({ groupBy: ['element'] });
    const restated = await readRestated(jobId);
    expect(restated).toMatchObject({ manifest: { revision: 2, supersedes: { revision: 1 } } });
    expect(restated.text).toContain(',acme,140\n');

    await edit({ cron: '0 2 1 1 *', range: 'ago(3d)' });
    await add('1');
    const after = await readRestated(jobId);
    expect(after.manifest).toMatchObject({ revision: 3, window: { start: daysAgo(9), end: daysAgo(8) } });

    await edit({ meterApiNames: ['other'] });
    await add('1');
    await checkedAll(server);
    expect(await restatementsOf(server, jobId)).toHaveLength(2);
    await edit({ meterApiNames: ['edited'] });
    const last = await readRestated(jobId);
    expect(last.text).toContain(',acme,142\n');
    expect(last.manifest).toMatchObject({ revision: 4, changes: { rowsChanged: 1 } });
  });
});

describe('restatement', () => {
  test('writes below the path of the window, with its manifest next to the objects', async () => {
    // The last day of the month before.
    const day = new Date().getUTCDate();
    const [year, month] = daysAgo(day).split('-');
    const record = { timestamp: daysAgo(day, 5), elementName: 'acme', value: '100' };
    await addRecords(server, 'placed', 'HOURLY', [record]);
    const path = 'usage/{job}/year={yyyy}/month={MM}';
    const { jobId, run } = await deliverDay(server, 'placed', day, {
      jobName: 'Placed',
      s3Url: `s3://exports/${path}`,
    });
    const puts = server.s3.puts.length;
    await write(server, 'allocationSum', 'placed', [record]);
    const restated = await readRestated(jobId);
    const folder = `usage/placed/year=${year}/month=${month}`;
    const object = `${folder}/${restated.manifest.window.start.replaceAll(/[-:]/g, '')}_${restated.manifest.window.end.replaceAll(/[-:]/g, '')}.csv`;
    const manifest = object.replace(/\/([^/]*)\.csv$/, '/_$1.manifest.json');
    expect(server.s3.puts.slice(puts).map(({ key }) => key)).toEqual([manifest, object, manifest]);
    expect([run.manifestKey, restated.run.manifestKey]).toEqual([manifest, manifest]);
    expect(restated.text).toContain(',acme,200\n');
    expect(statesOf(manifest)).toEqual(['complete', 'rewriting', 'complete']);
  });

  test('moves a manifest that has the former name', async () => {
    const { jobId, run } = await deliver('renamed');
    const current = run.manifestKey ?? '';
    const former = await nameAsBefore(server, run);
    const puts = server.s3.puts.length;
    await write(server, 'allocationSum', 'renamed', [at(9, 'acme', '40')]);
    const restated = await readRestated(jobId);
    expect(restated.run.manifestKey).toBe(current);
    expect(server.s3.puts.slice(puts).map(({ key }) => key)).toEqual([
      current,
      former,
      restated.run.objects[0]?.key,
      current,
    ]);
    expect(statesOf(former)).toEqual(['complete', 'moved']);
    expect(JSON.parse(server.s3.object('exports', former)?.body.toString() ?? '')).toMatchObject({
      version: 1,
      manifestKey: current,
    });
    expect(restated.manifest).toMatchObject({ revision: 2, changes: { rowsChanged: 1 } });
  });
});

describe('coverage of a month', () => {
  test('has the missing days as gaps, and the days whose deliveries are TOUCHED or STALE', async () => {
    const timestamp = '2026-04-15T05:00:00Z';
    await addRecords(server, 'april', 'HOURLY', [{ timestamp, elementName: 'acme', value: '1' }]);
    // A scan that finds the sum after the delivery would mark it.
    await checkedAll(server);
    const jobId = await createJob(server, restatedJob('april', { cron: '0 1 * 1 *', restateAfter: 'ago(24h)' }));
    await updateJob(server, jobId, { cron: '0 1 * * *', enabled: false });
    const dayOf = (day: number) =>
      day === 31 ? '2026-05-01T00:00:00Z' : `2026-04-${String(day).padStart(2, '0')}T00:00:00Z`;
    const span = (from: number, to: number) => ({ from: dayOf(from), to: dayOf(to) });
    for (const days of [span(1, 10), span(11, 20), span(21, 31)]) {
      const { id } = await createBackfill(server, { jobId, ...days });
      expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', failed: 0 });
    }
    const coverage = async () => {
      const { job } = await server.graphql<{ job: { coverage: object } }>(
        `query ($id: ID!, $from: DateTime!, $to: DateTime!) { job(id: $id) { coverage(from: $from, to: $to) {
          delivered { from to } stale { from to } gaps { from to } } } }`,
        { id: jobId, ...span(1, 31) },
      );
      return job.coverage;
    };
    const whole = {
      delivered: [span(1, 10), span(11, 20), span(21, 31)],
      gaps: [span(10, 11), span(20, 21)],
    };
    expect(await coverage()).toEqual({ ...whole, stale: [] });
    await write(server, 'allocationSum', 'april', [{ timestamp, elementName: 'acme', value: '1' }]);
    await checkedAll(server);
    expect((await deliveriesOf(server, jobId))[14]).toMatchObject({ state: 'TOUCHED' });
    expect(await coverage()).toEqual({ ...whole, stale: [span(15, 16)] });
    await checkTouched(server, jobId, 1);
    await settled(server);
    expect((await deliveriesOf(server, jobId)).filter(({ state }) => state !== 'CURRENT')).toMatchObject([
      { state: 'STALE', windowStart: dayOf(15), revision: 1 },
    ]);
    expect(await coverage()).toEqual({ ...whole, stale: [span(15, 16)] });
    expect(await restatementsOf(server, jobId)).toEqual([]);
  });
});
