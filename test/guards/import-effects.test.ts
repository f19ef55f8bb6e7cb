import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { readSourceFiles, ROOT } from '../support/source-files.ts';

const ENTRY_POINTS = ['src/main.ts', 'src/cli.ts', 'src/demo.ts', 'src/graphql/schema/print-schema.ts'];
const DEADLINE_MS = 110_000;

interface Report {
  readonly path: string;
  readonly left: readonly string[];
}

test('importing a module writes no output and leaves nothing running, so that the process exits', async () => {
  const files = await readSourceFiles('src');
  const modules = files
    .map(({ path }) => path)
    .filter((path) => !ENTRY_POINTS.includes(path) && !path.endsWith('.d.ts'));

  // One process imports all of them: most of the time is spent loading the packages, which they share.
  const probe = spawn(
    process.execPath,
    ['--permission', '--allow-fs-read=*', join(ROOT, 'test/support/import-probe.ts'), ...modules],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] } },
  );
  const impatience = setTimeout(() => probe.kill('SIGKILL'), DEADLINE_MS);
  const [stdout, stderr, reported, [code, signal]] = await Promise.all([
    text(probe.stdio[1] as Readable),
    text(probe.stdio[2] as Readable),
    text(probe.stdio[3] as Readable),
    once(probe, 'close'),
  ]);
  clearTimeout(impatience);

  const reports = reported
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Report);
  expect({ left: reports.filter(({ left }) => left.length > 0), stdout, stderr, code, signal }).toEqual({
    left: [],
    stdout: '',
    stderr: '',
    code: 0,
    signal: null,
  });
  expect(reports.map(({ path }) => path)).toEqual(modules);
  expect(modules.length).toBeGreaterThan(30);
});
