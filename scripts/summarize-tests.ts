/**
 * Arguments: pairs of a vitest JSON report and the exit code of the run that wrote it. Prints the tests that were not run and those
 * that failed, each with its report, because nobody reads that far up; and, as its last line, `N passed, N failed` over all reports.
 * Ends with 1 unless everything passed, and in each report at least one test. `--may-skip NAME` names a report that may skip all
 * of its tests, because what they need is not here.
 */
import { readFile } from 'node:fs/promises';
import { basename, relative } from 'node:path';
import { parseArgs } from 'node:util';

interface Report {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    /** Why the file itself failed. */
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { 'may-skip': { type: 'string', multiple: true, default: [] } },
});
let passed = 0;
let failed = 0;
let sound = positionals.length > 0;
const notRun: string[] = [];
const failures: string[] = [];

/** Of a failure, what a reader of a cut-off log needs: the message without its stack. */
const firstLines = (message = ''): string =>
  message
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s+at /.test(line))
    .slice(0, 12)
    .map((line) => `      ${line}`)
    .join('\n');

for (let index = 0; index < positionals.length; index += 2) {
  const path = positionals[index] ?? '';
  const exitCode = positionals[index + 1] ?? '';
  const name = basename(path, '.json');
  let report: Report;
  try {
    report = JSON.parse(await readFile(path, 'utf8')) as Report;
  } catch (error) {
    console.log(`A test run ended with ${exitCode} and left no report: ${String(error)}`);
    sound = false;
    failed += 1;
    continue;
  }
  let failedHere = 0;
  let skippedHere = 0;
  for (const file of report.testResults) {
    const tests = file.assertionResults.filter(({ status }) => status === 'failed').length;
    // A file that does not load, or leaks in its last hook, fails without a failed test.
    failedHere += file.status === 'failed' ? Math.max(tests, 1) : tests;
    const place = `  ${name}: ${relative('.', file.name)}`;
    if (file.status === 'failed' && tests === 0) failures.push(`${place}\n${firstLines(file.message)}`);
    for (const { status, fullName, failureMessages } of file.assertionResults) {
      if (status === 'failed') failures.push(`${place}: ${fullName}\n${firstLines(failureMessages?.[0])}`);
      else if (status !== 'passed') {
        notRun.push(`${place}: ${fullName}`);
        skippedHere += 1;
      }
    }
  }
  if (failedHere === 0 && exitCode !== '0') {
    console.log(`A test run ended with ${exitCode} though no test failed: see its errors above`);
    failedHere = 1;
  }
  const maySkip = values['may-skip'].includes(name) && skippedHere > 0;
  if (report.numPassedTests === 0 && !maySkip) sound = false;
  passed += report.numPassedTests;
  failed += failedHere;
}

if (notRun.length > 0) console.log(`Not run, ${notRun.length} in all:\n${notRun.join('\n')}`);
if (failures.length > 0) console.log(`Failed:\n${failures.join('\n')}`);
process.exitCode = sound && failed === 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);
