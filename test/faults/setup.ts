import { randomInt } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { formatTable, readGenerated, writeGenerated } from '../../scripts/generated-parts.ts';
import type { Tally } from './tally.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The directory that tallies are left in. */
    faultsTallies: string;
    faultsSeed: number;
    faultsSize: 'short' | 'full';
  }
}

/** `FAULTS=short` selects the short form; `FAULTS_SEED` repeats the random times of an earlier run. */
const { FAULTS, FAULTS_SEED } = process.env;
const size = FAULTS === 'short' ? 'short' : 'full';

/** A longer time means that something hangs. Without scenarios 9 to 12 the short form took less than 5 minutes, the full one about 15. */
const MOST_MINUTES = size === 'short' ? 40 : 100;

const PAGE = 'docs/reliability.md';

let tallies = '';

export const setup = async (project: TestProject): Promise<void> => {
  tallies = await mkdtemp(join(tmpdir(), 'sluice-faults-'));
  const seed = FAULTS_SEED ? Number(FAULTS_SEED) : randomInt(1_000_000_000);
  process.stdout.write(`\nThe ${size} form of the faults. To repeat the random times: FAULTS_SEED=${seed}\n`);
  setTimeout(() => {
    process.stderr.write(`The faults took longer than ${MOST_MINUTES} minutes: given up.\n`);
    process.exit(1);
  }, MOST_MINUTES * 60_000).unref();
  project.provide('faultsTallies', tallies);
  project.provide('faultsSeed', seed);
  project.provide('faultsSize', size);
};

/** Prints the counts. The full form also writes them to docs/reliability.md, where they replace the rows of the same scenarios. */
export const teardown = async (): Promise<void> => {
  const rows: string[][] = [];
  for (const file of await readdir(tallies)) {
    const { scenario, done, tried, lost, twice } = JSON.parse(await readFile(join(tallies, file), 'utf8')) as Tally;
    rows.push([String(scenario), done, tried, String(lost), String(twice)]);
  }
  await rm(tallies, { recursive: true });
  if (rows.length === 0) return;
  const table = (all: string[][]): string =>
    formatTable([['', 'fault', 'checked', 'lost', 'twice'], ...all.toSorted(([a], [b]) => Number(a) - Number(b))]);
  process.stdout.write(`\n${table(rows)}`);
  if (size === 'short') return;
  const counted = new Set(rows.map(([scenario]) => scenario));
  const others = (await readGenerated(PAGE, 'faults'))
    .split('\n')
    .slice(2)
    .map((line) => line.split(' | ').map((cell) => cell.replaceAll(/^\||\|$/g, '').trim()))
    .filter(([scenario]) => scenario && !counted.has(scenario));
  await writeGenerated(PAGE, 'faults', table([...others, ...rows]));
};
