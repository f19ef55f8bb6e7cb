import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { adoptDeliveries } from '../../src/deliveries/adopt-deliveries.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  deleteJob,
  endedRun,
  exportAgain,
  exportOnce,
  innerId,
  type Manifest,
  querySql,
  readExport,
  runJob,
  type Settings,
  updateJob,
} from '../support/job-steps.ts';
import { ask, issuesOf } from '../rest/requests.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let faults: Faults;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  faults = createFaults(server.s3);
  await addRecords(
    server,
    'requests',
    'DAILY',
    Array.from({ length: 28 }, (_, index) => ({
      timestamp: `2026-02-${String(index + 1).padStart(2, '0')}T00:00:00Z`,
      elementName: 'acme',
      value: '1',
    })),
  );
});
afterAll(() => server.stop());

interface DeliveryView {
  readonly id: string;
  readonly state: string;
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly owedUntil: string;
  readonly revision: number;
  readonly manifestKey: string;
  readonly deliveredAt: string | null;
  readonly job: { readonly id: string } | null;
  readonly currentRun: { readonly id: string } | null;
  readonly runs: { readonly totalCount: number };
}

const FIELDS = `id state windowStart windowEnd owedUntil revision manifestKey deliveredAt job { id } currentRun { id } runs { totalCount }`;

async function deliveriesOf(jobId: string, args = ''): Promise<DeliveryView[]> {
  const { job } = await server.graphql<{ job: { deliveries: { edges: { node: DeliveryView }[] } } }>(
    `query ($id: ID!) { job(id: $id) { deliveries${args} { edges { node { ${FIELDS} } } } } }`,
    { id: jobId },
  );
  return job.deliveries.edges.map(({ node }) => node);
}

interface Revised extends Manifest {
  readonly revision: number;
  readonly supersedes: {
    readonly revision: number;
    readonly runId: string;
    readonly watermark: object;
    readonly objects: readonly { readonly key: string; readonly sha256: string }[];
  } | null;
}

async function revisionOf(runId: string): Promise<number | null> {
  const { run } = await server.graphql<{ run: { revision: number | null } }>(
    'query ($id: ID!) { run(id: $id) { revision } }',
    { id: runId },
  );
  return run.revision;
}

const daily = (settings: Settings = {}): Settings => ({ range: 'ago(1d)', meterApiNames: ['requests'], ...settings });

/** Runs the job for the slot as its schedule would: the window counts as one of the schedule. */
async function deliverSlot(jobId: string, slot: string): Promise<void> {
  await exportAgain(server, jobId, slot);
  await querySql(server, 'UPDATE deliveries SET by_slot = true WHERE job_id = $1 AND slot = $2', [
    innerId(jobId),
    slot,
  ]);
  await exportAgain(server, jobId, slot);
}

