import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from '../support/source-files.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sluice-reports-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** A report in Vitest's format with the tests of one file. */
const reportOf = (tests: Readonly<Record<string, 'passed' | 'failed' | 'skipped'>>) => ({
  numPassedTests: Object.values(tests).filter((status) => status === 'passed').length,
  testResults: [
    {
      name: join(ROOT, 'test/some.test.ts'),
      status: Object.values(tests).includes('failed') ? 'failed' : 'passed',
      assertionResults: Object.entries(tests).map(([fullName, status]) => ({
        fullName,
        status,
        failureMessages: status === 'failed' ? [`Error: ${fullName} is wrong\n    at some.test.ts:1:1`] : [],
      })),
    },
  ],
});

/** Summarizes reports, each with the exit code of the run that wrote it. */
const summarize = async (
  reports: Readonly<Record<string, readonly [report: object, exitCode: number]>>,
  ...options: string[]
) => {
  const pairs: string[] = [];
  for (const [name, [report, exitCode]] of Object.entries(reports)) {
    const file = join(directory, `${name}.json`);
    await writeFile(file, JSON.stringify(report));
    pairs.push(file, String(exitCode));
  }
  return promisify(execFile)(process.execPath, [join(ROOT, 'scripts/summarize-tests.ts'), ...options, ...pairs], {
    cwd: ROOT,
  }).then(
    ({ stdout }) => ({ code: 0, lines: stdout.trimEnd().split('\n') }),
    (error: Error & { code: number; stdout: string }) => ({
      code: error.code,
      lines: error.stdout.trimEnd().split('\n'),
    }),
  );
};

describe('summary of all suites', () => {
  test('lists every test that was not run and ends with the numbers of passed and failed tests', async () => {
    expect(
      await summarize({
        first: [reportOf({ a: 'passed', b: 'passed' }), 0],
        clients: [reportOf({ c: 'passed', 'a page, with programs': 'skipped', 'another page': 'skipped' }), 0],
      }),
    ).toEqual({
      code: 0,
      lines: [
        'Not run, 2 in all:',
        '  clients: test/some.test.ts: a page, with programs',
        '  clients: test/some.test.ts: another page',
        '3 passed, 0 failed',
      ],
    });
    expect(await summarize({ first: [reportOf({ a: 'passed' }), 0] })).toEqual({
      code: 0,
      lines: ['1 passed, 0 failed'],
    });
  });

  test('lists every failed test and exits with 1 when a test failed, a run exited with another code than 0, or nothing was run', async () => {
    expect(await summarize({ first: [reportOf({ a: 'passed', b: 'failed', c: 'skipped' }), 1] })).toEqual({
      code: 1,
      lines: [
        'Not run, 1 in all:',
        '  first: test/some.test.ts: c',
        'Failed:',
        '  first: test/some.test.ts: b',
        '      Error: b is wrong',
        '1 passed, 1 failed',
      ],
    });
    const broken = await summarize({ first: [reportOf({ a: 'passed' }), 1] });
    expect([broken.code, broken.lines.at(-1)]).toEqual([1, '1 passed, 1 failed']);
    const none = await summarize({ first: [reportOf({ a: 'passed' }), 0], clients: [reportOf({ b: 'skipped' }), 0] });
    expect([none.code, none.lines.at(-1)]).toEqual([1, '1 passed, 0 failed']);
  });

  test('lists skipped tests and exits with 0 when only a suite that may skip all of them did so', async () => {
    const first = [reportOf({ a: 'passed' }), 0] as const;
    const skipped = [reportOf({ b: 'skipped', c: 'skipped' }), 0] as const;
    expect(await summarize({ first, citus: skipped }, '--may-skip', 'citus')).toEqual({
      code: 0,
      lines: [
        'Not run, 2 in all:',
        '  citus: test/some.test.ts: b',
        '  citus: test/some.test.ts: c',
        '1 passed, 0 failed',
      ],
    });
    for (const reports of [
      { first, citus: skipped, clients: skipped },
      { first, citus: [reportOf({}), 0] },
      { first, citus: [reportOf({ b: 'skipped' }), 1] },
      { first, citus: [reportOf({ b: 'failed', c: 'skipped' }), 1] },
    ] as const) {
      expect((await summarize(reports, '--may-skip', 'citus')).code).toBe(1);
    }
  });
});
