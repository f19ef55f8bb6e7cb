import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addRecords,
  createJob,
  deleteJob,
  endedRun,
  exportAgain,
  innerId,
  querySql,
  readExport,
  updateJob,
} from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;
let jobId: string;
beforeAll(async () => {
  server = await startTestServer();
  await addRecords(server, 'requests', 'DAILY', [
    { timestamp: '2026-02-01T00:00:00Z', elementName: 'acme', value: '1' },
  ]);
  jobId = await createJob(server, { jobName: 'Daily', s3Url: 'exports/daily', range: 'ago(1d)' });
  for (const day of ['02', '03', '05']) await exportAgain(server, jobId, `2026-02-${day}T01:00:00Z`);
});
afterAll(() => server.stop());

function command(...args: string[]) {
  return runSluice('cli', ['delivery', ...args], { SLUICE_URL: server.url, API_KEY: server.key });
}

interface Listed {
  readonly id: string;
  readonly windowStart: string;
  readonly revision: number;
}

const listed = async (...args: string[]): Promise<Listed[]> => {
  const { stdout } = await command('list', '--json', ...args);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Listed);
};

describe('delivery list', () => {
  test('prints a table by the end of the window, newest first', async () => {
    const { code, stdout, stderr } = await command('list', '--job', 'Daily');
    expect([code, stderr]).toEqual([0, '']);
    const [head, ...lines] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^JOB +FROM +TO +STATE +REVISION +DELIVERED +ID$/);
    expect(lines.map((line) => line.replace(/\S+ +\S+$/, '').trimEnd())).toEqual(
      [
        'Daily  2026-02-04T00:00:00Z  2026-02-05T00:00:00Z  CURRENT  1',
        'Daily  2026-02-02T00:00:00Z  2026-02-03T00:00:00Z  CURRENT  1',
        'Daily  2026-02-01T00:00:00Z  2026-02-02T00:00:00Z  CURRENT  1',
      ].map((line) => expect.stringMatching(new RegExp(`^${line.replaceAll(/ +/g, ' +')}$`)) as string),
    );
  });

  test('prints one JSON object per line, also of more than a page, and says when there are more', async () => {
    expect((await listed('--job', jobId)).map(({ windowStart }) => windowStart.slice(8, 10))).toEqual([
      '04',
      '02',
      '01',
    ]);
    const { stdout, stderr } = await command('list', '--limit', '2');
    expect(stdout.trimEnd().split('\n')).toHaveLength(3);
    expect(stderr).toBe('There are more than 2 deliveries. List more with --limit.\n');
  });

  test('selects states', async () => {
    const id = await createJob(server, { jobName: 'Edited', s3Url: 'exports/edited', range: 'ago(1d)' });
    await exportAgain(server, id, '2026-02-02T01:00:00Z');
    await updateJob(server, id, { format: 'JSON' });
    expect(await listed('--state', 'retired,missing')).toHaveLength(1);
    expect(await listed('--job', 'Edited', '--state', 'CURRENT')).toEqual([]);
    await deleteJob(server, id);
    expect((await command('list', '--state', 'retired')).stdout).toContain('\n(deleted) ');
  });

  test.each([
    [['list', '--job', 'None'], 'Job "None" does not exist.'],
    [['list', '--state', 'done'], '"done" is not one of MISSING, RETIRED, SUPERSEDED, STALE, TOUCHED, CURRENT.'],
    [['redeliver', 'RGVsaXZlcnk6MQ'], 'The delivery does not exist. Check the id.'],
    [['coverage', 'None', '--from', '2026-02-01'], 'Job "None" does not exist.'],
    [['coverage', 'Daily', '--from', 'soon'], '--from must be a date such as 2026-01-25, or a time'],
    [['coverage', 'Daily', '--from', '2026-02-02', '--to', '2026-02-01'], '--to must be after --from.'],
    [['coverage', 'Daily'], "required option '--from <time>' not specified"],
  ])('fails with the reason: %j', async (args, message) => {
    const { code, stderr } = await command(...args);
    expect(code).not.toBe(0);
    expect(stderr).toContain(message);
  });
});

test('delivery > shows nothing of another account', async () => {
  const env = { SLUICE_URL: server.url, API_KEY: await server.createKey('other', ['ADMIN']) };
  const [delivery] = await listed();
  const outcomes = await Promise.all(
    [['list'], ['list', '--json'], ['redeliver', delivery?.id ?? ''], ['coverage', jobId, '--from', '2026-02-01']].map(
      (args) => runSluice('cli', ['delivery', ...args], env),
    ),
  );
  expect(outcomes).toEqual([
    { code: 0, stdout: '', stderr: 'No deliveries found.\n' },
    { code: 0, stdout: '', stderr: 'No deliveries found.\n' },
    { code: 1, stdout: '', stderr: 'The delivery does not exist. Check the id.\n' },
    { code: 1, stdout: '', stderr: `Job "${jobId}" does not exist.\n` },
  ]);
});

test('delivery redeliver > queues a run that writes the next revision', async () => {
  const delivery = (await listed('--job', 'Daily')).at(-1);
  const { stdout, code } = await command('redeliver', delivery?.id ?? '');
  const [, runId = ''] = /^Queued the run (\S+)\. Follow it: npm run -s sluice -- run watch \1\n$/.exec(stdout) ?? [];
  expect(code).toBe(0);
  const run = await endedRun(server, runId);
  expect([run.windowStart, readExport(server, run).manifest]).toEqual([
    delivery?.windowStart,
    expect.objectContaining({ revision: 2 }),
  ]);
});

test('delivery redeliver > prints the run as JSON', async () => {
  const delivery = (await listed('--job', 'Daily')).at(-1);
  const { stdout } = await command('redeliver', delivery?.id ?? '', '--json');
  const run = JSON.parse(stdout) as { id: string };
  expect(run).toMatchObject({ trigger: 'MANUAL', windowStart: delivery?.windowStart });
  await endedRun(server, run.id);
});

test('delivery coverage > prints delivered and stale spans and gaps in the order of time', async () => {
  await querySql(
    server,
    "UPDATE deliveries SET stale_since = now() WHERE job_id = $1 AND window_start = '2026-02-02T00:00:00Z'",
    [innerId(jobId)],
  );
  const { stdout, code } = await command('coverage', 'Daily', '--from', '2026-02-01', '--to', '2026-02-06T12:00:00Z');
  expect([code, stdout]).toEqual([
    0,
    [
      'FROM                  TO                    COVERAGE',
      '2026-02-01T00:00:00Z  2026-02-03T00:00:00Z  delivered',
      '2026-02-02T00:00:00Z  2026-02-03T00:00:00Z  stale',
      '2026-02-03T00:00:00Z  2026-02-04T00:00:00Z  gap',
      '2026-02-04T00:00:00Z  2026-02-05T00:00:00Z  delivered',
      '2026-02-05T00:00:00Z  2026-02-06T12:00:00Z  gap',
      '',
    ].join('\n'),
  ]);
  const json = await command('coverage', jobId, '--json', '--from', '2026-02-01', '--time-zone', 'Europe/Berlin');
  expect(JSON.parse(json.stdout)).toMatchObject({
    from: '2026-01-31T23:00:00Z',
    delivered: [{ from: '2026-02-01T00:00:00Z' }, { from: '2026-02-04T00:00:00Z' }],
  });
});