describe('delivery', () => {
  test('is MISSING until a run of its window has SUCCEEDED', async () => {
    const held = Promise.withResolvers<void>();
    faults.on('missing/', () => ({ hold: held.promise }));
    const jobId = await createJob(server, daily({ s3Url: 'exports/missing', jobName: 'Missing' }));
    const id = await runJob(server, jobId, '2026-02-02T01:00:00Z');
    expect(await deliveriesOf(jobId)).toMatchObject([
      { state: 'MISSING', revision: 0, deliveredAt: null, currentRun: null },
    ]);
    held.resolve();
    const run = await endedRun(server, id);
    expect(await deliveriesOf(jobId)).toMatchObject([
      {
        state: 'CURRENT',
        revision: 1,
        windowStart: '2026-02-01T00:00:00Z',
        windowEnd: '2026-02-02T00:00:00Z',
        owedUntil: '2026-02-02T00:00:00Z',
        manifestKey: run.manifestKey,
        job: { id: jobId },
        currentRun: { id },
        runs: { totalCount: 1 },
      },
    ]);
  });

  test('gets the next revision by each run of its window, with the objects that it supersedes', async () => {
    const { jobId, run, manifest } = await exportOnce(server, daily(), '2026-02-03T01:00:00Z');
    expect(manifest).toMatchObject({ revision: 1, supersedes: null });
    await addRecords(server, 'requests', 'DAILY', [
      { timestamp: '2026-02-02T00:00:00Z', elementName: 'hooli', value: '5' },
    ]);
    const again = await exportAgain(server, jobId, '2026-02-03T01:00:00Z');
    expect((again.manifest as Revised).supersedes).toEqual({
      revision: 1,
      runId: run.id,
      watermark: manifest.watermark,
      objects: run.objects.map(({ key, sha256 }) => ({ key, sha256 })),
    });
    expect(again.manifest).toMatchObject({ revision: 2 });
    expect(await deliveriesOf(jobId)).toMatchObject([
      { revision: 2, currentRun: { id: again.run.id }, runs: { totalCount: 2 } },
    ]);
  });

  test('keeps the revision of a run across its attempts, and leaves a gap for a run that failed', async () => {
    const { jobId } = await exportOnce(
      server,
      daily({ s3Url: 'exports/gaps', jobName: 'Gaps' }),
      '2026-02-04T01:00:00Z',
    );
    let failures = 1;
    faults.on('gaps/', () => (failures-- > 0 ? { status: 503, code: 'SlowDown' } : undefined));
    const retried = await endedRun(server, await runJob(server, jobId, '2026-02-04T01:00:00Z'));
    expect(retried).toMatchObject({ status: 'SUCCEEDED', attempt: 2 });
    expect(await revisionOf(retried.id)).toBe(2);
    faults.on('gaps/', () => ({ status: 403, code: 'AccessDenied' }));
    const failed = await endedRun(server, await runJob(server, jobId, '2026-02-04T01:00:00Z'));
    expect([failed.status, await revisionOf(failed.id)]).toEqual(['FAILED', 3]);
    faults.on('gaps/', () => undefined);
    const { manifest } = await exportAgain(server, jobId, '2026-02-04T01:00:00Z');
    expect(manifest).toMatchObject({ revision: 4, supersedes: { revision: 2, runId: retried.id } });
  });

  test('continues the revisions of another job that delivered to the same place', async () => {
    const place = { s3Url: 'exports/handed', jobName: 'Handed' };
    const { jobId, run } = await exportOnce(server, daily(place), '2026-02-05T01:00:00Z');
    await exportAgain(server, jobId, '2026-02-05T01:00:00Z');
    await deleteJob(server, jobId);
    const { manifest } = await exportOnce(server, daily(place), '2026-02-05T01:00:00Z');
    expect(manifest).toMatchObject({ revision: 3, supersedes: { revision: 2 } });
    const { run: old } = await server.graphql<{ run: { delivery: DeliveryView } }>(
      `query ($id: ID!) { run(id: $id) { delivery { ${FIELDS} } } }`,
      { id: run.id },
    );
    expect(old.delivery).toMatchObject({ state: 'RETIRED', job: null, revision: 2 });
  });

  test('is RETIRED while the job has another output, and not by an edit of its schedule', async () => {
    const { jobId } = await exportOnce(server, daily({ groupBy: ['element'] }), '2026-02-06T01:00:00Z');
    const states = async () => (await deliveriesOf(jobId)).map(({ state }) => state);
    await updateJob(server, jobId, { cron: '0 3 * * *', email: 'a@example.com', range: 'ago(2d)' });
    expect(await states()).toEqual(['CURRENT']);
    await updateJob(server, jobId, { groupBy: [] });
    expect(await states()).toEqual(['RETIRED']);
    expect(await deliveriesOf(jobId, '(state: [CURRENT])')).toEqual([]);
    expect(await deliveriesOf(jobId, '(state: [RETIRED, MISSING])')).toHaveLength(1);
    await updateJob(server, jobId, { groupBy: ['element'] });
    // Until it is checked: meanwhile the scan did not look for corrections of the output.
    expect(await states()).toEqual(['TOUCHED']);
  });

  test('owes its buckets until the window of the schedule that was delivered later', async () => {
    const jobId = await createJob(server, daily({ range: 'ago(3d)' }));
    for (const day of ['08', '07', '09']) await deliverSlot(jobId, `2026-02-${day}T01:00:00Z`);
    const owed = async () =>
      (await deliveriesOf(jobId)).map(({ windowStart, owedUntil, state }) => [
        windowStart.slice(8, 10),
        owedUntil.slice(8, 10),
        state,
      ]);
    expect(await owed()).toEqual([
      ['06', '09', 'CURRENT'],
      ['05', '06', 'CURRENT'],
      ['04', '05', 'CURRENT'],
    ]);
    // A window that contains all of its buckets takes them over.
    await updateJob(server, jobId, { range: 'ago(6d)' });
    await deliverSlot(jobId, '2026-02-10T01:00:00Z');
    expect(await owed()).toEqual([
      ['04', '10', 'CURRENT'],
      ['06', '04', 'SUPERSEDED'],
      ['05', '04', 'SUPERSEDED'],
      ['04', '04', 'SUPERSEDED'],
    ]);
  });

  test('owes its buckets again when the later window was delivered with another output', async () => {
    const jobId = await createJob(server, daily({ range: 'ago(2d)', groupBy: ['element'] }));
    for (const day of ['14', '15', '16']) await deliverSlot(jobId, `2026-02-${day}T01:00:00Z`);
    const owed = async () => (await deliveriesOf(jobId)).map((one) => [one.owedUntil.slice(8, 10), one.state]);
    expect(await owed()).toEqual([
      ['16', 'CURRENT'],
      ['14', 'CURRENT'],
      ['13', 'CURRENT'],
    ]);
    await updateJob(server, jobId, { groupBy: [] });
    await deliverSlot(jobId, '2026-02-15T01:00:00Z');
    await updateJob(server, jobId, { groupBy: ['element'] });
    // Until the end of the first window: the next delivered one with the output begins there.
    expect(await owed()).toEqual([
      ['16', 'TOUCHED'],
      ['15', 'RETIRED'],
      ['14', 'TOUCHED'],
    ]);
  });

  test('of a MANUAL run off the schedule takes nothing from others', async () => {
    const jobId = await createJob(server, daily({ range: 'ago(2d)' }));
    await deliverSlot(jobId, '2026-02-12T01:00:00Z');
    await exportAgain(server, jobId, '2026-02-13T01:00:00Z');
    expect((await deliveriesOf(jobId)).map(({ owedUntil }) => owedUntil.slice(8, 10))).toEqual(['13', '12']);
  });

  test('of a MANUAL run off the schedule owes all its buckets, although the schedule delivers windows before and after it', async () => {
    const jobId = await createJob(server, daily({ range: 'ago(3d)' }));
    await deliverSlot(jobId, '2026-02-17T01:00:00Z');
    await exportAgain(server, jobId, '2026-02-16T01:00:00Z');
    for (const day of ['15', '18']) await deliverSlot(jobId, `2026-02-${day}T01:00:00Z`);
    expect(
      (await deliveriesOf(jobId)).map((one) => [one.windowEnd, one.owedUntil].map((at) => at.slice(8, 10))),
    ).toEqual([
      ['18', '18'],
      ['17', '15'],
      ['16', '16'],
      ['15', '14'],
    ]);
  });

  test('is listed by the end of its window for a span and for all jobs', async () => {
    const jobId = await createJob(server, daily());
    for (const day of ['15', '14', '16']) await exportAgain(server, jobId, `2026-02-${day}T01:00:00Z`);
    const starts = (list: readonly DeliveryView[]) => list.map(({ windowStart }) => windowStart.slice(8, 10));
    expect(starts(await deliveriesOf(jobId))).toEqual(['15', '14', '13']);
    expect(starts(await deliveriesOf(jobId, '(from: "2026-02-14T00:00:00Z", to: "2026-02-15T00:00:00Z")'))).toEqual([
      '14',
    ]);
    const { deliveries } = await server.graphql<{ deliveries: { edges: { node: DeliveryView }[] } }>(
      `query ($id: ID!) { deliveries(jobId: $id, first: 2) { edges { node { ${FIELDS} } } } }`,
      { id: jobId },
    );
    expect(starts(deliveries.edges.map(({ node }) => node))).toEqual(['15', '14']);
  });
});

