import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openS3 } from '../../src/exports/s3.ts';
import { createJob, endedRun, runJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE']) {
    vi.stubEnv(name, undefined);
  }
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent/credentials');
  vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent/config');
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  server = await startTestServer({ resources: { store: openS3({ region: 'us-east-1' }) } });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.stop();
});

test('a run of a server without AWS credentials > fails in its first attempt and says what to set', async () => {
  const run = await endedRun(server, await runJob(server, await createJob(server)));
  expect(run).toMatchObject({ status: 'FAILED', attempt: 1, error: { code: 'CREDENTIALS_MISSING', retryable: false } });
  expect(run.error?.message).toContain('AWS_ACCESS_KEY_ID');
});
