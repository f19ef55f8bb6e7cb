import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createJob, endedRun, issuesOf, type Result, runJob, type Settings } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { startStrictS3, type StrictS3, STRICT_PRINCIPAL } from '../support/strict-s3.ts';

let s3: StrictS3;
const servers: TestServer[] = [];
beforeEach(async () => {
  s3 = await startStrictS3({ buckets: ['exports', 'other-exports'] });
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
  await s3.close();
});

async function start(env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const server = await startTestServer({ s3, env: { PRINCIPAL_ARN: STRICT_PRINCIPAL, ...env } });
  servers.push(server);
  return server;
}

const MUTATION = `mutation ($input: TestDestinationInput!) {
  testDestination(input: $input) {
    __typename
    ... on DestinationTest { key }
    ... on UserError { code message }
    ... on DestinationError { reason bucketPolicy }
    ... on ValidationError { issueCount issues { path code message } }
  }
}`;

async function testDestination(server: TestServer, input: Settings, key?: string): Promise<Result> {
  return (await server.graphql<{ testDestination: Result }>(MUTATION, { input }, key)).testDestination;
}

const FILE = '_sluice-destination-test.json';

describe('testDestination', () => {
  test('of a job > writes one object below the path of the current window, with the headers of a run', async () => {
    const server = await start();
    const jobId = await createJob(server, {
      jobName: 'Daily usage',
      s3Url: 's3://exports/usage/{job}/year={yyyy}/month={MM}/day={dd}',
      range: 'ago(1d)',
      timeZone: 'America/New_York',
      bucketOwner: '111122223333',
      encryption: 'KMS',
      kmsKeyId: 'alias/exports',
    });
    const { checkJob } = await server.graphql<{ checkJob: { objectKeys: string[] } }>(
      `mutation ($input: CreateJobInput!, $id: ID!) { checkJob(input: $input, id: $id) { ... on JobCheck { objectKeys } } }`,
      {
        id: jobId,
        input: {
          jobName: 'Daily usage',
          s3Url: 's3://exports/usage/{job}/year={yyyy}/month={MM}/day={dd}',
          format: 'CSV',
          aggregationBucket: 'DAY',
          range: 'ago(1d)',
          timeZone: 'America/New_York',
        },
      },
    );
    const folder = checkJob.objectKeys[0]?.replace(/[^/]*$/, '') ?? '';
    expect(folder).toMatch(/^usage\/daily-usage\/year=\d{4}\/month=\d\d\/day=\d\d\/$/);

    const key = `${folder}${FILE}`;
    expect(await testDestination(server, { jobId })).toEqual({ __typename: 'DestinationTest', key });
    expect(s3.puts.map((put) => [put.bucket, put.key])).toEqual([['exports', key]]);
    expect(await endedRun(server, await runJob(server, jobId))).toMatchObject({ status: 'SUCCEEDED' });
    const [tested, ran] = s3.puts.map(({ headers }) => Object.keys(headers).toSorted());
    expect(tested).toEqual(ran);
    expect(s3.puts[0]?.headers).toMatchObject({
      'x-amz-expected-bucket-owner': '111122223333',
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-aws-kms-key-id': 'alias/exports',
    });
  });

  test('of an s3Url > writes below its path, and to the top of a bucket', async () => {
    const server = await start();
    expect(await testDestination(server, { s3Url: 's3://exports/a/b/' })).toMatchObject({ key: `a/b/${FILE}` });
    expect(await testDestination(server, { s3Url: 'exports', encryption: 'AES256' })).toMatchObject({ key: FILE });
    expect(s3.puts.at(-1)?.headers['x-amz-server-side-encryption']).toBe('AES256');
    const year = new Date().getUTCFullYear();
    expect(await testDestination(server, { s3Url: 'exports/{yyyy}/{job}' })).toMatchObject({
      key: expect.stringMatching(new RegExp(`^${year}/[a-z-]+/${FILE}$`)),
    });
  });

  test.each([
    [{}, [['input', 'ONE_OF']]],
    [{ jobId: 'x', s3Url: 'exports' }, [['input', 'ONE_OF']]],
    [{ jobId: null, s3Url: null }, [['input', 'ONE_OF']]],
    [
      { jobId: 'x', region: 'eu-central-1', encryption: 'KMS', kmsKeyId: 'alias/a', bucketOwner: '111122223333' },
      [
        ['input.bucketOwner', 'ONE_OF'],
        ['input.region', 'ONE_OF'],
        ['input.encryption', 'ONE_OF'],
        ['input.kmsKeyId', 'ONE_OF'],
      ],
    ],
    [
      { s3Url: 'Exports', region: 'mars', bucketOwner: 'me', kmsKeyId: 'a' },
      [
        ['input.s3Url', 'BAD_BUCKET'],
        ['input.bucketOwner', 'BAD_BUCKET_OWNER'],
        ['input.region', 'BAD_REGION'],
        ['input.kmsKeyId', 'KMS_ONLY'],
      ],
    ],
    [{ s3Url: 'exports/{day}' }, [['input.s3Url', 'BAD_PLACEHOLDER']]],
  ])('of %o > has the issues %j', async (input, issues) => {
    expect(issuesOf(await testDestination(await start(), input))).toEqual(issues);
    expect(s3.puts).toEqual([]);
  });

  test('makes the account the owner of the bucket, and writes nothing to the bucket of another account', async () => {
    const server = await start();
    const [ours, theirs] = await Promise.all(['ours', 'theirs'].map((name) => server.createKey(name, ['JOBS'])));
    s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
    expect(await testDestination(server, { s3Url: 'exports' }, ours)).toMatchObject({ reason: 'ACCESS_DENIED' });
    s3.setFault(undefined);
    expect(await testDestination(server, { s3Url: 'exports/theirs' }, theirs)).toMatchObject({ key: `theirs/${FILE}` });
    const conflict = {
      __typename: 'ConflictError',
      code: 'CONFLICT',
      message: expect.stringContaining('another account'),
    };
    expect(await testDestination(server, { s3Url: 'exports/ours' }, ours)).toMatchObject(conflict);
    const jobId = await createJob(server, { s3Url: 'other-exports' }, theirs);
    expect(await testDestination(server, { jobId }, ours)).toMatchObject({ __typename: 'NotFoundError' });
    expect(s3.puts).toHaveLength(1);
  });

  test('of a refused job > returns the error of a run and the policy that the query returns', async () => {
    const server = await start();
    const jobId = await createJob(server, { s3Url: 'exports/{job}' });
    for (const [status, code] of [
      [403, 'AccessDenied'],
      [404, 'NoSuchBucket'],
      [301, 'PermanentRedirect'],
    ] as const) {
      s3.setFault(() => ({ status, code }));
      const { error } = await endedRun(server, await runJob(server, jobId));
      const { bucketPolicy } = await server.graphql<{ bucketPolicy: string }>(
        '{ bucketPolicy(s3Url: "exports/{job}") }',
      );
      expect(await testDestination(server, { jobId })).toEqual({
        __typename: 'DestinationError',
        code: 'DESTINATION_REFUSED',
        reason: error?.code,
        message: error?.message,
        bucketPolicy,
      });
    }
  });

  test('returns failures that a run would retry, without a retry', async () => {
    const server = await start({ RUN_LEASE_SECONDS: '2' });
    let requests = 0;
    s3.setFault(() => {
      requests += 1;
      return { status: 503, code: 'SlowDown' };
    });
    expect(await testDestination(server, { s3Url: 'exports' })).toMatchObject({ reason: 'S3_BUSY' });
    expect(requests).toBe(1);
    s3.setFault(() => 'hang');
    expect(await testDestination(server, { s3Url: 'exports' })).toMatchObject({ reason: 'S3_TIMEOUT' });
    s3.setFault(() => 'reset');
    expect(await testDestination(server, { s3Url: 'exports' })).toMatchObject({ reason: 'CONNECTION_LOST' });
  });

  test('holds no connection to the database while the store responds, and one account tests one at a time', async () => {
    const server = await start({ DATABASE_POOL: '1' });
    const held = Promise.withResolvers<void>();
    let requests = 0;
    s3.setFault(() => {
      requests += 1;
      return { hold: held.promise };
    });
    const tests = ['exports/a', 'exports/b', 'exports/c'].map((s3Url) => testDestination(server, { s3Url }));
    await expect.poll(() => requests).toBe(1);
    expect(await server.graphql('{ streams { totalCount } }')).toMatchObject({ streams: { totalCount: 0 } });
    expect(requests).toBe(1);
    held.resolve();
    expect((await Promise.all(tests)).map(({ __typename: type }) => type)).toEqual(Array(3).fill('DestinationTest'));
  });

  test('is limited for each account', async () => {
    const server = await start();
    const fields = Array.from(
      { length: 250 },
      (_, index) => `t${index}: testDestination(input: $input) { __typename }`,
    );
    const query = `mutation ($input: TestDestinationInput!) { ${fields.join(' ')} }`;
    const { errors } = await server.request<Record<string, unknown>>(query, { input: { s3Url: 'exports' } });
    expect([...new Set(errors?.map(({ extensions }) => extensions?.['code']))]).toEqual(['RATE_LIMITED']);
    expect(s3.puts.length).toBeLessThan(250);
    expect(s3.puts.length).toBeGreaterThanOrEqual(100);
    const other = await server.createKey('other', ['JOBS']);
    expect(await testDestination(server, { s3Url: 'other-exports' }, other)).toMatchObject({ key: FILE });
  });

  test('over REST > returns the key, or 409 with the reason and the policy', async () => {
    const server = await start();
    const jobId = await createJob(server, { s3Url: 'exports/here' });
    const post = async (id: string) => {
      const response = await fetch(`${server.url}/jobs/${id}/test`, {
        method: 'POST',
        headers: { 'x-api-key': server.key },
      });
      return { status: response.status, body: await response.json() };
    };
    expect(await post(jobId)).toEqual({ status: 200, body: { key: `here/${FILE}` } });
    expect(await post('unknown')).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } });
    s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
    expect(await post(jobId)).toMatchObject({
      status: 409,
      body: {
        error: {
          code: 'DESTINATION_REFUSED',
          reason: 'ACCESS_DENIED',
          bucketPolicy: expect.stringContaining('arn:aws:s3:::exports/here/*'),
        },
      },
    });
  });
});