describe('coverage of a job', () => {
  const coverageOf = async (jobId: string, from: string, to: string) =>
    (
      await server.graphql<{ job: { coverage: object } }>(
        `query ($id: ID!, $from: DateTime!, $to: DateTime!) { job(id: $id) { coverage(from: $from, to: $to) {
          from to delivered { from to } gaps { from to } } } }`,
        { id: jobId, from, to },
      )
    ).job.coverage;

  test('has the delivered buckets and the gaps as merged spans', async () => {
    const jobId = await createJob(server, daily());
    for (const day of ['18', '19', '21']) await exportAgain(server, jobId, `2026-02-${day}T01:00:00Z`);
    const [from, to] = ['2026-02-16T12:00:00Z', '2026-02-22T00:00:00Z'];
    expect(await coverageOf(jobId, from, to)).toEqual({
      from,
      to,
      delivered: [
        { from: '2026-02-17T00:00:00Z', to: '2026-02-19T00:00:00Z' },
        { from: '2026-02-20T00:00:00Z', to: '2026-02-21T00:00:00Z' },
      ],
      gaps: [
        { from, to: '2026-02-17T00:00:00Z' },
        { from: '2026-02-19T00:00:00Z', to: '2026-02-20T00:00:00Z' },
        { from: '2026-02-21T00:00:00Z', to },
      ],
    });
    await updateJob(server, jobId, { format: 'NDJSON' });
    expect(await coverageOf(jobId, from, to)).toMatchObject({ delivered: [], gaps: [{ from, to }] });
  });

  test('ends with the window of the last due slot', async () => {
    const jobId = await createJob(server, daily({ cron: '0 1 * * *' }));
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().replace(/\.\d+/, '');
    const coverage = (await coverageOf(jobId, '2026-11-01T00:00:00Z', tomorrow)) as { to: string };
    const now = new Date();
    // The slot is at 01:00, so the window of today's slot ends today.
    now.setUTCHours(now.getUTCHours() - 1);
    expect(coverage.to).toBe(`${now.toISOString().slice(0, 10)}T00:00:00Z`);
  });

  test('is at most 3,660 days long', async () => {
    const jobId = await createJob(server, daily());
    const answer = await server.request(
      `query ($id: ID!) { job(id: $id) { coverage(from: "2010-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z") { to } } }`,
      { id: jobId },
    );
    expect(answer.errors?.[0]?.extensions?.['code']).toBe('BAD_USER_INPUT');
  });

  test('is an error if the span ends before it starts', async () => {
    const jobId = await createJob(server, daily());
    const { errors } = await server.request(
      `query ($id: ID!) { job(id: $id) { coverage(from: "2026-02-02T00:00:00Z", to: "2026-02-01T00:00:00Z") { to } } }`,
      { id: jobId },
    );
    expect(errors).toMatchObject([{ message: 'to: Must be after from.', extensions: { code: 'BAD_USER_INPUT' } }]);
    const answer = await ask(server, `GET /jobs/${jobId}/coverage?from=2026-02-02T00:00:00Z&to=2026-02-02T00:00:00Z`);
    expect(issuesOf(answer)).toEqual(['to: EMPTY_WINDOW']);
  });

  test('reads a plus sign that arrives as a blank over REST', async () => {
    const jobId = await createJob(server, daily());
    const query = 'from=2026-02-01T00:00:00+02:00&to=2026-02-02T00:00:00+02:00';
    const answer = await ask<{ from: string }>(server, `GET /jobs/${jobId}/coverage?${query}`);
    expect(answer).toMatchObject({ status: 200, body: { from: '2026-01-31T22:00:00Z' } });
  });

  test('reads a span whose times end with UTC over REST', async () => {
    const jobId = await createJob(server, daily());
    const query = 'from=2026-02-01T00:00:00%20UTC&to=2026-02-02%2000:00:00%20UTC';
    const answer = await ask<{ from: string }>(server, `GET /jobs/${jobId}/coverage?${query}`);
    expect(answer).toMatchObject({ status: 200, body: { from: '2026-02-01T00:00:00Z' } });
  });
});

