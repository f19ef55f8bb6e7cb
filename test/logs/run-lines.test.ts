import { afterAll, beforeAll, expect, test } from 'vitest';
import { addRecords, createJob, endedRun, runJob } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { type SluiceProcess, startSluice } from '../support/sluice-process.ts';

let server: TestServer;
let key = '';
let workers: SluiceProcess[];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  key = await server.createKey('acme', ['ADMIN']);
});
afterAll(async () => {
  await Promise.all((workers ?? []).map((worker) => worker.destroy()));
  await server.stop();
});

const startWorker = async (format: 'pretty' | 'json'): Promise<SluiceProcess> => {
  const worker = startSluice({
    DATABASE_URL: server.database.url,
    PORT: '0',
    ROLE: 'worker',
    LOG_FORMAT: format,
    NO_COLOR: '1',
    AWS_REGION: server.s3.region,
    AWS_ENDPOINT_URL_S3: server.s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: server.s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.s3.credentials.secretAccessKey,
  });
  (workers ??= []).push(worker);
  await worker.said('server started');
  return worker;
};

const stop = async (worker: SluiceProcess): Promise<string[]> => {
  worker.kill('SIGTERM');
  await worker.ended;
  return worker.stderr.trimEnd().split('\n');
};

const exported = async (settings: Readonly<Record<string, string>>, by?: string): Promise<string> => {
  const jobId = await createJob(server, settings, by);
  const id = await runJob(server, jobId, '2026-01-28T02:00:00Z', by);
  const asOwner = {
    ...server,
    graphql: (query: string, variables?: object) => server.graphql(query, variables as never, by),
  } as TestServer;
  await endedRun(asOwner, id);
  return id;
};

test('pretty log > has one line per run, with names and amounts and without ids', async () => {
  await addRecords(server, 'usage', 'DAILY', [
    { timestamp: '2026-01-25T00:00:00Z', elementName: 'hooli', value: '1' },
    { timestamp: '2026-01-26T00:00:00Z', elementName: 'hooli', value: '1' },
  ]);
  const worker = await startWorker('pretty');
  await exported({ jobName: 'Daily usage' });
  await exported({ jobName: 'Daily usage', s3Url: 'other-exports/acme' }, key);
  await exported({ jobName: 'Refused', s3Url: 'no-such-bucket/x' });
  await exported({ jobName: 'With mail', email: 'a@example.com' });
  await eventually(
    async () => worker.stderr,
    (all) => all.includes('no mail'),
  );
  const lines = (await stop(worker)).filter((line) => /Daily usage|Refused|With mail/.test(line));
  const shape = (text: string) => expect.stringMatching(new RegExp(`^\\[\\d\\d:\\d\\d:\\d\\d\\] ${text}$`));
  expect(lines.slice(0, 3)).toEqual([
    shape(String.raw`INFO: Daily usage  SUCCEEDED  2 rows  \d+ B  [\d.]+m?s`),
    shape(String.raw`INFO: Daily usage \(acme\)  SUCCEEDED  0 rows  \d+ B  [\d.]+m?s`),
    shape(String.raw`WARN: Refused  FAILED  NO_SUCH_BUCKET: .*  [\d.]+m?s`),
  ]);
  // The mailer and the worker run concurrently, so either line can be first.
  expect(lines.slice(3).toSorted((a, b) => Number(a.includes('no mail')) - Number(b.includes('no mail')))).toEqual([
    shape(String.raw`INFO: With mail  SUCCEEDED  2 rows  \d+ B  [\d.]+m?s`),
    shape('WARN: With mail: no mail was sent about this run: SMTP_URL is not set .*'),
  ]);
  expect(worker.stderr).not.toMatch(/runId|jobId|accountId|UnVu|Sm9i/);
});

test('JSON log > has the ids of a run, and its seconds without floating-point noise', async () => {
  const worker = await startWorker('json');
  const id = await exported({ jobName: 'As JSON' });
  const line = (await stop(worker)).find((one) => one.includes('attempt ended')) ?? '{}';
  expect(JSON.parse(line)).toMatchObject({ runId: id, jobName: 'As JSON', status: 'SUCCEEDED', rows: 2 });
  expect(line).toMatch(/"seconds":\d+(?:\.\d{1,6})?,/);
});
