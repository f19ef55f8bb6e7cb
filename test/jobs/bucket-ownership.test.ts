import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findAccount } from '../../src/accounts/accounts.ts';
import { moveBucketClaim } from '../../src/jobs/bucket-ownership.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  deleteJob,
  endedRun,
  jobSettings,
  querySql,
  runJob,
  tryCreateJob,
  tryRunJob,
  tryUpdateJob,
  type RunView,
  type Settings,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';
import { BUCKET_OWNER } from '../support/strict-s3.ts';

// One principal writes to the buckets of all customers. A bucket belongs to the account whose put succeeds first.

const SLOT = '2026-01-26T00:00:00Z';

let server: TestServer;
let theirs: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer();
  faults = createFaults(server.s3);
  const theirKey = await server.createKey('neighbour', ['ADMIN']);
  theirs = {
    ...server,
    key: theirKey,
    graphql: (query, variables, key = theirKey) => server.graphql(query, variables, key),
    request: (query, variables, key = theirKey) => server.request(query, variables, key),
  };
  for (const account of [server, theirs]) {
    await addRecords(account, 'calls', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' }]);
  }
});
afterAll(() => server.stop());

let names = 0;
const job = (settings: Settings): Settings => ({
  jobName: `job ${(names += 1)}`,
  meterApiNames: ['calls'],
  ...settings,
});
const sluice = (...args: string[]) => runSluice('cli', ['bucket', ...args], { DATABASE_URL: server.database.url });
const exportTo = async (account: TestServer, s3Url: string, settings: Settings = {}): Promise<RunView> =>
  endedRun(account, await runJob(account, await createJob(account, job({ s3Url, ...settings })), SLOT));
const claimOf = async (bucket: string): Promise<string | undefined> => {
  const rows = await querySql<{ name: string }>(
    server,
    'SELECT a.name FROM bucket_claims c JOIN accounts a ON a.id = c.account_id WHERE bucket = $1',
    [bucket],
  );
  return rows[0]?.name;
};
const check = async (input: Settings): Promise<unknown> =>
  (
    await theirs.graphql<{ checkJob: unknown }>(
      'mutation ($input: CreateJobInput!) { checkJob(input: $input) { __typename ... on UserError { code message } } }',
      { input },
    )
  ).checkJob;
const TAKEN = {
  __typename: 'ConflictError',
  code: 'CONFLICT',
  message: expect.stringMatching(/^This bucket belongs to another account(?!.*(?:default|neighbour))/),
};

describe('bucket ownership', () => {
  test('lets no other account create, check, move or run a job there, nor write with an older job', async () => {
    // This job names the bucket before the first put, which does not make the account its owner.
    const early = await createJob(theirs, job({ s3Url: 'exports/early' }));
    const elsewhere = await createJob(theirs, job({ s3Url: 'other-exports/elsewhere' }));
    expect(await claimOf('exports')).toBeUndefined();
    expect(await exportTo(server, 'exports/ours')).toMatchObject({ status: 'SUCCEEDED' });
    expect(await claimOf('exports')).toBe('default');

    const settings = jobSettings(job({ s3Url: 's3://exports/theirs/' }));
    expect(await tryCreateJob(theirs, settings)).toMatchObject(TAKEN);
    expect(await check(settings)).toMatchObject(TAKEN);
    expect(await tryUpdateJob(theirs, { id: elsewhere, s3Url: 'exports/theirs' })).toMatchObject(TAKEN);
    expect(await tryRunJob(theirs, { jobId: early })).toMatchObject(TAKEN);
    // The older job can still be edited, if its destination stays, and deleted.
    expect(await tryUpdateJob(theirs, { id: early, description: 'kept' })).toMatchObject({ __typename: 'Job' });

    const puts = server.s3.puts.length;
    const soon = { enabled: true, scheduledTimeInSeconds: Math.ceil(Date.now() / 1000) + 10 };
    expect(await tryUpdateJob(theirs, { id: early, ...soon })).toMatchObject({ __typename: 'Job' });
    const [run] = await eventually(
      () =>
        querySql<{ status: string; error: { code: string; message: string; retryable: boolean }; attempt: number }>(
          server,
          `SELECT r.status, r.error, r.attempt FROM runs r JOIN jobs j ON j.id = r.job_id WHERE j.destination LIKE 'exports/early/%'`,
        ),
      (rows) => rows[0]?.status === 'FAILED',
    );
    expect(run).toMatchObject({ attempt: 1, error: { code: 'CONFLICT', message: TAKEN.message, retryable: false } });
    expect(server.s3.puts).toHaveLength(puts);
    await deleteJob(theirs, early);
    expect(await exportTo(server, 'exports/more')).toMatchObject({ status: 'SUCCEEDED' });
  });

  test('is not given to an account whose put failed', async () => {
    faults.on('refused/', () => ({ status: 403, code: 'AccessDenied' }));
    expect(await exportTo(theirs, 'my.bucket/refused')).toMatchObject({
      status: 'FAILED',
      error: { code: 'ACCESS_DENIED' },
    });
    expect(await claimOf('my.bucket')).toBeUndefined();
    expect(await exportTo(server, 'my.bucket/taken')).toMatchObject({ status: 'SUCCEEDED' });
    expect(await claimOf('my.bucket')).toBe('default');
  });

  test('is given to one account when two put their first object concurrently, and the other run stops writing', async () => {
    const gate = createGate();
    let waiting = 0;
    faults.on('race/', () => {
      waiting += 1;
      if (waiting === 2) gate.open();
      return { hold: gate.opened };
    });
    const runs = await Promise.all([exportTo(server, 'other-exports/race'), exportTo(theirs, 'other-exports/race')]);
    expect(runs.map((run) => run.status).toSorted()).toEqual(['FAILED', 'SUCCEEDED']);
    const [winner, loser] = runs[0].status === 'SUCCEEDED' ? ['default', runs[1]] : ['neighbour', runs[0]];
    expect(await claimOf('other-exports')).toBe(winner);
    expect(loser).toMatchObject({ error: { code: 'CONFLICT', retryable: false } });
    const manifests = server.s3
      .objects()
      .filter(({ key }) => key.startsWith('race/') && key.endsWith('.manifest.json'));
    expect(manifests).toHaveLength(1);
  });
});