test('Delivery.runs > leaves out runs of another bucket when the job had the same folder there', async () => {
  const settings = { jobName: 'two buckets', meterApiNames: ['requests'], s3Url: 's3://exports/two-buckets' };
  const slot = '2026-02-11T02:00:00Z';
  const jobId = await createJob(server, settings);
  const first = await runJob(server, jobId, slot);
  await endedRun(server, first);
  await updateJob(server, jobId, { s3Url: 's3://other-exports/two-buckets' });
  const second = await runJob(server, jobId, slot);
  await endedRun(server, second);
  const third = await runJob(server, jobId, slot);
  await endedRun(server, third);
  const { job } = await server.graphql<{
    job: { deliveries: { edges: { node: { runs: { totalCount: number; edges: object[] } } }[] } };
  }>(
    `query ($id: ID!) { job(id: $id) { deliveries { edges { node {
      runs(first: 5) { totalCount edges { node { id } } } } } } } }`,
    { id: jobId },
  );
  const listed = job.deliveries.edges.map(({ node }) => node.runs);
  expect(listed.toSorted((a, b) => a.totalCount - b.totalCount)).toEqual([
    { totalCount: 1, edges: [{ node: { id: first } }] },
    { totalCount: 2, edges: [{ node: { id: third } }, { node: { id: second } }] },
  ]);
});

