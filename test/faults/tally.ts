import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, inject } from 'vitest';

/** The counts of a scenario: a row of the table in docs/reliability.md. */
export interface Tally {
  /** Its place in the table. */
  readonly scenario: number;
  /** Phrase that states the faults with their counts. Must not contain `|`. */
  readonly done: string;
  /** How often what had to hold was tried, as a phrase: `1,204 requests`. */
  readonly tried: string;
  readonly lost: number;
  readonly twice: number;
}

/** `1,204 requests`. */
export const counted = (count: number, what: string): string => `${count.toLocaleString('en-US')} ${what}`;

/** Asserts that nothing was lost and nothing came twice, and keeps the row. */
export const tally = async (row: Tally): Promise<void> => {
  expect({ lost: row.lost, twice: row.twice }).toEqual({ lost: 0, twice: 0 });
  await writeFile(join(inject('faultsTallies'), `${row.scenario}-${randomUUID()}`), JSON.stringify(row));
};
