/**
 * Asks the registry for known vulnerabilities of production dependencies. Exits with 1 if one is high or critical. Not part of
 * `npm run check`, because the result changes without a change of the sources, and some registries do not support audits
 * (status 405), which is printed and not an error.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';

interface Report {
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>;
  /** Set if there is no report. */
  readonly message?: string;
  readonly error?: { readonly summary?: string };
}

function askRegistry(): Promise<string> {
  return new Promise((resolve) => {
    // npm exits with 1 if it finds vulnerabilities and if it cannot audit, so only its output shows which.
    execFile(
      'npm',
      ['audit', '--omit=dev', '--json'],
      { cwd: join(import.meta.dirname, '..'), timeout: 120_000, maxBuffer: 64 * 1024 * 1024 },
      (_error, stdout) => resolve(stdout),
    );
  });
}

function parse(text: string): Report {
  try {
    return JSON.parse(text) as Report;
  } catch {
    return { message: 'npm audit printed no report' };
  }
}

const { vulnerabilities, message, error } = parse(await askRegistry());
if (vulnerabilities === undefined) {
  console.log(`Not audited, because the registry has no report: ${message ?? error?.summary ?? 'no reason given'}`);
} else {
  const found = Object.entries(vulnerabilities);
  const serious = found.filter(([, { severity }]) => severity === 'high' || severity === 'critical');
  for (const [name, { severity, range }] of found) console.log(`${name} ${range}: ${severity}`);
  console.log(`${serious.length} high or critical, ${found.length - serious.length} others.`);
  process.exitCode = serious.length === 0 ? 0 : 1;
}
