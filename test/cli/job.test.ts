import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jobFields } from '../../src/jobs/settings.ts';
import { addRecords, createJob, filterOf, updateJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { type Client, clientOf } from './client-steps.ts';

let server: TestServer;
let first: Client;
let other: Client;
let directory: string;

beforeAll(async () => {
  server = await startTestServer();
  directory = await mkdtemp(join(tmpdir(), 'sluice-jobs-'));
  first = clientOf(server);
  other = clientOf(server, await server.createKey('other', ['ADMIN']));
  await addRecords(server, 'calls', 'DAILY', [
    { timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1', filter: filterOf({ region: 'eu' }) },
  ]);
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

interface Job extends Readonly<Record<string, unknown>> {
  readonly id: string;
  readonly version: number;
}

const daily = (jobName: string, more: object = {}): Promise<string> =>
  createJob(server, {
    jobName,
    s3Url: `exports/${jobName}`,
    range: 'ago(1d)',
    cron: '0 2 * * *',
    enabled: true,
    ...more,
  });

const fileOf = async (content: unknown): Promise<string> => {
  const file = join(directory, `${Math.random()}.json`);
  await writeFile(file, JSON.stringify(content));
  return file;
};

const show = async (job: string): Promise<Job> => (await first.json<Job>('job', 'show', job))[0]!;

describe('job list and show', () => {
  test('print schedule, next run and destination', async () => {
    await daily('Listed', { timeZone: 'Europe/Berlin' });
    await createJob(server, { jobName: 'Listed off', s3Url: 'exports/off', enabled: false });
    const { code, stdout, stderr } = await first.run('job', 'list', '--search', 'listed');
    expect([code, stderr]).toEqual([0, '']);
    const [head, off, on] = stdout.split('\n');
    expect(head).toMatch(/^JOB +SCHEDULE +NEXT RUN +LAST RUN +DESTINATION$/);
    expect(off).toMatch(/^Listed off +on request, disabled +- +- +\S*exports\/off$/);
    expect(on).toMatch(/^Listed +0 2 \* \* \* \(Europe\/Berlin\) +\S+T02:00:00\+0[12]:00 +- +\S*exports\/Listed$/);
    expect(await first.json('job', 'list', '--search', 'listed', '--enabled', 'true')).toMatchObject([
      { jobName: 'Listed', lastRun: null },
    ]);
    const shown = await first.run('job', 'show', 'Listed');
    expect(shown.stdout).toMatch(
      /^Job: +Listed\nId: +\S+\nVersion: +1, changed at \S+Z\nSchedule: +0 2 \* \* \* \(Europe\/Berlin\)\n/,
    );
    expect(Object.keys(await show('Listed'))).toEqual(expect.arrayContaining(Object.keys(jobFields)));
  });

  test('show nothing of another account', async () => {
    const id = await daily('Hidden');
    expect(await other.run('job', 'list')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'No jobs found. Create one: npm run -s sluice -- job create\n',
    });
    for (const job of ['Hidden', id]) {
      for (const args of [['show'], ['edit', '--format', 'json'], ['check'], ['run'], ['delete', '--force']]) {
        const [command = '', ...flags] = args;
        expect([args, await other.run('job', command, job, ...flags)]).toEqual([
          args,
          { code: 1, stdout: '', stderr: expect.stringMatching(/does not exist/) as string },
        ]);
      }
    }
  });
});

describe('job edit', () => {
  test('changes the fields of flags and file, and shows what changed', async () => {
    await daily('Edited', { email: 'a@example.com' });
    const file = await fileOf({ format: 'NDJSON', filter: filterOf({ region: ['eu', 'us'] }) });
    const { code, stdout } = await first.run(
      'job',
      'edit',
      'Edited',
      '-f',
      file,
      '--range',
      'ago(7d)',
      '--clear',
      'email',
    );
    expect([code, stdout.split('\n').map((line) => line.replaceAll(/ {2,}/g, '  '))]).toEqual([
      0,
      [
        'Changed the job "Edited". Its version is 2.',
        'SETTING  BEFORE  AFTER',
        'email  a@example.com  -',
        'format  CSV  NDJSON',
        'range  ago(1d)  ago(7d)',
        'filter  -  region=eu, us',
        '',
      ],
    ]);
    expect(await first.run('job', 'edit', 'Edited', '--range', 'ago(7d)')).toMatchObject({
      code: 0,
      stdout: 'The job "Edited" already has these settings.\n',
    });
  });

  test('reads the output of job show, with the version that it has', async () => {
    await daily('Copied');
    const shown = await show('Copied');
    const file = await fileOf({ ...shown, range: 'ago(3d)' });
    expect(await first.json('job', 'edit', 'Copied', '--file', file)).toMatchObject([
      { version: 2, changes: [{ field: 'range', before: 'ago(1d)', after: 'ago(3d)' }] },
    ]);
    const copy = await fileOf({ ...shown, jobName: 'Copy', enabled: false });
    expect(await first.json('job', 'create', '--file', copy)).toMatchObject([{ jobName: 'Copy' }]);
  });

  test('shows both edits when the job was edited meanwhile', async () => {
    const id = await daily('Raced');
    const shown = await show('Raced');
    await updateJob(server, id, { description: 'Theirs', range: 'ago(2d)' });
    const file = await fileOf({ ...shown, range: 'ago(7d)' });
    const { code, stdout, stderr } = await first.run('job', 'edit', 'Raced', '--file', file);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr.split('\n').map((line) => line.replaceAll(/ {2,}/g, '  '))).toEqual([
      'The job was not changed, because it was edited meanwhile: its version is 2, and your edit is based on version 1.',
      'SETTING  BEFORE  STORED NOW  YOUR EDIT',
      'description  ?  Theirs  -',
      'range  ?  ago(2d)  ago(7d)',
      'To apply your edit to the stored job, run the command again with --if-version 2.',
      '',
    ]);
    expect(await first.run('job', 'edit', 'Raced', '--range', 'ago(7d)', '--if-version', '2')).toMatchObject({
      code: 0,
    });
    expect(await show('Raced')).toMatchObject({ version: 3, description: 'Theirs', range: 'ago(7d)' });
  });

  test('names the flag or the field of each issue, and what is missing', async () => {
    await daily('Wrongly edited');
    const job = ['job', 'edit', 'Wrongly edited'];
    const attempts: [args: string[], code: number, message: string][] = [
      [[...job], 2, 'Specify what to change: flags, such as --range "ago(7d)", or --file.'],
      [[...job, '--cron', '6:15'], 1, 'The job was not changed.\n--cron: A cron expression has five fields'],
      [
        [...job, '--file', await fileOf({ rnage: 'ago(1d)' })],
        1,
        'A job does not have the field "rnage". Did you mean "range"?',
      ],
      [[...job, '--clear', 'emial'], 2, '"emial" is not an optional setting. Did you mean email?'],
      [[...job, '--rang', 'ago(1d)'], 2, 'Did you mean --range?'],
      [[...job, '--job-name', 'Listed'], 1, 'Another job of the account has the name'],
    ];
    await daily('Listed as well');
    for (const [args, code, message] of attempts) {
      expect([args, await first.run(...args)]).toEqual([
        args,
        { code, stdout: '', stderr: expect.stringContaining(message) as string },
      ]);
    }
    expect(await show('Wrongly edited')).toMatchObject({ version: 1 });
  });
});

describe('job check', () => {
  const settings = [
    '--job-name',
    'Checked',
    '--s3-url',
    'exports/checked',
    '--format',
    'csv',
    '--aggregation-bucket',
    'day',
  ];

  test('prints the next windows, objects and first rows of a new job, and stores nothing', async () => {
    const flags = [...settings, '--range', 'ago(1d)', '--cron', '0 2 * * *', '--group-by', 'regoin'];
    const { code, stdout, stderr } = await first.run('job', 'check', ...flags);
    expect(code).toBe(0);
    expect(stderr).toBe('Warning: None of the streams has the dimension "regoin". Did you mean "region"?\n');
    expect(stdout).toMatch(
      /^The job is valid\. Nothing was stored\.\nNext windows:\nSLOT +FROM +TO +OBJECT\n\S+T02:00:00Z +\S+T00:00:00Z +\S+T00:00:00Z +checked\/checked\/\S+\.csv\n/,
    );
    expect(stdout).toMatch(
      /\nObjects of a run now:\n {2}checked\/checked\/\S+\.csv\n {2}\S+\.manifest\.json\nFirst rows of a run now:\n/,
    );
    expect(await first.run('job', 'show', 'Checked')).toMatchObject({ code: 1 });
  });

  test('checks changes of a job', async () => {
    await daily('To check');
    expect(await first.json('job', 'check', 'To check', '--range', 'ago(7d)')).toMatchObject([
      { job: { jobName: 'To check' }, nextWindows: { length: 3 }, warnings: [expect.stringContaining('overlap')] },
    ]);
    expect(await first.run('job', 'check', 'To check', '--range', 'soon')).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^The job is not valid\.\n--range: /) as string,
    });
  });

  test('requires the settings of a new job', async () => {
    expect(await first.run('job', 'check', '--job-name', 'x')).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'Required: --s3-url, --format, --aggregation-bucket, --range. Set them, or name a file with these fields with --file.\n',
    });
  });
});

