/**
 * Prints the figures of bench/growth.json and bench/results.json as docs/benchmarks.md shows them. With --write they replace
 * the text between the marks `<!-- figures -->` and `<!-- /figures -->` of that page. With --check the script exits with 1
 * if the page has other figures. Figures that are missing are left out.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Figure } from '../bench/support/figures.ts';
import { type Growth, readGrowth } from '../bench/support/growth-points.ts';
import { formatTable, readGenerated, writeGenerated } from './generated-parts.ts';

interface Results {
  readonly machine: Growth['machine'];
  readonly figures: readonly Figure[];
}

const PAGE = 'docs/benchmarks.md';
const RESULTS = join(import.meta.dirname, '../bench/results.json');

/** Details of a ratio in absolute terms. If several are named, their sum was divided. */
interface Measured {
  readonly sluice: readonly string[];
  readonly baseline: readonly string[];
  readonly unit: string;
}

const MEASURED: readonly Measured[] = [
  { sluice: ['recordsPerSecond'], baseline: ['copyRowsPerSecond'], unit: '/s' },
  { sluice: ['sumsPerSecond'], baseline: ['pgbenchTps'], unit: '/s' },
  { sluice: ['exportSeconds'], baseline: ['psqlSeconds'], unit: ' s' },
  { sluice: ['exportSeconds'], baseline: ['csvSeconds'], unit: ' s' },
  { sluice: ['exportMb'], baseline: ['csvMb'], unit: ' MB' },
  { sluice: ['longSeconds'], baseline: ['shortSeconds'], unit: ' s' },
  { sluice: ['scopedSeconds'], baseline: ['apartSeconds'], unit: ' s' },
  { sluice: ['restatementSeconds'], baseline: ['sumSeconds'], unit: ' s' },
  { sluice: ['restatementSeconds'], baseline: ['exportSeconds'], unit: ' s' },
  { sluice: ['pastSeconds'], baseline: ['nowSeconds'], unit: ' s' },
  { sluice: ['usageSeconds'], baseline: ['rankingSeconds'], unit: ' s' },
  { sluice: ['largeMs'], baseline: ['emptyMs'], unit: ' ms' },
  { sluice: ['manyMs'], baseline: ['oneMs'], unit: ' ms' },
  { sluice: ['percent'], baseline: ['percentWithFew'], unit: '% of a core' },
  {
    sluice: ['serverSecondsAMinute', 'databaseSecondsAMinute'],
    baseline: ['serverSecondsAMinuteWithFew', 'databaseSecondsAMinuteWithFew'],
    unit: ' s per minute',
  },
];

async function readResults(): Promise<Results | null> {
  const text = await readFile(RESULTS, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as Results);
}

function formatNumber(value: number, digits = 3): string {
  return Number(value.toPrecision(digits)).toLocaleString('en-US', { maximumFractionDigits: 6 });
}

/** `2000 cron jobs` as `2,000 cron jobs`. */
function separateThousands(text: string): string {
  return text.replaceAll(/\d{4,}/g, (digits) => Number(digits).toLocaleString('en-US'));
}

function formatMachine({ cores, memoryGib, node }: Growth['machine']): string {
  return `${cores} cores and ${memoryGib} GiB, with server, PostgreSQL and clients on the same machine, Node ${node.slice(1)}`;
}

function describeGrowth({ machine, days, points }: Growth): string {
  return [
    '## Growth of one stream\n',
    `Measured on ${formatMachine(machine)} (\`npm run bench:growth\`).\n`,
    '![Time of intake and of the daily export against the number of records](../bench/growth.svg)\n',
    formatTable([
      [
        'records',
        'intake of all as NDJSON',
        'records/s at the end',
        `export of ${days} daily totals`,
        'export by a dimension',
      ],
      ...points.map((point) => [
        formatNumber(point.records, 9),
        `${formatNumber(point.intakeSeconds)} s`,
        formatNumber(point.intakeRecordsPerSecond, 2),
        `${formatNumber(point.dailySeconds * 1000, 2)} ms`,
        `${formatNumber(point.groupedSeconds * 1000, 2)} ms`,
      ]),
    ]),
  ].join('\n');
}

function resultCells({ what, against, value, unit, bound, details }: Figure): string[] {
  const [kind, limit] = 'atLeast' in bound ? ['at least', bound.atLeast] : ['at most', bound.atMost];
  const cells = [separateThousands(what)];
  if (unit !== 'x') {
    return [...cells, `${formatNumber(value)} ${unit}`, separateThousands(against), '', `${kind} ${limit} ${unit}`];
  }
  const measured = MEASURED.find(({ sluice, baseline }) => [...sluice, ...baseline].every((name) => name in details));
  if (!measured) throw new Error(`scripts/figures-table.ts does not name the absolute figures of "${what}".`);
  const formatSum = (names: readonly string[]): string =>
    `${formatNumber(names.reduce((sum, name) => sum + (details[name] ?? Number.NaN), 0))}${measured.unit}`;
  return [
    ...cells,
    formatSum(measured.sluice),
    `${separateThousands(against)}: ${formatSum(measured.baseline)}`,
    formatNumber(value),
    `${kind} ${limit}`,
  ];
}

function describeResults({ machine, figures }: Results): string {
  return [
    '## Comparison with PostgreSQL\n',
    `Measured on ${formatMachine(machine)} (\`npm run bench\`). The benchmark fails if a bound is exceeded.\n`,
    formatTable([
      ['measurement', 'Sluice', 'compared with', 'ratio', 'bound'],
      ...figures.map((figure) => resultCells(figure)),
    ]),
  ].join('\n');
}

const [growth, results] = [await readGrowth(), await readResults()];
const parts = [...(growth ? [describeGrowth(growth)] : []), ...(results ? [describeResults(results)] : [])];
const text = parts.length > 0 ? parts.join('\n') : 'Not measured yet.\n';

const [mode] = process.argv.slice(2);
if (mode === undefined) {
  process.stdout.write(text);
} else if (mode === '--write') {
  await writeGenerated(PAGE, 'figures', text);
} else if ((await readGenerated(PAGE, 'figures')) !== text.trim()) {
  console.error(`The figures in ${PAGE} differ from bench/growth.json and bench/results.json. Run \`npm run docs\`.`);
  process.exitCode = 1;
}
