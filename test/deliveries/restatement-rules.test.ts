import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sweepDeliveries } from '../../src/deliveries/sweep-deliveries.ts';
import {
  checkedAll,
  daysAgo,
  deliverDay,
  deliveriesOf,
  restatedJob,
  settled,
  settleImmediately,
  write,
} from '../support/correction-steps.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  endedRun,
  innerId,
  querySql,
  runJob,
  runsOf,
  updateJob,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const MAX_CHANGED_KEYS = 10;

let faults: Faults;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: {
      LEDGER_SCAN_SECONDS: '1',
      LEDGER_SCAN_IDLE_SECONDS: '1',
      RESTATEMENT_CONCURRENCY: '3',
      RESTATEMENTS_PER_ACCOUNT: '2',
      MAX_CHANGED_KEYS: String(MAX_CHANGED_KEYS),
    },
  });
  faults = createFaults(server.s3);
});
afterAll(() => server.stop());

const at = (elementName: string, value: string) => ({ timestamp: daysAgo(9, 5), elementName, value });

const restatementsOf = async (jobId: string, of: TestServer = server) =>
  (await runsOf(of, jobId)).filter(({ trigger }) => trigger === 'RESTATEMENT');

/** Delivers the window of 9 days ago to a bucket of the account, and returns the id of the job. */
async function deliver(account: TestServer, stream: string, bucket: string): Promise<string> {
  await addRecords(account, stream, 'HOURLY', [at('acme', '100')]);
  const jobId = await createJob(account, restatedJob(stream, { s3Url: `s3://${bucket}/limits` }));
  expect(await endedRun(account, await runJob(account, jobId, daysAgo(8, 1)))).toMatchObject({ status: 'SUCCEEDED' });
  return jobId;
}

/** Lets a correction of each job be found, the first job's longest ago, and checks all deliveries together. */
async function correctTogether(jobs: readonly { account: TestServer; jobId: string; stream: string }[]): Promise<void> {
  for (const { account, stream } of jobs) await write(account, 'allocationSum', stream, [at('acme', '40')]);
  const ids = jobs.map(({ jobId }) => innerId(jobId));
  await eventually(
    () =>
      querySql<{ marked: number }>(
        server,
        'SELECT count(touched_at)::int AS marked FROM deliveries WHERE job_id = ANY($1::uuid[])',
        [ids],
      ),
    ([row]) => row?.marked === jobs.length,
  );
  await querySql(
    server,
    `UPDATE deliveries SET touched_at = now() - interval '1 hour' * (10 - j.number), check_at = now()
     FROM unnest($1::uuid[]) WITH ORDINALITY AS j(id, number) WHERE job_id = j.id`,
    [ids],
  );
}

describe('restatements', () => {
  test('are at most RESTATEMENTS_PER_ACCOUNT and RESTATEMENT_CONCURRENCY at a time, those first that wait longest', async () => {
    const key = await server.createKey('neighbour', ['ADMIN']);
    const neighbour: TestServer = { ...server, graphql: (query, variables) => server.graphql(query, variables, key) };
    const jobs: Parameters<typeof correctTogether>[0][number][] = [];
    for (const stream of ['first', 'second', 'third']) {
      jobs.push({ account: server, stream, jobId: await deliver(server, stream, 'exports') });
    }
    for (const stream of ['fourth', 'fifth']) {
      jobs.push({ account: neighbour, stream, jobId: await deliver(neighbour, stream, 'other-exports') });
    }
    const held = createGate();
    faults.on('limits/', () => ({ hold: held.opened }));
    await correctTogether(jobs);
    const readStates = () =>
      Promise.all(
        jobs.map(async ({ account, jobId }) => {
          const [delivery] = await deliveriesOf(account, jobId);
          return [delivery?.state, (await restatementsOf(jobId, account)).length];
        }),
      );
    await eventually(readStates, (states) => states.every(([state]) => state === 'STALE'));
    expect(await readStates()).toEqual([
      ['STALE', 1],
      ['STALE', 1],
      ['STALE', 0],
      ['STALE', 1],
      ['STALE', 0],
    ]);
    faults.clear('limits/');
    held.open();
    await settled(server);
    expect(await readStates()).toEqual(jobs.map(() => ['CURRENT', 1]));
  });
});

