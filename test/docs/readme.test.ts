import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { bucketPolicy } from '../../src/exports/bucket-policy.ts';
import { eventually } from '../support/server.ts';
import { arrowsOf, POSSIBLE_ARROWS } from './run-arrows.ts';

const root = new URL('../../', import.meta.url).pathname;
const readme = await readFile(join(root, 'README.md'), 'utf8');

/** The blocks of one language below the heading. */
const blocksBelow = (heading: string, language: string): string[] => {
  const section = readme.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1] ?? '');
};

const runIn = (cwd: string, script: string, env: NodeJS.ProcessEnv) =>
  promisify(execFile)('bash', ['-c', script], { cwd, env }).catch(
    (error: Error & { stdout: string; stderr: string }) => error,
  );

const addUsage = async (port: number, key: string): Promise<void> => {
  const record = `{ timestamp: "${new Date().toISOString()}", granularity: DAILY, elementName: "acme", value: 7 }`;
  const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key },
    body: JSON.stringify({
      query: `mutation { allocationSum(input: { stream: "of-others", records: [${record}] }) { __typename } }`,
    }),
  });
  expect(await response.json()).toEqual({ data: { allocationSum: { __typename: 'AllocationReceipt' } } });
};

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
};

test(
  'the ten lines with curl, as they stand in the README, end with the file on disk',
  { timeout: 60_000 },
  async () => {
    const [session = 'false'] = blocksBelow('Ten lines with curl', 'sh');
    expect(
      session
        .trim()
        .split('\n')
        .filter((line) => line !== '').length,
    ).toBeLessThanOrEqual(10);
    const dataDir = await mkdtemp(join(tmpdir(), 'sluice-readme-'));
    // Closed to other accounts, PostgreSQL started by root would lie elsewhere, and stay there.
    await chmod(dataDir, 0o711);
    const port = await freePort();
    const env = { ...process.env, DATA_DIR: dataDir, PORT: String(port), LOG_LEVEL: 'silent' };
    delete (env as Record<string, string | undefined>)['DATABASE_URL'];
    const server = spawn(process.execPath, [join(root, 'src/main.ts')], { env, stdio: 'ignore' });
    try {
      await eventually(
        () =>
          fetch(`http://127.0.0.1:${port}/readyz`).then(
            (answer) => answer.ok,
            () => false,
          ),
        (ready) => ready,
        30_000,
      );
      // Usage of another stream, such as the demo's, is none of theirs.
      await addUsage(port, (await readFile(join(dataDir, 'api-key'), 'utf8')).trim());
      const linesOf = async () => (await runIn(root, session, env)).stdout.trim().split('\n');
      for (const value of ['1200.5', '2401']) {
        const lines = await linesOf();
        expect(lines.slice(0, 2)).toEqual([
          '{"data":{"allocationSum":{"__typename":"AllocationReceipt"}}}',
          '{"data":{"createJob":{"__typename":"Job"}}}',
        ]);
        expect(lines[2]).toBe('meterApiName,bucketStart,bucketEnd,region,element,value');
        expect(lines[3]).toMatch(
          /^api-calls,\d{4}-\d\d-\d\dT00:00:00Z,\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ,eu,hooli,[\d.]+$/,
        );
        expect(lines[3]?.split(',').at(-1)).toBe(value);
        expect(lines).toHaveLength(4);
      }
      // Of two jobs of one name the second is refused in words.
      const sameName = `date() { case "$2" in *T%TZ) command date "$@";; *) echo again;; esac; }\n${session}`;
      expect((await runIn(root, sameName, env)).stdout).toContain('{"createJob":{"__typename":"Job"}}');
      expect((await runIn(root, sameName, env)).stdout).toContain('"code":"CONFLICT","message":"There is a job ');

      // In another directory they end too, and say what is not there.
      const { DATA_DIR: _, ...elsewhere } = env;
      const lost = await runIn(
        (await mkdir(join(dataDir, 'elsewhere'), { recursive: true })) ?? '',
        `sleep() { :; }\n${session}`,
        elsewhere,
      );
      expect(lost.stdout).toContain('UNAUTHENTICATED');
      expect(lost.stderr).toMatch(/\.sluice\/api-key.*\n[\s\S]*\.sluice\/s3\/customer-bucket\/usage\/usage-/);
    } finally {
      server.kill('SIGTERM');
      if (server.exitCode === null) await once(server, 'exit');
      await rm(dataDir, { recursive: true, force: true });
    }
  },
);

test('the key of the lines for production is kept and shown, and the same at each start', async () => {
  const [block = ''] = blocksBelow('In production', 'sh');
  const lines = block.trim().split('\n');
  expect(lines.at(-1)).toMatch(/^DATABASE_URL=\S+ AWS_REGION=\S+ npm start$/);
  const bin = 'npm() { printenv API_KEY; }';
  const { stdout } = await runIn(root, `${bin}\n${block}\n${lines.at(-1)}`, process.env);
  const [shown, ...started] = stdout.trim().split('\n');
  expect(shown).toMatch(/^[0-9a-f]{48}$/);
  expect(started).toEqual([shown, shown]);
});

test('every command of the operator stands in the README, as it can be typed', () => {
  const plain = { isTerminal: false, columns: null, paint: (_: unknown, text: string) => text };
  const program = createProgram({
    env: {},
    terminal: { answer: () => {}, say: () => {}, answers: plain },
    log: { debug: () => {}, warn: () => {}, error: () => {} },
    onBroken: () => {},
    onInterrupted: () => {},
  });
  const typed = program.commands.flatMap((command) =>
    (command.commands.length === 0 ? [''] : command.commands.map((sub) => ` ${sub.name()}`)).map(
      (sub) => `npm run -s sluice -- ${command.name()}${sub}`,
    ),
  );
  const shown = blocksBelow('In production', 'sh').join('').split('\n');
  expect(typed.filter((command) => !shown.some((line) => line.startsWith(command)))).toEqual([]);
  expect(typed).toHaveLength(14);
  expect(readme).not.toContain('npm run sluice');
});

test('the bucket policy in the README is the one that the API gives', () => {
  const [policy] = blocksBelow('The bucket policy', 'json');
  expect(JSON.parse(policy ?? '')).toEqual(
    JSON.parse(
      bucketPolicy({
        bucket: 'customer-bucket',
        path: 'usage',
        principalArn: 'arn:aws:iam::123456789012:role/sluice',
      }),
    ),
  );
});

test('the arrows in the README are those of the table of transitions', () => {
  const [diagram] = blocksBelow('The life of a run', 'mermaid');
  expect(arrowsOf(diagram ?? '')).toEqual(POSSIBLE_ARROWS);
  expect(POSSIBLE_ARROWS.size).toBeGreaterThan(5);
});
