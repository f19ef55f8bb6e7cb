import type { DatabaseAddress } from '../../db/database-address.ts';
import { scrubError } from '../../lib/scrub-error.ts';
import { formatStartupError } from '../../process/format-startup-error.ts';
import type { PlainTerminal } from '../../terminal/terminal.ts';
import { broken, type CheckResult } from './check-result.ts';

/** Prints a line for each check. */
export interface CheckReport {
  readonly report: (name: string, result: CheckResult) => void;
  /** False after the first broken result. */
  readonly isSound: () => boolean;
}

export function openReport(terminal: PlainTerminal): CheckReport {
  let sound = true;
  return {
    report: (name, { verdict, message }) => {
      if (verdict === 'broken') sound = false;
      terminal.print(`${name.padEnd(10)}  ${verdict.padEnd(7)}  ${message}\n`);
    },
    isSound: () => sound,
  };
}

/** Runs a check. A check that throws is broken. `address` is the database that a message about a lost connection names. */
export async function runCheck(
  check: () => Promise<CheckResult> | CheckResult,
  address: DatabaseAddress | null = null,
): Promise<CheckResult> {
  try {
    return await check();
  } catch (error) {
    return broken(formatError(error, address));
  }
}

export function formatError(error: unknown, address: DatabaseAddress | null = null): string {
  return formatStartupError(error, address)?.replaceAll('\n', ' ') ?? scrubError(error).message;
}