describe('redeliver', () => {
  const redeliver = async (deliveryId: string, key = server.key) =>
    (
      await server.graphql<{ redeliver: { __typename: string; id?: string; code?: string; message?: string } }>(
        `mutation ($id: ID!) { redeliver(deliveryId: $id) { __typename ... on Run { id } ... on UserError { code message } } }`,
        { id: deliveryId },
        key,
      )
    ).redeliver;

  test('delivers the same window again although the range has changed', async () => {
    const { jobId, run } = await exportOnce(server, daily(), '2026-02-24T01:00:00Z');
    await updateJob(server, jobId, { range: 'ago(5d)' });
    const [delivery] = await deliveriesOf(jobId);
    const again = await endedRun(server, (await redeliver(delivery?.id ?? '')).id ?? '');
    expect(again).toMatchObject({ trigger: 'MANUAL', windowStart: run.windowStart, windowEnd: run.windowEnd });
    expect(readExport(server, again).manifest).toMatchObject({ revision: 2, supersedes: { runId: run.id } });
    expect(await deliveriesOf(jobId)).toHaveLength(1);
  });

  test('is a conflict if the delivery is RETIRED, and finds none of another account', async () => {
    const { jobId } = await exportOnce(server, daily(), '2026-02-25T01:00:00Z');
    const [delivery] = await deliveriesOf(jobId);
    const id = delivery?.id ?? '';
    expect(await redeliver(id, await server.createKey('neighbour', ['JOBS']))).toMatchObject({ code: 'NOT_FOUND' });
    await updateJob(server, jobId, { compression: 'GZIP' });
    expect(await redeliver(id)).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('output') as string,
    });
    await deleteJob(server, jobId);
    expect(await redeliver(id)).toMatchObject({
      code: 'CONFLICT',
      message:
        'The delivery is RETIRED, because its job is deleted. Create a job with the same output to deliver the window.',
    });
  });
});

test('adoptDeliveries > creates the deliveries of windows that servers of earlier versions delivered', async () => {
  const jobId = await createJob(server, daily({ range: 'ago(2d)' }));
  for (const day of ['26', '27']) await deliverSlot(jobId, `2026-02-${day}T01:00:00Z`);
  const before = await deliveriesOf(jobId);
  await addRecords(server, 'requests', 'DAILY', [
    { timestamp: '2026-02-25T00:00:00Z', elementName: 'late', value: '5' },
  ]);
  await querySql(server, 'DELETE FROM deliveries WHERE job_id = $1', [innerId(jobId)]);
  await querySql(server, 'UPDATE jobs SET output_sha256 = NULL WHERE id = $1', [innerId(jobId)]);
  await querySql(
    server,
    "UPDATE runs SET trigger = 'CRON', scheduled_for = scheduled_for + random() * interval '1 s' WHERE job_id = $1",
    [innerId(jobId)],
  );
  await adoptDeliveries(server.resources.database.acrossAccounts);
  await adoptDeliveries(server.resources.database.acrossAccounts);
  const after = await deliveriesOf(jobId);
  expect(after).toEqual(
    before.map((delivery, index) => ({
      ...delivery,
      id: after[index]?.id,
      state: 'TOUCHED',
      revision: 1,
      deliveredAt: after[index]?.deliveredAt,
    })),
  );
  expect(await deliveriesOf(jobId, '(state: [TOUCHED])')).toHaveLength(2);
  // The scan finds the operations that the watermarks of the deliveries do not see, although it has passed them.
  await eventually(
    async () => {
      // Marked with a settle time of an hour.
      await querySql(
        server,
        'UPDATE deliveries SET check_at = now() WHERE job_id = $1 AND checking IS NULL AND touched_at IS NOT NULL',
        [innerId(jobId)],
      );
      return (await deliveriesOf(jobId)).map(({ state }) => state);
    },
    (states) => states.join() === 'STALE,CURRENT',
    100_000,
  );
  const { manifest } = await exportAgain(server, jobId, '2026-02-27T01:00:00Z');
  expect(manifest).toMatchObject({ revision: 2, supersedes: { revision: 1 } });
});
