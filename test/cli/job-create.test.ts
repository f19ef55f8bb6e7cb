import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jobFields } from '../../src/jobs/settings.ts';
import { addRecords, filterOf } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;
let directory: string;

const create = (...args: string[]) =>
  runSluice('cli', ['job', 'create', ...args], { SLUICE_URL: server.url, API_KEY: server.key });

const fileOf = async (content: unknown): Promise<string> => {
  const file = join(directory, `${Math.random()}.json`);
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};

let jobs = 0;
/** Required flags, with another name for each job. */
const required = (): string[] => {
  jobs += 1;
  const settings = { 'job-name': `Job ${jobs}`, 's3-url': 'exports/cli', format: 'csv', 'aggregation-bucket': 'day' };
  return [...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]), '--range', 'ago(1d)'];
};

const readJob = async (id: string) => {
  const { job } = await server.graphql<{ job: Record<string, unknown> }>(
    `query ($id: ID!) { job(id: $id) { jobName description enabled email s3Url region encryption kmsKeyId format compression csvDialect csvDelimiter
      aggregationBucket timeZone range endTimeOffset cron scheduledTimeInSeconds meterApiNames groupBy filter { dimension values } sparse
      minimizeFresh rescaleFunction { function coefficient } bucketOwner restatement restateAfter restateWithin completeWithin } }`,
    { id },
  );
  return job;
};

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  directory = await mkdtemp(join(tmpdir(), 'sluice-job-'));
  await addRecords(server, 'calls', 'DAILY', [
    { timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1', filter: filterOf({ region: 'eu', tier: 'a' }) },
  ]);
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

describe.concurrent('job create command', () => {
  test('creates a job and prints id, destination and next runs, without a warning', async () => {
    const { code, stdout, stderr } = await create(...required(), '--cron', '0 2 * * *', '--group-by', 'region,element');
    expect(stdout).toMatch(
      /^Created the job "Job \d+"\.\nId: {10}\S+\nDestination: \S*exports\/cli\nNext runs: {3}\S+T02:00:00Z, \S+T02:00:00Z, \S+T02:00:00Z\n$/,
    );
    expect([code, stderr]).toEqual([0, '']);
  });

  test('prints the run of a job without a schedule', async () => {
    expect((await create(...required())).stdout).toMatch(/^Next runs: {3}now, run \S+$/m);
    expect((await create(...required(), '--enabled', 'false')).stdout).toMatch(/^Next runs: {3}none$/m);
  });

  test('has a flag for each setting, which sets it', async () => {
    const flags = {
      description: 'All flags',
      enabled: 'FALSE',
      email: 'a@example.com',
      'bucket-owner': '111122223333',
      region: 'us-east-1',
      encryption: 'kms',
      'kms-key-id': 'alias-arn',
      compression: 'gzip',
      'csv-dialect': 'excel',
      'csv-delimiter': 'Semicolon',
      'time-zone': 'Europe/Berlin',
      'end-time-offset': 'ago(1h)',
      'scheduled-time-in-seconds': '4102444800',
      'meter-api-names': 'calls,other',
      'group-by': 'region,element',
      sparse: 'false',
      'minimize-fresh': 'false',
      'rescale-function': '0.001',
      restatement: 'none',
      'restate-after': 'ago(2h)',
      'restate-within': 'ago(100d)',
      'complete-within': 'ago(6h)',
    };
    const { stdout, stderr } = await create(
      ...required(),
      ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
      '--filter=region=eu',
      '--filter=region=us',
      '--filter=tier=a',
      '--json',
    );
    expect(stderr).toBe('');
    const { id, warnings } = JSON.parse(stdout) as { id: string; warnings: string[] };
    expect(warnings).toContain('The stream "other" does not exist yet.');
    const job = await readJob(id);
    expect(job).toMatchObject({
      description: 'All flags',
      enabled: false,
      email: 'a@example.com',
      bucketOwner: '111122223333',
      region: 'us-east-1',
      encryption: 'KMS',
      kmsKeyId: 'alias-arn',
      format: 'CSV',
      compression: 'GZIP',
      csvDialect: 'EXCEL',
      csvDelimiter: 'SEMICOLON',
      aggregationBucket: 'DAY',
      timeZone: 'Europe/Berlin',
      range: 'ago(1d)',
      endTimeOffset: 'ago(1h)',
      scheduledTimeInSeconds: 4_102_444_800,
      meterApiNames: ['calls', 'other'],
      groupBy: ['region', 'element'],
      filter: filterOf({ region: ['eu', 'us'], tier: 'a' }),
      sparse: false,
      minimizeFresh: false,
      rescaleFunction: { function: 'MULTIPLY', coefficient: '0.001' },
      restatement: 'NONE',
      restateAfter: 'ago(2h)',
      restateWithin: 'ago(100d)',
      completeWithin: 'ago(6h)',
    });
    expect(Object.keys(job).toSorted()).toEqual(Object.keys(jobFields).toSorted());
  });

  test('reads a file or standard input with all digits, and flags replace its fields', async () => {
    const [, jobName = ''] = required();
    const file = await fileOf(
      `\ufeff{"jobName": "${jobName}", "s3Url": "exports/cli", "format": "JSON", "aggregationBucket": "DAY", "range": "ago(2d)",
        "enabled": false, "rescaleFunction": {"function": "MULTIPLY", "coefficient": 1.00000000000000000001}}`,
    );
    const { stdout } = await create('--file', file, '--format', 'ndjson', '--json');
    expect(await readJob((JSON.parse(stdout) as { id: string }).id)).toMatchObject({
      jobName,
      format: 'NDJSON',
      range: 'ago(2d)',
      rescaleFunction: { coefficient: '1.00000000000000000001' },
    });
    // runSluice gives the command no standard input.
    expect(await create('-f', '-')).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/not valid JSON/) as string,
    });
  });

  test('prints warnings to standard error, without control characters', async () => {
    const { code, stderr } = await create(...required(), '--enabled', 'false', '--group-by', 'regoin,\u202ereversed');
    expect(code).toBe(0);
    expect(stderr.split('\n')).toEqual([
      'Warning: None of the streams has the dimension "regoin". Did you mean "region"?',
      'Warning: None of the streams has the dimension "\ufffdreversed".',
      '',
    ]);
  });

  test('rejects warnings with --strict, and exits with 1', async () => {
    const file = await fileOf({ meterApiNames: ['calls', 'soon'] });
    expect(await create(...required(), '-f', file, '--group-by', 'regoin', '--strict')).toEqual({
      code: 1,
      stdout: '',
      stderr: `The job was not created.
meterApiNames: The stream "soon" does not exist yet.
--group-by: None of the streams has the dimension "regoin". Did you mean "region"?
`,
    });
  });

  test('names the flag or the field of each issue', async () => {
    const file = await fileOf({ email: 'nobody', filter: [{ dimension: 'region', values: [] }] });
    const { code, stderr } = await create(...required(), '--cron', '6:15', '-f', file);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n')).toEqual([
      'The job was not created.',
      expect.stringMatching(/^email: Must be one email address/),
      expect.stringMatching(/^--cron: A cron expression has five fields/),
      'filter.0.values: Must have at least one value.',
    ]);
  });

  test('reports a conflict', async () => {
    const flags = [...required(), '--enabled', 'false'];
    await create(...flags);
    expect(await create(...flags)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^Another job of the account has the name/) as string,
    });
  });

  test.each<[string, unknown, string]>([
    ['an unknown field', { jobname: 'x' }, 'A job does not have the field "jobname". Did you mean "jobName"?'],
    ['a list', [], 'The file must contain one JSON object with the fields of CreateJobInput.'],
    [
      'missing fields',
      { jobName: 'x', range: 'ago(1d)', format: 'CSV' },
      'Required: --s3-url, --aggregation-bucket. Set them, or name a file with these fields with --file.',
    ],
  ])('rejects a file with %s', async (_name, content, message) => {
    expect(await create('-f', await fileOf(content))).toEqual({ code: 1, stdout: '', stderr: `${message}\n` });
  });

  test('rejects a word that is not a choice, and an unknown flag', async () => {
    expect(await create('--format', 'xml')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/Allowed choices are json, csv, ndjson, parquet\./) as string,
    });
    expect(await create('--grup-by', 'x')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/Did you mean --group-by/) as string,
    });
  });
});
