import { afterAll, beforeAll, expect, test } from 'vitest';
import { createJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

function command(...args: string[]) {
  return runSluice('cli', ['destination', 'test', ...args], { SLUICE_URL: server.url, API_KEY: server.key });
}

test('destination test > prints the key for an s3Url, a job name and a job id', async () => {
  const jobId = await createJob(server, { jobName: 'Nightly', s3Url: 'exports/{job}' });
  const written = (key: string) => ({
    code: 0,
    stdout: `Wrote ${key}. Runs can write to this destination.\n`,
    stderr: '',
  });
  expect(await command('s3://exports/a', '--encryption', 'kms', '--kms-key-id', 'alias/a')).toMatchObject(
    written('a/_sluice-destination-test.json'),
  );
  expect(server.s3.puts.at(-1)?.headers['x-amz-server-side-encryption-aws-kms-key-id']).toBe('alias/a');
  for (const job of ['Nightly', jobId]) {
    expect(await command('--job', job)).toMatchObject(written('nightly/_sluice-destination-test.json'));
  }
});

test('destination test > prints the error and the policy, and exits with 1, when the store refuses the object', async () => {
  server.s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
  const { code, stdout, stderr } = await command('exports/a');
  server.s3.setFault(undefined);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^ACCESS_DENIED: Sluice is not allowed to write to the bucket exports\./);
  expect(stderr).not.toContain('The policy to attach');
  expect(JSON.parse(stdout)).toMatchObject({ Statement: [{ Resource: 'arn:aws:s3:::exports/a/*' }] });
  expect(await command('no-such-bucket')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^NO_SUCH_BUCKET: /),
  });
});

test.each([
  [2, [], 'Specify a destination'],
  [2, ['exports', '--job', 'Nightly'], 'Specify a destination'],
  [2, ['exports', '--encryption', 'aws'], 'aes256, kms'],
  [1, ['--job', 'Missing'], 'Job "Missing" does not exist.'],
  [1, ['Exports'], 's3Url: A bucket name contains only lower-case'],
])('destination test > exits with %i for %j', async (exitCode, args, message) => {
  const { code, stderr } = await command(...args);
  expect(stderr).toContain(message);
  expect(code).toBe(exitCode);
});

test('destination test > names the argument or option of each issue when the input has several', async () => {
  const { code, stdout, stderr } = await command('Exports', '--bucket-owner', '12', '--kms-key-id', 'alias/a');
  expect(stderr.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^s3Url: A bucket name contains only lower-case /),
    expect.stringMatching(/^--bucket-owner: Must be /),
    expect.stringMatching(/^--kms-key-id: /),
  ]);
  expect([code, stdout]).toEqual([1, '']);
});

test('destination test --json > prints the key, or the reason and the policy', async () => {
  const { code, stdout } = await command('exports/b', '--json');
  expect([code, JSON.parse(stdout)]).toEqual([0, { key: 'b/_sluice-destination-test.json' }]);
  server.s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
  const refused = await command('exports/b', '--json');
  server.s3.setFault(undefined);
  expect([refused.code, JSON.parse(refused.stdout)]).toEqual([
    1,
    { reason: 'ACCESS_DENIED', message: expect.any(String), bucketPolicy: expect.any(String) },
  ]);
});
