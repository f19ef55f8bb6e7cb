import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endedBackfill } from '../backfills/steps.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import { createJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer();
  faults = createFaults(server.s3);
  await createJob(server, { jobName: 'Daily', s3Url: 'exports/daily', range: 'ago(1d)', cron: '0 1 * * *' });
});
afterAll(() => server.stop());

function command(...args: string[]) {
  return runSluice('cli', ['backfill', ...args], { SLUICE_URL: server.url, API_KEY: server.key });
}

const idIn = (stdout: string): string => /^Backfill: +(\S+)$/m.exec(stdout)?.[1] ?? '';

describe('backfill', () => {
  test('is previewed, created and followed until it ends, and listed', async () => {
    const span = ['Daily', '--from', '2025-02-01', '--to', '2025-02-04'];
    const preview = await command('preview', ...span);
    expect([preview.code, preview.stderr]).toEqual([0, '']);
    expect(preview.stdout).toMatch(/^Windows: +3: 3 missing, 0 stale, 0 current\nOutput: +unknown/);
    expect(preview.stdout).toMatch(/^2025-02-01T00:00:00Z +2025-02-02T00:00:00Z +MISSING +daily\/daily\/_20250201T/m);
    const created = await command('create', ...span, '--watch');
    expect(created.code).toBe(0);
    expect(created.stdout).toMatch(/^Status: +SUCCEEDED$/m);
    expect(created.stdout).toMatch(/^Windows: +3: 3 delivered, 0 skipped, 0 failed$/m);
    const listed = await command('list', '--job', 'Daily');
    expect(listed.stdout).toMatch(
      /^JOB +FROM +TO +STATUS +WINDOWS +FAILED +ID\nDaily +2025-02-01T00:00:00Z +2025-02-04T00:00:00Z +SUCCEEDED +3 of 3 +0 +\S+\n$/,
    );
    expect(listed.stdout).toContain(idIn(created.stdout));
    expect((await command('cancel', idIn(created.stdout))).stderr).toContain(
      'The backfill has already ended with the status SUCCEEDED.',
    );
  });

  test('is paused, resumed, shown, retried and canceled', async () => {
    faults.on('daily/', () => ({ status: 403, code: 'AccessDenied' }));
    const span = ['Daily', '--from', '2025-03-01', '--to', '2025-03-11', '--order', 'newest-first'];
    const created = await command('create', ...span, '--reprocess', 'all', '--watch');
    expect(created.code).toBe(1);
    expect(created.stdout).toMatch(/^Status: +PAUSED$/m);
    expect(created.stdout).toMatch(/^Error: +ACCESS_DENIED: /m);
    faults.clear('daily/');
    const id = idIn(created.stdout);
    expect((await command('pause', id)).code).toBe(0);
    const { stdout } = await command('retry', id, '--watch', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ id, status: 'SUCCEEDED', delivered: 10, failed: 0 });
    expect((await command('show', id)).stdout).toMatch(/^Span: +2025-03-01T00:00:00Z to 2025-03-11T00:00:00Z$/m);
    faults.on('daily/', () => ({ status: 403, code: 'AccessDenied' }));
    const next = idIn((await command('create', 'Daily', '--from', '2025-04-01', '--to', '2025-05-01')).stdout);
    expect((await command('cancel', next)).stdout).toMatch(/^Status: +CANCELED$/m);
    expect(await endedBackfill(server, next)).toMatchObject({ status: 'CANCELED' });
    faults.clear('daily/');
  });

  test('is listed up to --limit, and not for another account', async () => {
    for (const month of ['05', '06', '07']) {
      const { stdout } = await command(
        'create',
        'Daily',
        '--from',
        `2025-${month}-01`,
        '--to',
        `2025-${month}-03`,
        '--watch',
        '--json',
      );
      expect(JSON.parse(stdout)).toMatchObject({ status: 'SUCCEEDED', windows: 2 });
    }
    const { stdout, stderr } = await command('list', '--json', '--limit', '2');
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { from: string }).from),
    ).toEqual(['2025-07-01T00:00:00Z', '2025-06-01T00:00:00Z']);
    expect(stderr).toBe('There are more than 2 backfills. List more with --limit.\n');
    const env = { SLUICE_URL: server.url, API_KEY: await server.createKey('other', ['ADMIN']) };
    expect(await runSluice('cli', ['backfill', 'list'], env)).toEqual({
      code: 0,
      stdout: '',
      stderr: 'No backfills found.\n',
    });
  });

  test('is refused for a span without windows and an unknown id', async () => {
    const none = await command('create', 'Daily', '--from', '2025-02-01', '--to', '2025-02-01T06:00:00Z');
    expect([none.code, none.stderr]).toEqual([
      1,
      '--to: No window that has ended lies in the span. The nearest are 2025-01-31T00:00:00Z to 2025-02-01T00:00:00Z and 2025-02-01T00:00:00Z to 2025-02-02T00:00:00Z.\n',
    ]);
    const reversed = await command('create', 'Daily', '--from', '2025-02-02', '--to', '2025-02-01');
    expect([reversed.code, reversed.stderr]).toEqual([2, '--to must be after --from.\n']);
    expect((await command('show', 'nothing')).stderr).toBe('Backfill nothing does not exist.\n');
  });

  test.each(['create', 'preview'])('names the option of each issue when %s has several', async (name) => {
    expect(await command(name, 'Daily', '--from', '1800-01-01', '--to', '1800-01-02')).toEqual({
      code: 1,
      stdout: '',
      stderr: '--from: Must not be before 1900.\n--to: Must not be before 1900.\n',
    });
  });
});
