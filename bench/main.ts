/**
 * Compares Sluice with PostgreSQL alone on the same machine, in the same run, on the same database, and
 * writes bench/results.json. Usage: npm run bench [-- NAME ...]; without names it measures everything, which takes about half an
 * hour. Exits with 1 if a bound is exceeded. Linux only, with psql, pgbench and chromium on the PATH.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { measureConsole } from './measures/console.ts';
import { measureCorrections } from './measures/corrections.ts';
import { measureExports } from './measures/exports.ts';
import { measureHistory } from './measures/history.ts';
import { measureIdleLedgers } from './measures/idle-ledgers.ts';
import { measureIdleStreams } from './measures/idle-streams.ts';
import { measureIntake } from './measures/intake.ts';
import { measureSmallSums } from './measures/small-sums.ts';
import { measureLargeBuckets } from './measures/large-buckets.ts';
import { measureLedgerTools } from './measures/ledger-tools.ts';
import { measureLatency } from './measures/latency.ts';
import { measureOverview } from './measures/overview.ts';
import { measureRestatements } from './measures/restatements.ts';
import { measureScheduler } from './measures/scheduler.ts';
import { measureScopeReplace } from './measures/scope-replace.ts';
import { measureSlots } from './measures/slots.ts';
import { measureSubscribers } from './measures/subscribers.ts';
import { measureTopGroups } from './measures/top-groups.ts';
import { describeFigure, type Figure, isKept } from './support/figures.ts';
import { openStage, type Stage } from './support/stage.ts';

const MEASURES: Readonly<Record<string, (stage: Stage) => Promise<Figure[]>>> = {
  intake: measureIntake,
  'small-sums': measureSmallSums,
  exports: measureExports,
  history: measureHistory,
  'large-buckets': measureLargeBuckets,
  'scope-replace': measureScopeReplace,
  corrections: measureCorrections,
  restatements: measureRestatements,
  'idle-ledgers': measureIdleLedgers,
  'ledger-tools': measureLedgerTools,
  latency: measureLatency,
  overview: measureOverview,
  slots: measureSlots,
  'idle-streams': measureIdleStreams,
  scheduler: measureScheduler,
  subscribers: measureSubscribers,
  'top-groups': measureTopGroups,
  console: measureConsole,
};

const RESULTS = join(import.meta.dirname, 'results.json');

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in MEASURES));
if (unknown.length > 0)
  throw new Error(`There is no ${unknown.join(', ')}; there are ${Object.keys(MEASURES).join(', ')}.`);

const machine = { cores: availableParallelism(), memoryGib: Math.round(totalmem() / 2 ** 30), node: process.version };

/** Writes the figures immediately, replacing those of earlier runs, so that an interrupted run keeps its measurements. */
async function keep(figures: readonly Figure[]): Promise<void> {
  const kept = JSON.parse(await readFile(RESULTS, 'utf8').catch(() => '{"figures":[]}')) as { figures: Figure[] };
  const others = kept.figures.filter((old) => !figures.some(({ what }) => what === old.what));
  await writeFile(RESULTS, `${JSON.stringify({ machine, figures: [...others, ...figures] }, null, 2)}\n`);
}

// Servers run in their own sessions, so Ctrl-C does not reach them. They are stopped with this process.
process.once('SIGINT', () => process.exit(130));

for (const [name, measure] of Object.entries(MEASURES)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n== ${name}`);
  const stage = await openStage();
  try {
    const figures = await measure(stage);
    await keep(figures);
    for (const figure of figures) console.log(describeFigure(figure));
    if (!figures.every(isKept)) process.exitCode = 1;
  } finally {
    await stage.close();
  }
}
