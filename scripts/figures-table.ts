/**
 * Prints what was measured, from bench/growth.json and bench/results.json, as the README tells it below "How far one Postgres goes".
 * With --write it is put between the README's marks `<!-- figures -->` and `<!-- /figures -->`; with --check the script
 * ends with 1 where something else stands there. Of what was not measured yet nothing is said.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Figure } from '../bench/support/figures.ts';
import { type Growth, readGrowth } from '../bench/support/growth-points.ts';
import { formatTable, readTable, writeTable } from './readme-tables.ts';

interface Results {
  readonly machine: Growth['machine'];
  readonly figures: readonly Figure[];
}

const RESULTS = join(import.meta.dirname, '../bench/results.json');

const readResults = async (): Promise<Results | null> => {
  const text = await readFile(RESULTS, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as Results);
};

const number = (value: number, digits = 3): string =>
  Number(value.toPrecision(digits)).toLocaleString('en-US', { maximumFractionDigits: 6 });

const machineOf = ({ cores, memoryGib, node }: Growth['machine']): string =>
  `${cores} cores and ${memoryGib} GiB, with server, PostgreSQL and senders on the same machine, Node ${node.slice(1)}`;

const growthWords = ({ machine, days, points }: Growth): string =>
  [
    `One stream that grows, on ${machineOf(machine)} (\`npm run bench:growth\`):\n`,
    '![Time of intake and of the daily export against the number of records](bench/growth.svg)\n',
    formatTable([
      [
        'records',
        'all of them in, as NDJSON',
        'the last of them, a second',
        `export of ${days} daily totals`,
        'by a dimension',
      ],
      ...points.map((point) => [
        number(point.records, 9),
        `${number(point.intakeSeconds)} s`,
        number(point.intakeRecordsPerSecond, 2),
        `${number(point.dailySeconds)} s`,
        `${number(point.groupedSeconds)} s`,
      ]),
    ]),
  ].join('\n');

const resultWords = ({ machine, figures }: Results): string =>
  [
    `Against what PostgreSQL alone does in the same run, on ${machineOf(machine)} (\`npm run bench\`):\n`,
    formatTable([
      ['what', 'against', 'measured', 'bound'],
      ...figures.map(({ what, against, value, unit, bound }) => [
        what,
        against,
        `${number(value, 4)} ${unit}`,
        'atLeast' in bound ? `at least ${bound.atLeast} ${unit}` : `at most ${bound.atMost} ${unit}`,
      ]),
    ]),
  ].join('\n');

const [growth, results] = [await readGrowth(), await readResults()];
const parts = [...(growth ? [growthWords(growth)] : []), ...(results ? [resultWords(results)] : [])];
const text = parts.length > 0 ? parts.join('\n') : 'Not measured yet.\n';

const [mode] = process.argv.slice(2);
if (mode === undefined) {
  process.stdout.write(text);
} else if (mode === '--write') {
  await writeTable('figures', text);
} else if ((await readTable('figures')) !== text.trim()) {
  console.error(
    'The figures in README.md are not those of bench/growth.json and bench/results.json: run `npm run docs`.',
  );
  process.exitCode = 1;
}
