/**
 * Arguments: pairs of a vitest JSON report and the exit code of the run that wrote it. Prints the tests that were not run, each
 * with its report, for nobody reads that far up; and, as its last line, `N passed, N failed` over all of them. Ends with 1 unless
 * everything passed.
 */
import { readFile } from 'node:fs/promises';
import { basename, relative } from 'node:path';

interface Report {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

let passed = 0;
let failed = 0;
let sound = process.argv.length > 2;
const notRun: string[] = [];

for (let index = 2; index < process.argv.length; index += 2) {
  const path = process.argv[index] ?? '';
  const exitCode = process.argv[index + 1] ?? '';
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
  for (const file of report.testResults) {
    const tests = file.assertionResults.filter(({ status }) => status === 'failed').length;
    // A file that does not load, or leaks in its last hook, fails without a failed test.
    failedHere += file.status === 'failed' ? Math.max(tests, 1) : tests;
    for (const { status, fullName } of file.assertionResults) {
      if (status === 'passed' || status === 'failed') continue;
      notRun.push(`  ${basename(path, '.json')}: ${relative('.', file.name)}: ${fullName}`);
    }
  }
  if (failedHere === 0 && exitCode !== '0') {
    console.log(`A test run ended with ${exitCode} though no test failed: see its errors above`);
    failedHere = 1;
  }
  if (report.numPassedTests === 0) sound = false;
  passed += report.numPassedTests;
  failed += failedHere;
}

if (notRun.length > 0) console.log(`Not run, ${notRun.length} in all:\n${notRun.join('\n')}`);
process.exitCode = sound && failed === 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);