async function declare(stream: string): Promise<void> {
  const { declareComplete } = await server.graphql<{ declareComplete: { __typename: string } }>(
    `mutation ($input: DeclareCompleteInput!) { declareComplete(input: $input) { __typename } }`,
    { input: { stream, through: daysAgo(8) } },
  );
  expect(declareComplete.__typename).toBe('AllocationReceipt');
}

describe('delivery of a window that was not complete', () => {
  test.each([
    ['its job has no completeWithin', {}],
    ['its job has the restatement NONE', { completeWithin: 'ago(6h)', restatement: 'NONE' }],
    ['its window ended before restateWithin', { completeWithin: 'ago(6h)', restateWithin: 'ago(7d)' }],
  ])('is CURRENT after it is complete and was checked when %s', async (reason, settings) => {
    const stream = reason.replaceAll(' ', '-');
    await addRecords(server, stream, 'HOURLY', [at('acme', '100')]);
    const { jobId } = await deliverDay(server, stream, 9, settings);
    await declare(stream);
    await write(server, 'allocationReplace', stream, [at('acme', '100')]);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 1 }]);
    expect(await restatementsOf(jobId)).toEqual([]);
  });

  test('is not STALE while it is delivered again, because its rows agree with the ledger', async () => {
    await addRecords(server, 'agreeing', 'HOURLY', [at('acme', '100')]);
    const { jobId } = await deliverDay(server, 'agreeing', 9, { completeWithin: 'ago(6h)' });
    const held = createGate();
    faults.on('here/', () => ({ hold: held.opened }));
    await declare('agreeing');
    await eventually(
      () => restatementsOf(jobId),
      ([run]) => run?.status === 'RUNNING',
    );
    // A scan may find the first records late, and mark the delivery until it is checked.
    await checkedAll(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 1, staleSince: null }]);
    faults.clear('here/');
    held.open();
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
  });

  test('is STALE when the restatement that would deliver it again is canceled before it starts', async () => {
    await addRecords(server, 'canceled', 'HOURLY', [at('acme', '100')]);
    const { jobId } = await deliverDay(server, 'canceled', 9, { completeWithin: 'ago(6h)' });
    const held = createGate();
    faults.on('here/', () => ({ hold: held.opened }));
    const other = await runJob(server, jobId, daysAgo(7, 1));
    await write(server, 'allocationSum', 'canceled', [at('acme', '40')]);
    await declare('canceled');
    const [queued] = await eventually(
      () => restatementsOf(jobId),
      ([run]) => run?.status === 'QUEUED',
    );
    await checkedAll(server);
    await cancelRun(server, queued?.id ?? '');
    faults.clear('here/');
    held.open();
    await endedRun(server, other);
    await settled(server);
    expect(await restatementsOf(jobId)).toMatchObject([{ status: 'CANCELED' }]);
    const [, delivery] = await deliveriesOf(server, jobId);
    expect(delivery).toMatchObject({ state: 'STALE', revision: 1 });
  });

  test('is STALE when the restatement that would deliver it again FAILED, and is restated after the next slot', async () => {
    await addRecords(server, 'refused', 'HOURLY', [at('acme', '100')]);
    const { jobId } = await deliverDay(server, 'refused', 9, { completeWithin: 'ago(6h)' });
    faults.on('here/', () => ({ status: 403, code: 'AccessDenied' }));
    await declare('refused');
    await eventually(
      () => restatementsOf(jobId),
      ([run]) => run?.status === 'FAILED',
    );
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'STALE', revision: 1 }]);
    faults.clear('here/');
    await endedRun(server, await runJob(server, jobId, daysAgo(7, 1)));
    await settled(server);
    expect((await deliveriesOf(server, jobId)).map(({ state, revision }) => [state, revision])).toEqual([
      ['CURRENT', 1],
      ['CURRENT', 3],
    ]);
  });

  test('is not checked by each sweep while its job is disabled', async () => {
    await addRecords(server, 'disabled', 'HOURLY', [at('acme', '100')]);
    const { jobId } = await deliverDay(server, 'disabled', 9, { completeWithin: 'ago(6h)' });
    await updateJob(server, jobId, { enabled: false });
    await settleImmediately(server, jobId);
    await declare('disabled');
    await checkedAll(server);
    const { corrections } = server.resources.database;
    await sweepDeliveries(corrections);
    const read = 'SELECT check_at, touched_at IS NOT NULL AS is_marked FROM deliveries WHERE job_id = $1';
    expect(await querySql(server, read, [innerId(jobId)])).toEqual([{ check_at: null, is_marked: true }]);
    await updateJob(server, jobId, { enabled: true });
    await sweepDeliveries(corrections);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
  });

  test('is delivered again when its stream was declared while its run was writing', async () => {
    await addRecords(server, 'crossed', 'HOURLY', [at('acme', '100')]);
    const jobId = await createJob(server, restatedJob('crossed', { completeWithin: 'ago(6h)' }));
    await settleImmediately(server, jobId);
    const held = createGate();
    const begun = createGate();
    faults.on('here/', () => {
      begun.open();
      return { hold: held.opened };
    });
    const id = await runJob(server, jobId, daysAgo(8, 1));
    await begun.opened;
    await declare('crossed');
    await checkedAll(server);
    faults.clear('here/');
    held.open();
    await endedRun(server, id);
    await settled(server);
    expect(await restatementsOf(jobId)).toMatchObject([{ status: 'SUCCEEDED' }]);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
  });
});

