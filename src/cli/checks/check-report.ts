import type { DatabaseAddress } from '../../db/database-address.ts';
import { failureWords } from '../../process/format-startup-error.ts';
import { scrubError } from '../../lib/scrub-error.ts';
import type { Terminal } from '../command-context.ts';
import { broken, type Finding } from './check-result.ts';

/** The lines of a command that checks things: one for each finding. */
export interface CheckReport {
  readonly tell: (name: string, finding: Finding) => void;
  /** False after the first broken finding. Warnings do not count. */
  readonly isSound: () => boolean;
}

export const openReport = (terminal: Terminal): CheckReport => {
  let sound = true;
  return {
    tell: (name, { verdict, words }) => {
      if (verdict === 'broken') sound = false;
      terminal.answer(`${name.padEnd(10)}  ${verdict.padEnd(7)}  ${words}\n`);
    },
    isSound: () => sound,
  };
};

/** The finding of the check; a check that throws is broken. `place` is the database that a connection error names. */
export const findingOf = async (
  check: () => Promise<Finding> | Finding,
  place: DatabaseAddress | null = null,
): Promise<Finding> => {
  try {
    return await check();
  } catch (error) {
    return broken(wordsOf(error, place));
  }
};

export const wordsOf = (error: unknown, place: DatabaseAddress | null = null): string =>
  failureWords(error, place)?.replaceAll('\n', ' ') ?? scrubError(error).message;
