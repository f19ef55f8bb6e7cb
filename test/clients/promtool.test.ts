import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { startTestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';
import { findProgram } from './debian-program.ts';

// Prometheus' own checks of the metrics of a server and of the alert rules.

const promtool = await findProgram('promtool');

/** Runs promtool with a text on standard input. Returns its output and exit code. */
const run = async (args: readonly string[], input: string): Promise<{ code: number | null; said: string }> => {
  const child = execFile(promtool ?? '', args);
  child.stdin?.end(input);
  const [out, errors, [code]] = await Promise.all([
    child.stdout ? text(child.stdout) : '',
    child.stderr ? text(child.stderr) : '',
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { code, said: out + errors };
};

test.skipIf(promtool === null)('promtool check metrics > accepts the metrics of a server', async () => {
  const server = await startTestServer();
  try {
    const exposition = await (await fetch(`${server.url}/metrics`)).text();
    expect(await run(['check', 'metrics'], exposition)).toEqual({ code: 0, said: '' });
  } finally {
    await server.stop();
  }
});

test.skipIf(promtool === null)('promtool check rules > accepts the alert rules', async () => {
  const { code, said } = await run(['check', 'rules', join(ROOT, 'deploy/prometheus/alerts.yaml')], '');
  expect([code, said]).toEqual([0, expect.stringContaining('SUCCESS')]);
});