describe('job run', () => {
  test('starts a run for a date, and follows it until it ends', async () => {
    await daily('Run', { timeZone: 'America/New_York' });
    const { code, stdout } = await first.run('job', 'run', 'Run', '--for', '2026-01-25', '--watch');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Run, 2026-01-25T05:00:00Z until 2026-01-26T05:00:00Z\n/);
    expect(await first.json('job', 'run', 'Run', '--for', '2026-01-26T07:00:00Z')).toMatchObject([
      { scheduledFor: '2026-01-26T07:00:00Z', windowStart: '2026-01-25T05:00:00Z' },
    ]);
    expect((await first.run('job', 'run', 'Run')).stdout).toMatch(
      /^Queued the run (\S+)\. Follow it: npm run -s sluice -- run watch \1\n$/,
    );
  });

  test('exits with 1 when the run that it watches fails', async () => {
    await daily('Run fails', { s3Url: 'no-such-bucket' });
    const { code, stdout } = await first.run('job', 'run', 'Run fails', '--watch', '--json');
    expect([code, JSON.parse(stdout)]).toMatchObject([1, { status: 'FAILED', error: { code: 'NO_SUCH_BUCKET' } }]);
  });

  test('fails for a date that no window contains, and for a slot in the far future', async () => {
    await daily('Run hours', { aggregationBucket: 'HOUR', range: 'ago(2h)' });
    expect(await first.run('job', 'run', 'Run hours', '--for', '2026-01-25')).toMatchObject({
      code: 1,
      stderr:
        'No scheduled window of the job contains all of 2026-01-25 (UTC). Give the time of a slot, such as --for 2026-01-25T06:00:00Z.\n',
    });
    await daily('Run days', {});
    expect(await first.run('job', 'run', 'Run days', '--for', '2099-01-25')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^The first scheduled window that contains all of 2099-01-25 \(.*\) belongs to the slot 2099-01-26T.*Z, which is more than 24 hours in the future\./,
      ) as string,
    });
    expect(await first.run('job', 'run', 'Run hours', '--for', 'yesterday')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^--for must be a date/) as string,
    });
    expect(await first.run('job', 'run', 'Run hours', '--for', '2099-01-25T00:00:00Z')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/24 hours/) as string,
    });
  });
});

test('job delete > requires --force outside of a terminal', async () => {
  await daily('Deleted');
  expect(await first.run('job', 'delete', 'Deleted')).toEqual({
    code: 1,
    stdout: '',
    stderr:
      'Deleting the job "Deleted" cancels its active runs and backfills. Its runs stay in the history, and its files in the bucket. Nothing was deleted. Confirm it with --force.\n',
  });
  expect(await first.run('job', 'delete', 'Deleted', '--force')).toEqual({
    code: 0,
    stdout: 'Deleted the job "Deleted".\n',
    stderr: '',
  });
  expect(await first.run('job', 'show', 'Deleted')).toMatchObject({
    code: 1,
    stderr: 'Job "Deleted" does not exist.\n',
  });
});
