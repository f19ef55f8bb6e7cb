/**
 * Asks the registry whether it knows of a vulnerability, high or critical, in what production installs; ends with 1 where it
 * does. Not a part of `npm run check`: the answer changes without a change of the sources, and some registries give none
 * (405 was seen), which is said and is no failure.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';

interface Report {
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>;
  /** In the place of a report. */
  readonly message?: string;
  readonly error?: { readonly summary?: string };
}

const askRegistry = (): Promise<string> =>
  new Promise((resolve) => {
    // npm ends with 1 both for what it finds and where it cannot ask, so its words decide.
    execFile(
      'npm',
      ['audit', '--omit=dev', '--json'],
      { cwd: join(import.meta.dirname, '..'), timeout: 120_000, maxBuffer: 64 * 1024 * 1024 },
      (_error, stdout) => resolve(stdout),
    );
  });

const parse = (text: string): Report => {
  try {
    return JSON.parse(text) as Report;
  } catch {
    return { message: 'npm audit gave no report' };
  }
};

const { vulnerabilities, message, error } = parse(await askRegistry());
if (vulnerabilities === undefined) {
  console.log(`Not audited, since the registry does not answer: ${message ?? error?.summary ?? 'no reason given'}`);
} else {
  const found = Object.entries(vulnerabilities);
  const serious = found.filter(([, { severity }]) => severity === 'high' || severity === 'critical');
  for (const [name, { severity, range }] of found) console.log(`${name} ${range}: ${severity}`);
  console.log(`${serious.length} high or critical, ${found.length - serious.length} others.`);
  process.exitCode = serious.length === 0 ? 0 : 1;
}
