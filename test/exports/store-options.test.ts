import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  createJob,
  endedRun,
  issuesOf,
  jobSettings,
  runJob,
  type Settings,
  tryCreateJob,
} from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { startStrictS3, type StrictS3, STRICT_PRINCIPAL } from '../support/strict-s3.ts';

// Stores that differ from AWS's defaults: headers that they refuse, and the region and encryption of a job.

let s3: StrictS3;
const servers: TestServer[] = [];
beforeEach(async () => {
  s3 = await startStrictS3({ buckets: ['exports'] });
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

async function runOnce(server: TestServer, settings: Settings = {}) {
  return endedRun(server, await runJob(server, await createJob(server, settings)));
}

async function policyOf(server: TestServer, s3Url: string): Promise<string> {
  const { bucketPolicy } = await server.graphql<{ bucketPolicy: string }>(
    'query ($s3Url: String!) { bucketPolicy(s3Url: $s3Url) }',
    { s3Url },
  );
  return bucketPolicy;
}

describe('store that refuses a header', () => {
  const headers = [
    ['x-amz-acl', { S3_ACL: 'none' }],
    ['x-amz-checksum-sha256', { S3_CHECKSUM: 'none' }],
  ] as const;

  test.each(headers)(
    '%s with 400 > fails the run with the header and the setting, which makes it succeed',
    async (header, env) => {
      s3.setFault(({ headers: sent }) => (header in sent ? { status: 400, code: 'InvalidArgument' } : undefined));
      const failed = await runOnce(await start());
      expect(failed).toMatchObject({ status: 'FAILED', attempt: 1, error: { retryable: false } });
      expect(failed.error?.message).toContain(header);
      expect(failed.error?.message).toContain(Object.entries(env)[0]?.join('='));

      const server = await start(env);
      s3.setPolicy(await policyOf(server, 'exports/here'));
      expect(await runOnce(server)).toMatchObject({ status: 'SUCCEEDED' });
      expect(s3.puts.flatMap((put) => Object.keys(put.headers))).not.toContain(header);
    },
  );
});

describe('job with a region', () => {
  test('writes to a bucket in it, while the error of a job without one names the field', async () => {
    await s3.close();
    s3 = await startStrictS3({ buckets: ['exports'], region: 'eu-central-1' });
    const server = await start({ AWS_REGION: 'us-west-2' });
    expect(await runOnce(server, { region: 'eu-central-1' })).toMatchObject({ status: 'SUCCEEDED' });
    const failed = await runOnce(server);
    expect(failed).toMatchObject({ status: 'FAILED', error: { code: 'WRONG_REGION', retryable: false } });
    expect(failed.error?.message).toContain('field region');
  });

  test.each([
    ['us-west-004', {}, [['input.region', 'BAD_REGION']]],
    ['eu-central-99', {}, [['input.region', 'BAD_REGION']]],
    ['us-banana-1', {}, [['input.region', 'BAD_REGION']]],
    ['us-gov-west-1', {}, []],
    ['us-west-004', { AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9' }, []],
    ['auto', { AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9' }, []],
    ['a'.repeat(64), { AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9' }, []],
    ['a'.repeat(65), { AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9' }, [['input.region', 'BAD_REGION']]],
    ['us.evil', { AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9' }, [['input.region', 'BAD_REGION']]],
  ])('%s with the settings %o > has the issues %j', async (region, env, issues) => {
    const server = await start(env);
    const created = await tryCreateJob(server, jobSettings({ region }));
    expect(created.__typename === 'Job' ? [] : issuesOf(created)).toEqual(issues);
    const response = await fetch(`${server.url}/jobs`, {
      method: 'POST',
      headers: { 'x-api-key': server.key, 'content-type': 'application/json' },
      body: JSON.stringify({ ...jobSettings({ region }), format: 'csv', aggregationBucket: 'day' }),
    });
    expect(response.status).toBe(issues.length === 0 ? 201 : 400);
  });
});

describe('job with encryption', () => {
  test('sends it with every object and the manifest', async () => {
    const kmsKeyId = 'arn:aws:kms:us-east-1:111122223333:alias/exports';
    const run = await runOnce(await start(), { encryption: 'KMS', kmsKeyId });
    expect(run.status).toBe('SUCCEEDED');
    expect(s3.puts.length).toBeGreaterThan(1);
    for (const { headers } of s3.puts) {
      expect(headers).toMatchObject({
        'x-amz-server-side-encryption': 'aws:kms',
        'x-amz-server-side-encryption-aws-kms-key-id': kmsKeyId,
      });
    }
  });

  test('with KMS > the policy of its s3Url mentions kms:GenerateDataKey in every spelling, for its account only', async () => {
    const server = await start();
    await createJob(server, { s3Url: 's3://exports/{job}/{yyyy}', encryption: 'KMS' });
    await createJob(server, { s3Url: 'exports/plain', encryption: 'AES256' });
    const other = await server.createKey('other', ['READ']);
    const query = 'query ($s3Url: String!) { bucketPolicy(s3Url: $s3Url) }';
    const mentions = async (s3Url: string, key?: string): Promise<boolean> => {
      const { bucketPolicy } = await server.graphql<{ bucketPolicy: string }>(query, { s3Url }, key);
      return bucketPolicy.includes('kms:GenerateDataKey');
    };
    expect(await mentions('exports/{job}/{yyyy}/')).toBe(true);
    expect(await mentions('s3://exports/{job}/{yyyy}')).toBe(true);
    expect(await mentions('s3://exports/{job}/{yyyy}', other)).toBe(false);
    expect(await mentions('exports/plain')).toBe(false);
  });

  test('with KMS > a denied run mentions kms:GenerateDataKey in its message and in the policy', async () => {
    s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
    const { error } = await runOnce(await start(), { encryption: 'KMS' });
    expect(error?.code).toBe('ACCESS_DENIED');
    expect(error?.message.split('The policy to attach:').map((part) => part.includes('kms:GenerateDataKey'))).toEqual([
      true,
      true,
    ]);
  });
});
