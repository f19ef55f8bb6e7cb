import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, createJob, endedRun, innerId, querySql, runJob } from '../support/job-steps.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { type Client, clientOf } from './client-steps.ts';

let server: TestServer;
/** Without a worker: its runs stay QUEUED. */
let idle: TestServer;
let first: Client;
let other: Client;
let jobId: string;
let runId: string;
let failedId: string;

beforeAll(async () => {
  [server, idle] = await Promise.all([startTestServer(), startTestServer({ env: { ROLE: 'api' } })]);
  first = clientOf(server);
  other = clientOf(server, await server.createKey('other', ['ADMIN']));
  await addRecords(server, 'calls', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' }]);
  jobId = await createJob(server, { jobName: 'Nightly', s3Url: 'exports/nightly', range: 'ago(1d)' });
  runId = await runJob(server, jobId, '2026-01-26T01:00:00Z');
  await endedRun(server, runId);
  const wrong = await createJob(server, { jobName: 'Wrong', s3Url: 'no-such-bucket', range: 'ago(1d)' });
  failedId = await runJob(server, wrong, '2026-01-26T01:00:00Z');
  await endedRun(server, failedId);
});
afterAll(() => Promise.all([server.stop(), idle.stop()]));

describe('run list', () => {
  test('prints a table, newest first, with figures aligned to the right', async () => {
    const { code, stdout, stderr } = await first.run('run', 'list');
    expect([code, stderr]).toEqual([0, '']);
    const [head = '', wrong = '', nightly = ''] = stdout.split('\n');
    expect(head).toMatch(/^JOB +SLOT +TRIGGER +STATUS +ERROR +ROWS +SIZE +ID$/);
    expect(wrong).toMatch(/^Wrong +2026-01-26T01:00:00Z +MANUAL +FAILED +NO_SUCH_BUCKET +[01] +\d+ B +\S+$/);
    expect(nightly).toMatch(/^Nightly +2026-01-26T01:00:00Z +MANUAL +SUCCEEDED +- +1 +\d+ B +\S+$/);
    expect(nightly.indexOf(' 1 ')).toBe(head.indexOf('ROWS') + 2);
  });

  test('selects a job and statuses', async () => {
    expect(await first.json('run', 'list', '--job', 'Nightly')).toMatchObject([{ id: runId, status: 'SUCCEEDED' }]);
    expect(await first.json('run', 'list', '--status', 'failed,canceled')).toMatchObject([
      { id: failedId, error: { code: 'NO_SUCH_BUCKET' } },
    ]);
    expect(await first.run('run', 'list', '--status', 'FALIED')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean FAILED?') as string,
    });
  });

  test('suggests the name of a job', async () => {
    expect(await first.run('run', 'list', '--job', 'nigthly')).toMatchObject({
      code: 1,
      stderr: 'Job "nigthly" does not exist. Did you mean "Nightly"?\n',
    });
  });

  test('contains no run of another account', async () => {
    expect(await other.run('run', 'list')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'No runs found. Start one: npm run -s sluice -- job run JOB\n',
    });
    expect(await other.run('run', 'list', '--job', 'Nightly')).toMatchObject({
      code: 1,
      stderr: 'Job "Nightly" does not exist.\n',
    });
  });
});

describe('run show', () => {
  test('prints window, objects and their SHA-256', async () => {
    const { code, stdout } = await first.run('run', 'show', runId);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Run: +\S+\nJob: +Nightly\nStatus: +SUCCEEDED\n/);
    expect(stdout).toMatch(/\nWindow: +2026-01-25T00:00:00Z until 2026-01-26T00:00:00Z\n/);
    expect(stdout).toMatch(/\nOBJECT +ROWS +BYTES +SHA-256\nnightly\/nightly\/\S+ +1 +\d+ +[0-9a-f]{64}\n$/);
    expect(await first.json('run', 'show', runId)).toMatchObject([{ id: runId, objects: [{ rows: 1 }] }]);
  });

  test('prints the error of a run that failed', async () => {
    expect((await first.run('run', 'show', failedId)).stdout).toMatch(/\nError: +NO_SUCH_BUCKET: /);
  });

  test('prints when the next attempt starts when the run waits for it', async () => {
    const { id } = await (await createSteppedJob(idle)).run();
    const [row] = await querySql<{ at: Date }>(
      idle,
      `UPDATE runs SET attempt = 1, started_at = now(), not_before = date_trunc('second', now()) + interval '1 hour'
       WHERE id = $1 RETURNING not_before AS at`,
      [innerId(id)],
    );
    const { stdout } = await clientOf(idle).run('run', 'show', id);
    expect(stdout).toContain(`\nNext attempt:  ${row?.at.toISOString().replace('.000', '')}\n`);
  });

  test('fails for a run of another account', async () => {
    for (const command of ['show', 'watch', 'cancel']) {
      expect(await other.run('run', command, runId)).toMatchObject({
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(/does not exist/) as string,
      });
    }
  });
});

test('run watch --json > prints the run when it has ended, and exits with 1 when it failed', async () => {
  expect(await first.json('run', 'watch', runId)).toMatchObject([{ id: runId, status: 'SUCCEEDED', rowsWritten: 1 }]);
  const { code, stdout } = await first.run('run', 'watch', '--job', 'Wrong', '--json');
  expect([code, JSON.parse(stdout)]).toMatchObject([1, { id: failedId, status: 'FAILED' }]);
});

describe('run cancel', () => {
  test('cancels a queued run, and fails when it has ended', async () => {
    const { id } = await (await createSteppedJob(idle)).run();
    const client = clientOf(idle);
    expect(await client.run('run', 'cancel', id)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/\nStatus: +CANCELED\n/) as string,
    });
    expect(await client.run('run', 'cancel', id, '--json')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/CANCELED/) as string,
    });
  });
});
