import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { bucketPolicy } from '../../src/exports/bucket-policy.ts';
import { RUN_STATUSES, TRANSITIONS } from '../../src/runs/run-status.ts';
import { eventually } from '../support/server.ts';

const root = new URL('../../', import.meta.url).pathname;
const readme = await readFile(join(root, 'README.md'), 'utf8');

/** The blocks of one language below the heading. */
const blocksBelow = (heading: string, language: string): string[] => {
  const section = readme.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1] ?? '');
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
    const [session] = blocksBelow('Ten lines with curl', 'sh');
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
      const { stdout } = await promisify(execFile)('bash', ['-c', session ?? 'false'], { env });
      const lines = stdout.trim().split('\n');
      expect(lines.slice(0, 2)).toEqual([
        '{"data":{"allocationSum":{"__typename":"AllocationReceipt"}}}',
        '{"data":{"createJob":{"__typename":"Job"}}}',
      ]);
      expect(lines[2]).toBe('meterApiName,bucketStart,bucketEnd,region,element,value');
      expect(lines[3]).toMatch(
        /^api-calls,\d{4}-\d\d-\d\dT00:00:00Z,\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ,eu,hooli,1200\.5$/,
      );
      expect(lines).toHaveLength(4);
    } finally {
      server.kill('SIGTERM');
      if (server.exitCode === null) await once(server, 'exit');
      await rm(dataDir, { recursive: true, force: true });
    }
  },
);

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
  const drawn = [...(diagram ?? '').matchAll(/^\s+([A-Z]+) --> ([A-Z]+)/gm)].map((match) => `${match[1]} ${match[2]}`);
  const possible = RUN_STATUSES.flatMap((from) =>
    Object.values(TRANSITIONS[from]).flatMap((to) => (to === null ? [] : [`${from} ${to}`])),
  );
  expect(new Set(drawn)).toEqual(new Set(possible));
  expect(drawn.length).toBeGreaterThan(5);
});
