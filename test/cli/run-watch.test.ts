import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGate } from '../support/faults.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { addRecords, createJob, multiplyRecords, runJob } from '../support/job-steps.ts';
import { runSluice, type SluiceProcess, startCommand } from '../support/sluice-process.ts';
import { runInTerminal } from '../support/terminal.ts';

/** One without a worker, whose part the test takes, and one with. */
let server: TestServer;
let working: TestServer;

beforeAll(async () => {
  [server, working] = await Promise.all([
    startTestServer({ env: { ROLE: 'api' } }),
    startTestServer({ env: { EXPORT_PART_BYTES: '2048' } }),
  ]);
});
afterAll(async () => {
  await Promise.all([server.stop(), working.stop()]);
});

const settingsOf = ({ url, key }: TestServer) => ({ SLUICE_URL: url, API_KEY: key });
const watch = (id: string): SluiceProcess => startCommand(['run', 'watch', id], settingsOf(server));
const shown = (process: SluiceProcess, words: string): Promise<string> =>
  eventually(
    async () => process.stdout,
    (all) => all.includes(words),
  );

describe('run watch', () => {
  test('prints one line per change to a pipe, and exits with 0 when the run succeeds', async () => {
    const run = await (await createSteppedJob(server)).run();
    const watching = watch(run.id);
    await shown(watching, 'QUEUED\n');
    await run.start();
    await shown(watching, 'RUNNING, 0 rows, 0 B\n');
    await run.succeed();
    expect(await watching.ended).toBe(0);
    expect(watching.stdout).toMatch(
      /^.+, \S+Z until \S+Z\nQUEUED\nRUNNING, 0 rows, 0 B\nSUCCEEDED in [\d.]+m?s: 7 rows, .+\n/,
    );
    expect(watching.stderr).toBe('');
  });

  test('continues with the current state when the server restarts', async () => {
    const first = await startTestServer({ env: { ROLE: 'api' } });
    const run = await (await createSteppedJob(first)).run();
    await run.start();
    const watching = startCommand(['run', 'watch', run.id], settingsOf(first));
    await shown(watching, 'RUNNING');
    await first.app.stop();
    await shown(watching, 'Connection lost. Reconnecting ...\n');
    await run.succeed();
    const again = await startTestServer({
      env: { ROLE: 'api', PORT: new URL(first.url).port, API_KEY: first.key },
      database: first.database,
      s3: first.s3,
    });
    try {
      expect(await watching.ended).toBe(0);
      expect(watching.stdout).toContain('SUCCEEDED');
    } finally {
      await again.stop();
      await first.stop();
    }
  });

  test('exits with 1 and prints the error when the run fails', async () => {
    await addRecords(working, 's', 'DAILY', [
      { timestamp: '2026-01-25T00:00:00Z', elementName: 'customer', value: '1' },
    ]);
    const jobId = await createJob(working, { jobName: 'denied', s3Url: 's3://exports/denied' });
    working.s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
    await runJob(working, jobId, '2026-01-28T02:00:00Z');
    const { code, stdout, stderr } = await runSluice('cli', ['run', 'watch', '--job', 'denied'], settingsOf(working));
    working.s3.setFault(() => undefined);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^denied, /);
    expect(stderr).toMatch(/^FAILED after 1 attempt: ACCESS_DENIED: .*PutObject/);
  });

  test('prints the warnings of the run to standard error', async () => {
    await addRecords(working, 's', 'DAILY', [
      { timestamp: '2026-01-25T00:00:00Z', elementName: 'customer', value: '1' },
    ]);
    const jobId = await createJob(working, { jobName: 'warned', groupBy: ['elements'] });
    await runJob(working, jobId, '2026-01-28T02:00:00Z');
    const { code, stderr } = await runSluice('cli', ['run', 'watch', '--job', 'warned'], settingsOf(working));
    expect([code, stderr]).toEqual([
      0,
      'Warning: None of the streams has the dimension "elements". Did you mean "element"?\n',
    ]);
  });

  test.runIf(process.platform === 'linux')(
    'draws a bar in a terminal from the rows of the last successful run, within the width of the terminal',
    async () => {
      await multiplyRecords(working, 's', 999);
      const jobId = await createJob(working, { jobName: 'bars', groupBy: ['element'] });
      await runJob(working, jobId, '2026-01-28T02:00:00Z');
      // The first parts wait until the bar was drawn several times, and the other parts until it has grown.
      const [isDrawn, hasGrown] = [createGate(), createGate()];
      const watchJob = () =>
        runInTerminal(['run', 'watch', '--job', 'bars'], {
          columns: 60,
          settings: settingsOf(working),
          onOutput: (all) => {
            if (all.split('bars  RUNNING').length > 3) isDrawn.open();
            if (all.includes('━━━')) hasGrown.open();
          },
        });
      await watchJob();
      let puts = 0;
      working.s3.setFault(() => {
        puts += 1;
        return { hold: puts < 20 ? isDrawn.opened : hasGrown.opened };
      });
      await runJob(working, jobId, '2026-01-28T02:00:00Z');
      const { code, stdout } = await watchJob();
      working.s3.setFault(() => undefined);
      expect(code).toBe(0);
      // oxlint-disable-next-line no-control-regex -- the colours and the erased line are what it takes out
      const states = stdout.split('\r\u001b[2K').map((text) => text.replaceAll(/\u001b\[\d+m/g, ''));
      const drawn = states.flatMap((text) => {
        const match = /^bars  RUNNING (━*)(─*) [\d,]+ rows?, [\d.]+ k?B  [\d.]+m?s$/.exec(text);
        return match ? [match.slice(1).map(({ length }) => length)] : [];
      });
      const bars = drawn.map(([full = 0]) => full);
      // The bar has the same width regardless of the text after it.
      expect(new Set(drawn.map(([full = 0, empty = 0]) => full + empty)).size).toBe(1);
      expect(bars.length).toBeGreaterThan(3);
      expect(bars).toEqual(bars.toSorted((a, b) => a - b));
      expect(bars.at(-1)).toBeGreaterThan(bars[0] ?? 0);
      for (const line of states.flatMap((text) => text.split('\n')))
        if (line.startsWith('bars  RUNNING')) expect(line.length).toBeLessThan(60);
      expect(states.at(-1)).toMatch(
        /^bars  SUCCEEDED  1,000 rows  [\d.]+ kB  [\d.]+m?s\nManifest: s3:\/\/exports\/here\/bars\/.*\.manifest\.json\n$/,
      );
    },
  );

  test('waits for the next run with --next', async () => {
    const job = await createSteppedJob(server);
    const { node } = await server.graphql<{ node: { jobName: string } }>(
      'query ($id: ID!) { node(id: $id) { ... on Job { jobName } } }',
      { id: job.id },
    );
    const watching = startCommand(['run', 'watch', '--job', node.jobName, '--next'], settingsOf(server));
    await watching.said('Waiting for a run; none is scheduled.');
    const run = await job.run();
    await shown(watching, 'QUEUED');
    await run.start();
    await run.succeed();
    expect(await watching.ended).toBe(0);
  });

  test('says until when a run waits for complete streams', async () => {
    const scheduledTimeInSeconds = Math.floor(Date.now() / 1000) + 10;
    await createJob(working, {
      jobName: 'waits',
      scheduledTimeInSeconds,
      enabled: true,
      completeWithin: 'ago(6h)',
      meterApiNames: ['never-declared'],
    });
    const watching = startCommand(['run', 'watch', '--job', 'waits', '--next'], settingsOf(working));
    await shown(watching, '\nQUEUED, waits for complete streams until ');
    const [, id = ''] =
      /"id":"([^"]+)"/.exec(
        (await runSluice('cli', ['run', 'list', '--job', 'waits', '--json'], settingsOf(working))).stdout,
      ) ?? [];
    expect(await runSluice('cli', ['run', 'cancel', id], settingsOf(working))).toMatchObject({ code: 0 });
    expect(await watching.ended).toBe(1);
    const until = new Date((scheduledTimeInSeconds + 6 * 3600) * 1000).toISOString().replace('.000Z', 'Z');
    expect(watching.stdout).toContain(`QUEUED, waits for complete streams until ${until}\n`);
  });

  test('says when the next attempt starts when an attempt failed', async () => {
    await addRecords(working, 's', 'DAILY', [
      { timestamp: '2026-01-25T00:00:00Z', elementName: 'customer', value: '1' },
    ]);
    const jobId = await createJob(working, { jobName: 'retried', s3Url: 's3://exports/retried' });
    let isBusy = true;
    working.s3.setFault(() => (isBusy ? { status: 503, code: 'SlowDown' } : undefined));
    const id = await runJob(working, jobId, '2026-01-28T02:00:00Z');
    const watching = startCommand(['run', 'watch', id], settingsOf(working));
    const starts = new Set<string | null>();
    await eventually(
      async () => {
        const { run } = await working.graphql<{ run: { nextAttemptAt: string | null } }>(
          'query ($id: ID!) { run(id: $id) { nextAttemptAt } }',
          { id },
        );
        starts.add(run.nextAttemptAt);
        return watching.stdout;
      },
      (all) => all.includes('next attempt at '),
    );
    isBusy = false;
    expect(await watching.ended).toBe(0);
    working.s3.setFault(() => undefined);
    const [, start = ''] =
      /\nAttempt \d failed and will be retried: .*\nQUEUED, next attempt at (\S+)\n/.exec(watching.stdout) ?? [];
    expect([...starts]).toContain(start);
  });

  test.runIf(process.platform === 'linux')(
    'draws when the next attempt starts, and not that the run waits for a worker, when an attempt failed',
    async () => {
      await addRecords(working, 's', 'DAILY', [
        { timestamp: '2026-01-25T00:00:00Z', elementName: 'customer', value: '1' },
      ]);
      const jobId = await createJob(working, { jobName: 'redrawn', s3Url: 's3://exports/redrawn' });
      let isBusy = true;
      working.s3.setFault(() => (isBusy ? { status: 503, code: 'SlowDown' } : undefined));
      await runJob(working, jobId, '2026-01-28T02:00:00Z');
      const { code, stdout } = await runInTerminal(['run', 'watch', '--job', 'redrawn'], {
        columns: 120,
        settings: settingsOf(working),
        onOutput: (all) => {
          if (all.includes('next attempt at')) isBusy = false;
        },
      });
      working.s3.setFault(() => undefined);
      expect(code).toBe(0);
      // oxlint-disable-next-line no-control-regex -- the colours and the erased line are what it takes out
      const states = stdout.split('\r\u001b[2K').map((text) => text.replaceAll(/\u001b\[\d+m/g, ''));
      expect(states).toContainEqual(expect.stringMatching(/^redrawn  QUEUED, next attempt at \S+Z ─+ $/));
    },
  );

  test('exits with 130 and prints how to watch the run again after Ctrl-C', async () => {
    const run = await (await createSteppedJob(server)).run();
    const watching = watch(run.id);
    await shown(watching, 'QUEUED');
    watching.interrupt();
    expect(await watching.ended).toBe(130);
    expect(watching.stderr).toContain(`The run continues. Watch it again: npm run -s sluice -- run watch ${run.id}\n`);
  });

  test('fails immediately when the run, the job or the server does not exist', async () => {
    const attempts: [args: string[], words: RegExp][] = [
      [['no-such-run'], /^Run no-such-run does not exist\./],
      [['--job', 'no such job'], /^Job "no such job" does not exist\.\n$/],
      [[], /^Specify a run: /],
      [['x', '--url', 'http://127.0.0.1:1'], /^The server at http:\/\/127\.0\.0\.1:1 cannot be reached /],
    ];
    const outcomes = await Promise.all(
      attempts.map(([args]) => runSluice('cli', ['run', 'watch', ...args], settingsOf(working))),
    );
    expect(outcomes.map(({ code }) => code)).toEqual([1, 1, 2, 1]);
    for (const [index, { stderr }] of outcomes.entries()) expect(stderr).toMatch(attempts[index]![1]);
  });
});