describe('bucket commands', () => {
  test('move a bucket while a run writes to it, list owners, and release a bucket', async () => {
    const gate = createGate();
    const begun = createGate();
    faults.on('moved/', ({ key }) => {
      if (key.endsWith('.manifest.json')) return undefined;
      begun.open();
      return { hold: gate.opened };
    });
    const running = exportTo(server, 'handed-on/moved');
    await begun.opened;
    // Moves the bucket as the command does. On a busy machine the command itself takes longer than the timeout of a put.
    const across = server.resources.database.acrossAccounts;
    await moveBucketClaim(across, 'handed-on', (await findAccount(across, 'neighbour'))?.id ?? 0n);
    gate.open();
    expect(await running).toMatchObject({ status: 'FAILED', error: { code: 'CONFLICT' } });
    expect(server.s3.objects().filter(({ key }) => /^moved\/.*manifest/.test(key))).toEqual([]);
    expect(await exportTo(theirs, 'handed-on/theirs')).toMatchObject({ status: 'SUCCEEDED' });
    expect(await tryCreateJob(server, jobSettings(job({ s3Url: 'handed-on/back' })))).toMatchObject(TAKEN);

    expect(await sluice('move', 'handed-on', '--account', 'default')).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringContaining('The bucket handed-on now belongs to the account "default".'),
    });

    const list = await sluice('list');
    expect(list.stdout).toMatch(/^BUCKET +ACCOUNT +SINCE\nexports +default +20\S+Z\nhanded-on +default +20\S+Z\n/);
    expect((await sluice('release', 'handed-on')).code).toBe(0);
    expect(await sluice('release', 'handed-on')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('has no owner'),
    });
    expect(await exportTo(theirs, 'handed-on/again')).toMatchObject({ status: 'SUCCEEDED' });
    expect(await claimOf('handed-on')).toBe('neighbour');
  });

  test('report a bucket name that is not valid and an account that does not exist', async () => {
    for (const [bucket, account, code, words] of [
      ['s3://exports/path', 'neighbour', 2, 'Enter the bucket name without s3://'],
      ['NO_BUCKET', 'neighbour', 2, 'bucket'],
      ['exports', 'nobody', 1, 'Account "nobody" does not exist'],
    ] as const) {
      const answer = await sluice('move', bucket, '--account', account);
      expect(answer).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(words) });
    }
    expect(await claimOf('exports')).toBe('default');
  });
});

describe('bucketOwner', () => {
  test('is sent with every object and the manifest, and is returned with the job', async () => {
    expect(await exportTo(server, 'exports/owned', { bucketOwner: BUCKET_OWNER })).toMatchObject({
      status: 'SUCCEEDED',
    });
    const puts = server.s3.puts.filter(({ key }) => key.startsWith('owned/'));
    expect(puts.map(({ headers }) => headers['x-amz-expected-bucket-owner'])).toEqual([BUCKET_OWNER, BUCKET_OWNER]);
    const { jobs } = await server.graphql<{ jobs: { edges: { node: { s3Url: string; bucketOwner: string }[] }[] } }>(
      '{ jobs(first: 1) { edges { node { s3Url bucketOwner } } } }',
    );
    expect(jobs.edges[0]?.node).toEqual({ s3Url: 'exports/owned', bucketOwner: BUCKET_OWNER });
  });

  test('fails the run without a retry and is in its message when the bucket belongs to another AWS account', async () => {
    const run = await exportTo(server, 'exports/not-owned', { bucketOwner: '999999999999' });
    expect(run).toMatchObject({ status: 'FAILED', attempt: 1, error: { code: 'ACCESS_DENIED', retryable: false } });
    expect(run.error?.message).toContain('does not belong to AWS account 999999999999');
    expect(server.s3.puts.filter(({ key }) => key.startsWith('not-owned/'))).toEqual([]);
  });

  test.each(['12345678901', '1234567890123', 'owner', '11112222333a', '１１１１２２２２３３３３'])(
    'is rejected when it is %s',
    async (bucketOwner) => {
      expect(await tryCreateJob(server, jobSettings(job({ s3Url: 'exports/none', bucketOwner })))).toMatchObject({
        __typename: 'ValidationError',
        issues: [{ path: ['input', 'bucketOwner'], code: 'BAD_BUCKET_OWNER' }],
      });
    },
  );
});
