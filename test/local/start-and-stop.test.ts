import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createFaults, createGate } from '../support/faults.ts';
import { addRecords, createJob, filterOf, readRun, runJob, runThat } from '../support/job-steps.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { runSluice, type SluiceProcess, startSluice } from '../support/sluice-process.ts';
import { startInTerminal } from '../support/terminal.ts';

let server: TestServer;
beforeAll(async () => {
  // Serves the requests of the tests. The processes that the tests stop execute the runs.
  server = await startTestServer({ env: { ROLE: 'api' } });
  await addRecords(server, 'usage', 'DAILY', [
    { timestamp: '2026-01-25T00:00:00Z', filter: filterOf({ region: 'eu' }), elementName: 'hooli', value: '1' },
  ]);
});
afterAll(() => server.stop());

const workerSettings = () => ({
  DATABASE_URL: server.database.url,
  PORT: '0',
  ROLE: 'worker',
  LOG_FORMAT: 'json',
  AWS_REGION: server.s3.region,
  AWS_ENDPOINT_URL_S3: server.s3.endpoint,
  S3_FORCE_PATH_STYLE: 'true',
  AWS_ACCESS_KEY_ID: server.s3.credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: server.s3.credentials.secretAccessKey,
});

describe('failed start', () => {
  test('prints one message with the name of every invalid setting and without the values', async () => {
    const { code, stdout, stderr } = await runSluice('main', [], {
      DATABASE_URL: 'mysql://user:hidden-word@db/sluice',
      PORT: 'hidden-word',
      ROLE: 'everything',
      CORS_ORIGINS: 'https://hidden-word.example/path',
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const [head, ...lines] = stderr.trimEnd().split('\n');
    expect(head).toBe('Sluice cannot start: 4 settings are wrong.');
    expect(lines.map((line) => /^ {2}([A-Z_]+) must be /.exec(line)?.[1])).toEqual([
      'DATABASE_URL',
      'ROLE',
      'PORT',
      'CORS_ORIGINS',
    ]);
    expect(stderr).not.toContain('hidden-word');
  });

  test('rejects an empty DATABASE_URL instead of using local mode, and accepts other empty settings', async () => {
    const [start, doctor] = await Promise.all([
      runSluice('main', [], { DATABASE_URL: '', DATA_DIR: '/dev/null/data', PORT: '', SMTP_URL: '' }),
      runSluice('cli', ['doctor'], { DATABASE_URL: '', DATA_DIR: '/dev/null/data' }),
    ]);
    const words = 'DATABASE_URL is set but empty. Unset it to use local mode';
    expect(start).toEqual({ code: 1, stdout: '', stderr: `Sluice cannot start: a setting is wrong.\n  ${words}\n` });
    expect(doctor.code).toBe(1);
    expect(doctor.stdout.split('\n').slice(0, 2)).toEqual([
      `settings    broken   ${words}`,
      'database    skipped  DATABASE_URL is not valid',
    ]);
  });

  test('prints one line when the port is in use or the database cannot be reached', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const [onTaken, away] = await Promise.all([
      runSluice('main', [], { DATABASE_URL: server.database.url, PORT: String(port), LOG_LEVEL: 'warn' }),
      runSluice('main', [], { DATABASE_URL: 'postgres://u:hidden-word@127.0.0.1:9/none' }),
    ]);
    taken.close();
    expect(onTaken).toEqual({
      code: 1,
      stdout: '',
      stderr: `Port ${port} of 127.0.0.1 is in use by another program. Stop that program, or set PORT.\n`,
    });
    expect(away).toEqual({
      code: 1,
      stdout: '',
      stderr: 'The database none on 127.0.0.1:9 cannot be reached (ECONNREFUSED). Is DATABASE_URL right?\n',
    });
  });
});

describe('log of a start', () => {
  test('contains the database, the role and the applied migrations, and a warning when the key in API_KEY was revoked', async () => {
    type Answer = { createApiKey: { secret: string; key: { id: string } } };
    const { createApiKey } = await server.graphql<Answer>(
      'mutation { createApiKey(input: { name: "old", scopes: [READ] }) { ... on NewApiKey { secret key { id } } } }',
    );
    const settings = { DATABASE_URL: server.database.url, PORT: '0', ROLE: 'api', LOG_FORMAT: 'json' };
    const start = async (): Promise<string> => {
      const started = startSluice({ ...settings, API_KEY: createApiKey.secret });
      const words = await started.said('server started');
      started.kill('SIGTERM');
      await started.ended;
      return words;
    };
    const warning = 'the key in API_KEY was revoked; set another one';
    const valid = await start();
    expect(valid).not.toContain(warning);
    const { hostname, port, pathname, password } = new URL(server.database.url);
    const lines = valid
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toEqual([
      expect.objectContaining({
        msg: 'the database is up to date',
        database: { host: hostname, port: Number(port), database: pathname.slice(1) },
        migrationsApplied: 0,
      }),
      expect.objectContaining({
        msg: 'server started',
        role: 'api',
        s3: { region: 'us-east-1', acl: 'bucket-owner-full-control', checksum: 'sha256' },
      }),
    ]);
    if (password !== '') expect(valid).not.toContain(password);

    await server.graphql(`mutation { revokeApiKey(id: "${createApiKey.key.id}") { __typename } }`);
    expect(await start()).toContain(warning);
  });

  test('contains the commands that create the first key when the database has none', async () => {
    const database = await createTestDatabase();
    const settings = { DATABASE_URL: database.url, PORT: '0', ROLE: 'api', LOG_FORMAT: 'json' };
    const said = async (words: string): Promise<string> => {
      const started = startSluice(settings);
      const all = await started.said('server started');
      started.kill('SIGTERM');
      await started.ended;
      return all.split('\n').find((line) => line.includes(words)) ?? '';
    };
    try {
      const commands = [
        ['account', 'create', 'default'],
        ['key', 'create', '--account', 'default', '--scopes', 'ADMIN'],
      ];
      const line = `no valid API key exists, so every request is rejected. Create the first one with \`${commands
        .map((words) => `npm run -s sluice -- ${words.join(' ')}`)
        .join(' && ')}\`, or start with API_KEY`;
      expect(await said('no valid API key')).toContain(line);
      const doctor = () => runSluice('cli', ['doctor'], settings);
      expect((await doctor()).stdout).toContain(`keys        warn     ${line}\n`);
      for (const words of commands) expect(await runSluice('cli', words, settings)).toMatchObject({ code: 0 });
      expect((await doctor()).stdout).toContain('keys        ok       at least one valid API key exists\n');
      expect(await said('no valid API key')).toBe('');
    } finally {
      await database.drop();
    }
  });
});

describe('log format', () => {
  const isJson = (line: string): boolean => /^\{"level":\d+,"time":"[^"]+",.*"msg":"[^"]+".*\}$/.test(line);
  const isPretty = (line: string): boolean => /^\[\d\d:\d\d:\d\d\] INFO: server started/.test(line);
  const settings = (format?: string) => ({
    DATABASE_URL: server.database.url,
    PORT: '0',
    ROLE: 'api',
    ...(format && { LOG_FORMAT: format }),
  });
  const inTerminal = async (format?: string): Promise<string[]> => {
    // Sent once, because a second Ctrl-C would end the process immediately.
    let isTyped = false;
    const { code, stdout } = await startInTerminal({
      columns: 300,
      settings: { ...settings(format), NO_COLOR: '1' },
      onOutput: (all, type) => {
        if (isTyped || !/server started[^\n]*\n/.test(all)) return;
        isTyped = true;
        type('\u0003');
      },
    });
    expect(code).toBe(0);
    return stripVTControlCharacters(stdout).split('\n');
  };
  const piped = async (format?: string): Promise<string[]> => {
    const started = startSluice(settings(format));
    await started.said('server started');
    started.kill('SIGTERM');
    await started.ended;
    return stripVTControlCharacters(started.stderr).trimEnd().split('\n');
  };

  test.runIf(process.platform === 'linux')('is pretty in a terminal unless LOG_FORMAT is json', async () => {
    const shown = await inTerminal();
    expect(shown.filter(isPretty)).toHaveLength(1);
    expect(shown.filter(isJson)).toEqual([]);
    const asked = await inTerminal('json');
    expect(asked.filter((line) => isJson(line) && line.includes('"server started"'))).toHaveLength(1);
    expect(asked.filter(isPretty)).toEqual([]);
  });

  test('is JSON in every line of a pipe unless LOG_FORMAT is pretty', async () => {
    const lines = await piped();
    expect(lines.filter((line) => !isJson(line))).toEqual([]);
    expect(lines.filter((line) => line.includes('"server started"'))).toHaveLength(1);
    expect((await piped('pretty')).filter(isPretty)).toHaveLength(1);
  });
});

describe('worker with a running export', () => {
  const running: SluiceProcess[] = [];
  // Ends processes that a failed test left behind.
  afterEach(async () => {
    for (const one of running.splice(0)) await one.destroy();
  });

  /** Starts a worker whose export waits for S3 until `open` is called. */
  const startExporting = async (folder: string, settings: Record<string, string> = {}) => {
    const faults = createFaults(server.s3);
    const gate = createGate();
    let asked = 0;
    faults.on(folder, () => {
      asked += 1;
      return { hold: gate.opened };
    });
    const worker = startSluice({ ...workerSettings(), ...settings });
    running.push(worker);
    await worker.said('server started');
    const jobId = await createJob(server, { s3Url: `s3://exports/${folder}`, range: 'ago(40d)' });
    const runId = await runJob(server, jobId, '2026-01-28T00:00:00Z');
    await eventually(
      () => Promise.resolve(asked),
      (count) => count > 0,
    );
    return { worker, runId, open: () => gate.open() };
  };

  test('completes the export after SIGTERM and exits with 0', async () => {
    const { worker, runId, open } = await startExporting('grace');
    worker.kill('SIGTERM');
    await worker.said('stopping; running exports have 30 s to end');
    expect((await readRun(server, runId)).status).toBe('RUNNING');
    open();
    expect(await worker.ended).toBe(0);
    expect((await readRun(server, runId)).status).toBe('SUCCEEDED');
  });

  test('hands over the run after SHUTDOWN_GRACE_SECONDS and exits with 0', async () => {
    const { worker, runId, open } = await startExporting('handed-over', { SHUTDOWN_GRACE_SECONDS: '0' });
    worker.kill('SIGTERM');
    expect(await worker.ended).toBe(0);
    const run = await runThat(server, runId, ({ status }) => status === 'QUEUED');
    expect(run).toMatchObject({ status: 'QUEUED', error: null });
    open();
  });

  test('counts a Ctrl-C that arrives twice as one, and exits immediately after another one', async () => {
    const { worker, open } = await startExporting('impatient');
    worker.interrupt();
    worker.interrupt();
    await worker.said('a second signal ends them immediately');
    const stoppingSince = performance.now();
    await eventually(
      () => delay(50),
      () => performance.now() - stoppingSince > 1100,
    );
    worker.interrupt();
    expect(await worker.ended).toBe(130);
    open();
  });
});
