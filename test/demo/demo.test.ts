import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addDays,
  CUSTOMERS,
  datesBetween,
  DEMO_CORRECTION,
  GENERATED_STREAMS,
  generateUsage,
} from '../../src/demo/generated-usage.ts';
import { processesBelow, until } from '../local/processes.ts';
import { eventually } from '../support/server.ts';
import { runSluice, startSluice } from '../support/sluice-process.ts';
import { runDemoInTerminal } from '../support/terminal.ts';

let dataDirectory = '';
beforeAll(async () => {
  dataDirectory = await realpath(await mkdtemp(join(tmpdir(), 'sluice demo-')));
  await chmod(dataDirectory, 0o711);
});
afterAll(async () => {
  await until('no process is left', async () => (await processesBelow(dataDirectory)).length === 0);
  await rm(dataDirectory, { recursive: true });
});

const runDemo = () => runSluice('demo', ['--exit'], { DATA_DIR: dataDirectory, PORT: '0' }, 140_000);

describe('demo', () => {
  test(
    'runs to the end, prints plain text to a pipe, and doubles nothing when it runs again',
    { timeout: 300_000 },
    async () => {
      const first = await runDemo();
      expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: '' });
      // No colours, no bars: nothing but text and line ends.
      expect(first.stdout).toMatch(/^[\n\x20-\x7e]+$/);
      expect(first.stdout).toMatch(/^ {2}sum +hooli +250,000,000 +inserted 1, hid 0 +live: hooli 250M$/m);
      expect(first.stdout).toMatch(
        /^ {2}replace +hooli +150,000,000 +inserted 1, hid 1 +live: hooli 150M, pied-piper 90M$/m,
      );
      expect(first.stdout).toMatch(/^ {2}delete +hooli +inserted 0, hid 1 +live: pied-piper 90M$/m);
      for (const { name } of GENERATED_STREAMS) {
        expect(first.stdout).toMatch(new RegExp(`^  ${name} +[\\d,]+ records of 90 days in [2-9] requests$`, 'm'));
      }
      expect(first.stdout).toMatch(/^ {2}export +SUCCEEDED 54,000 rows, \d\.\d+ MB$/m);

      const keyFile = join(dataDirectory, 'api-key');
      expect(first.stdout).toMatch(/\n\n {2}Console {3}http:\/\/127\.0\.0\.1:\d+\/\n$/);
      expect(first.stdout).toMatch(/^ {2}GraphiQL {2}http:\/\/127\.0\.0\.1:\d+\/graphql$/m);
      expect(first.stdout).toContain(`  Shell     KEY=$(cat '${keyFile}')\n`);
      expect(first.stdout).not.toContain((await readFile(keyFile, 'utf8')).trim());

      const file = /^ {2}File +'(.+\.csv)'$/m.exec(first.stdout)?.[1] ?? '';
      const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
      expect(lines).toHaveLength(54_001);
      expect(first.stdout).toContain(`  ${lines.slice(0, 5).join('\n  ')}\n  ... 53,996 more rows\n`);
      expect(sumOf(lines)).toBe(expectedSum(lines) + BigInt(DEMO_CORRECTION));
      expect(first.stdout).toMatch(/^ {2}replace {2}demo-api-calls, amber-analytics, \S+ {3}[\d,]+ -> [\d,]+$/m);
      expect(first.stdout).toMatch(/^ {2}delivery TOUCHED, revision 1$/m);
      expect(first.stdout).toMatch(/^ {2}Manifest {2}revision 2 supersedes revision 1$/m);
      expect(first.stdout).toContain('  Changes   1 row, demo-api-calls +1,000\n');
      expect(first.stdout.match(/^ {2}export +SUCCEEDED 54,000 rows/gm)).toHaveLength(2);

      const second = await runDemo();
      expect(second.code).toBe(0);
      expect(second.stdout.match(/sent before: stored receipt returned/g)).toHaveLength(5);
      expect(second.stdout).toMatch(/^ {2}Manifest {2}revision 4 supersedes revision 3$/m);
      expect(second.stdout.match(/nothing to send: all days are stored from an earlier demo/g)).toHaveLength(3);
      expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toEqual(lines);
    },
  );

  test.runIf(process.platform === 'linux')('prints a link with the API key when the output is a terminal', async () => {
    const { code, stdout } = await runDemoInTerminal({
      columns: 300,
      settings: { DATA_DIR: dataDirectory, PORT: '0', NO_COLOR: '1' },
    });
    expect(code).toBe(0);
    const key = (await readFile(join(dataDirectory, 'api-key'), 'utf8')).trim();
    expect(stdout).toMatch(new RegExp(`\n\n  Console   http://127\\.0\\.0\\.1:\\d+/#key=${key}\n$`));
    expect(stdout.split(key)).toHaveLength(2);
  });

  test('stops after Ctrl-C and exits with 0', async () => {
    const demo = startSluice({ DATA_DIR: dataDirectory, PORT: '0' }, 'demo');
    await eventually(
      () => Promise.resolve(demo.stdout),
      (words) => words.includes('Server: http'),
    );
    demo.interrupt();
    expect(await demo.ended).toBe(0);
    expect(demo.stdout).toMatch(/\n {2}Stopping the server, the S3 and PostgreSQL \.\.\.\n/);
    expect(demo.stderr).toBe('');
  });

  test('generates the same usage each time, with every customer on each date', () => {
    const [stream] = GENERATED_STREAMS;
    const records = generateUsage(stream!, '2026-11-21');
    expect(generateUsage(stream!, '2026-11-21')).toEqual(records);
    expect(new Set(records.map((record) => record.elementName))).toEqual(new Set(CUSTOMERS));
    expect(new Set(CUSTOMERS).size).toBe(200);
    expect(generateUsage(stream!, '2026-11-20')).not.toEqual(records);
  });
});

const sumOf = (lines: readonly string[]): bigint =>
  lines
    .filter((line) => line.startsWith('demo-api-calls,'))
    .reduce((sum, line) => sum + BigInt(line.split(',').at(-1) ?? ''), 0n);

/** Returns the sum of the records in the window of the file. */
const expectedSum = (lines: readonly string[]): bigint => {
  const [stream] = GENERATED_STREAMS;
  const from = lines[1]?.split(',')[1]?.slice(0, 10) ?? '';
  return datesBetween(from, addDays(from, 90))
    .flatMap((date) => generateUsage(stream!, date))
    .reduce((sum, record) => sum + BigInt(record.value), 0n);
};
