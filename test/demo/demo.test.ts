import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addDays, CUSTOMERS, datesBetween, MADE_UP_STREAMS, usageOn } from '../../src/demo/generated-usage.ts';
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

const runDemo = () => runSluice('demo', ['--exit'], { DATA_DIR: dataDirectory, PORT: '0' });

describe('the demo', () => {
  test(
    'shows the main job to the end, plain where nobody looks at it, and doubles nothing the second time',
    { timeout: 150_000 },
    async () => {
      const first = await runDemo();
      expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: '' });
      // No colours, no bars: nothing but text and line ends.
      expect(first.stdout).toMatch(/^[\n\x20-\x7e]+$/);
      expect(first.stdout).toMatch(/^ {2}sum +hooli +250,000,000 +inserted 1, hid 0 +live now: hooli 250M$/m);
      expect(first.stdout).toMatch(
        /^ {2}replace +hooli +150,000,000 +inserted 1, hid 1 +live now: hooli 150M, pied-piper 90M$/m,
      );
      expect(first.stdout).toMatch(/^ {2}delete +hooli +inserted 0, hid 1 +live now: pied-piper 90M$/m);
      for (const { name } of MADE_UP_STREAMS) {
        expect(first.stdout).toMatch(new RegExp(`^  ${name} +[\\d,]+ records of 90 days in [2-9] requests$`, 'm'));
      }
      expect(first.stdout).toMatch(/^ {2}export +SUCCEEDED 54,000 rows, \d\.\d MB$/m);

      const keyFile = join(dataDirectory, 'api-key');
      expect(first.stdout).toMatch(/^ {2}GraphiQL {2}http:\/\/127\.0\.0\.1:\d+\/graphql \(/m);
      expect(first.stdout).toContain(`  Shell     KEY=$(cat '${keyFile}')\n`);
      expect(first.stdout).not.toContain((await readFile(keyFile, 'utf8')).trim());

      const file = /^ {2}File +'(.+\.csv)'$/m.exec(first.stdout)?.[1] ?? '';
      const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
      expect(lines).toHaveLength(54_001);
      expect(first.stdout).toContain(`  ${lines.slice(0, 5).join('\n  ')}\n  ... 53,996 more rows\n`);
      expect(sumOf(lines)).toBe(expectedSum(lines));

      const second = await runDemo();
      expect(second.code).toBe(0);
      expect(second.stdout.match(/sent before: the stored receipt/g)).toHaveLength(4);
      expect(second.stdout.match(/nothing to send: all days are there from an earlier run/g)).toHaveLength(3);
      expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toEqual(lines);
    },
  );

  test.runIf(process.platform === 'linux')('prints a link with the key when a terminal shows it', async () => {
    const { code, stdout } = await runDemoInTerminal({
      columns: 300,
      settings: { DATA_DIR: dataDirectory, PORT: '0', NO_COLOR: '1' },
    });
    expect(code).toBe(0);
    const key = (await readFile(join(dataDirectory, 'api-key'), 'utf8')).trim();
    expect(stdout).toMatch(new RegExp(`^  GraphiQL  http://127\\.0\\.0\\.1:\\d+/graphql#key=${key} `, 'm'));
    expect(stdout.split(key)).toHaveLength(2);
  });

  test('Ctrl-C is answered, and it ends with 0', async () => {
    const demo = startSluice({ DATA_DIR: dataDirectory, PORT: '0' }, 'demo');
    await eventually(
      () => Promise.resolve(demo.stdout),
      (words) => words.includes('It answers at'),
    );
    demo.interrupt();
    expect(await demo.ended).toBe(0);
    expect(demo.stdout).toMatch(/\n {2}Stopping: the server ends its work, then the S3 and PostgreSQL \.\.\.\n/);
    expect(demo.stderr).toBe('');
  });

  test('its usage is the same each time, and each date has every customer', () => {
    const [stream] = MADE_UP_STREAMS;
    const records = usageOn(stream!, '2026-11-21');
    expect(usageOn(stream!, '2026-11-21')).toEqual(records);
    expect(new Set(records.map((record) => record.elementName))).toEqual(new Set(CUSTOMERS));
    expect(new Set(CUSTOMERS).size).toBe(200);
    expect(usageOn(stream!, '2026-11-20')).not.toEqual(records);
  });
});

const sumOf = (lines: readonly string[]): bigint =>
  lines
    .filter((line) => line.startsWith('demo-api-calls,'))
    .reduce((sum, line) => sum + BigInt(line.split(',').at(-1) ?? ''), 0n);

/** What the records of the window in the file add up to. */
const expectedSum = (lines: readonly string[]): bigint => {
  const [stream] = MADE_UP_STREAMS;
  const from = lines[1]?.split(',')[1]?.slice(0, 10) ?? '';
  return datesBetween(from, addDays(from, 90))
    .flatMap((date) => usageOn(stream!, date))
    .reduce((sum, record) => sum + BigInt(record.value), 0n);
};