describe('correction', () => {
  test('that was found before the restatement was switched on leaves the delivery STALE until the next one', async () => {
    await addRecords(server, 'switched', 'HOURLY', [at('acme', '100')]);
    const { jobId } = await deliverDay(server, 'switched', 9, { restatement: 'NONE' });
    await write(server, 'allocationSum', 'switched', [at('acme', '40')]);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'STALE', revision: 1 }]);
    await updateJob(server, jobId, { restatement: 'AUTOMATIC' });
    await settleImmediately(server, jobId);
    // Nothing but its age keeps the correction from being delivered.
    await querySql(server, 'UPDATE deliveries SET touched_at = now(), check_at = now() WHERE job_id = $1', [
      innerId(jobId),
    ]);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'STALE', revision: 1 }]);
    expect(await restatementsOf(jobId)).toEqual([]);
    await write(server, 'allocationSum', 'switched', [at('acme', '1')]);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
  });
});

describe('check of a delivery', () => {
  test('counts it as changed when more than MAX_CHANGED_KEYS keys have changed', async () => {
    await addRecords(server, 'wide', 'HOURLY', [at('acme', '100')]);
    const filter = [{ dimension: 'element', values: ['acme'] }];
    const { jobId } = await deliverDay(server, 'wide', 9, { filter });
    const others = Array.from({ length: MAX_CHANGED_KEYS + 1 }, (_, index) => at(`other ${index}`, '1'));
    await write(server, 'allocationSum', 'wide', others.slice(1));
    await settled(server);
    expect(await restatementsOf(jobId)).toEqual([]);
    // Too many to compare with the filter. The run does.
    await write(server, 'allocationSum', 'wide', others);
    await settled(server);
    expect(await restatementsOf(jobId)).toMatchObject([{ status: 'CANCELED', error: { code: 'UNCHANGED' } }]);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 1 }]);
  });

  test('reads all operations when a scan has found more of them than MAX_CHANGED_KEYS', async () => {
    await addRecords(server, 'frequent', 'HOURLY', [at('acme', '100')]);
    const { jobId } = await deliverDay(server, 'frequent', 9);
    await settled(server);
    await querySql(server, 'UPDATE jobs SET settle_seconds = 3600 WHERE id = $1', [innerId(jobId)]);
    // The corrections of a scan are stored one by one up to 1,000.
    await querySql(
      server,
      `INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256, first_bucket, last_bucket)
       SELECT account_id, nextval('operation_ids'), id, 'SUM', now(), pg_current_xact_id(), true, 0, 0, '', $1::timestamptz, $1::timestamptz
       FROM streams, generate_series(1, 1200) WHERE name = 'frequent'`,
      [daysAgo(9, 5)],
    );
    await checkedAll(server);
    await write(server, 'allocationSum', 'frequent', [at('acme', '40')]);
    await checkedAll(server);
    await querySql(server, 'UPDATE deliveries SET check_at = now() WHERE job_id = $1', [innerId(jobId)]);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
  });
});
