/**
 * Arguments: pairs of a vitest JSON report and the exit code of its run. Prints the tests that were not run and those that failed at
 * the end of the log, and as its last line `N passed, N failed` over all reports. Exits with 1 unless every test passed, and at
 * least one in each report. `--may-skip NAME` names a report that may skip all of its tests because the machine lacks a program.
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

/** Returns the message of a failure without its stack. */
function firstLines(message = ''): string {
  return message
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s+at /.test(line))
    .slice(0, 12)
    .map((line) => `      ${line}`)
    .join('\n');
}

for (let index = 0; index < positionals.length; index += 2) {
  const path = positionals[index] ?? '';
  const exitCode = positionals[index + 1] ?? '';
  const name = basename(path, '.json');
  let report: Report;
  try {
    report = JSON.parse(await readFile(path, 'utf8')) as Report;
  } catch (error) {
    console.log(`A test run exited with ${exitCode} without a report: ${String(error)}`);
    sound = false;
    failed += 1;
    continue;
  }
  let failedHere = 0;
  let skippedHere = 0;
  for (const file of report.testResults) {
    const tests = file.assertionResults.filter(({ status }) => status === 'failed').length;
    // A file that does not load, or that fails in its last hook, fails without a failed test.
    failedHere += file.status === 'failed' ? Math.max(tests, 1) : tests;
    const location = `  ${name}: ${relative('.', file.name)}`;
    if (file.status === 'failed' && tests === 0) failures.push(`${location}\n${firstLines(file.message)}`);
    for (const { status, fullName, failureMessages } of file.assertionResults) {
      if (status === 'failed') failures.push(`${location}: ${fullName}\n${firstLines(failureMessages?.[0])}`);
      else if (status !== 'passed') {
        notRun.push(`${location}: ${fullName}`);
        skippedHere += 1;
      }
    }
  }
  if (failedHere === 0 && exitCode !== '0') {
    console.log(`A test run exited with ${exitCode} although no test failed: see its errors above`);
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