describe('bucket policy', () => {
  const paths = ['', '/plain', '/wild*card?/$x', '/usage/{job}/year={yyyy}/month={MM}/day={dd}/{HH}'];
  const encryptions = [{}, { encryption: 'AES256' }, { encryption: 'KMS' }, { encryption: 'KMS', kmsKeyId: 'alias/a' }];

  test.each(['bucket-owner-full-control', 'none'])(
    'that is printed with S3_ACL=%s > lets tests and runs of every path and encryption succeed',
    async (acl) => {
      const server = await start({ S3_ACL: acl });
      const nobody = JSON.stringify({ Version: '2012-10-17', Statement: [] });
      for (const path of paths) {
        for (const encryption of encryptions) {
          const input = { s3Url: `s3://exports${path}`, ...encryption };
          s3.setPolicy(nobody);
          const refused = await testDestination(server, input);
          expect(refused).toMatchObject({ reason: 'ACCESS_DENIED' });
          s3.setPolicy(String(refused['bucketPolicy']));
          expect(await testDestination(server, input)).toMatchObject({ __typename: 'DestinationTest' });
          const jobId = await createJob(server, input);
          expect(await testDestination(server, { jobId })).toMatchObject({ __typename: 'DestinationTest' });
          expect(await endedRun(server, await runJob(server, jobId))).toMatchObject({ status: 'SUCCEEDED' });
        }
      }
      // The policies allow nothing else.
      expect(await testDestination(server, { s3Url: 'exports/elsewhere' })).toMatchObject({ reason: 'ACCESS_DENIED' });
      const other = await start({ S3_ACL: acl === 'none' ? 'bucket-owner-full-control' : 'none' });
      s3.setPolicy(String((await testDestination(server, { s3Url: 'exports/elsewhere' }))['bucketPolicy']));
      expect((await testDestination(other, { s3Url: 'exports/elsewhere' })).__typename).toBe(
        acl === 'none' ? 'DestinationTest' : 'DestinationError',
      );
    },
  );

  test('that denies PutObject without aws:kms > is explained by the encryption, with which the test succeeds', async () => {
    const server = await start();
    const { bucketPolicy } = await server.graphql<{ bucketPolicy: string }>('{ bucketPolicy(s3Url: "exports") }');
    const policy = JSON.parse(bucketPolicy) as { Statement: object[] };
    policy.Statement.push({
      Effect: 'Deny',
      Principal: '*',
      Action: 's3:PutObject',
      Resource: 'arn:aws:s3:::exports/*',
      Condition: { StringNotEquals: { 's3:x-amz-server-side-encryption': 'aws:kms' } },
    });
    s3.setPolicy(JSON.stringify(policy));
    const refused = await testDestination(server, { s3Url: 'exports' });
    expect(refused).toMatchObject({ reason: 'ACCESS_DENIED', message: expect.stringContaining('set encryption') });
    expect(await testDestination(server, { s3Url: 'exports', encryption: 'KMS' })).toMatchObject({ key: FILE });
  });
});
