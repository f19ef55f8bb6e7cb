/**
 * Measures Sluice against what PostgreSQL alone does on the same machine, in the same run, on the same database, and
 * writes bench/results.json. Usage: npm run bench [-- NAME ...]; without names everything, which takes about half an
 * hour. Ends with 1 where a bound is not kept. Linux only, with psql and pgbench on the PATH.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { measureExports } from './measures/exports.ts';
import { measureHistory } from './measures/history.ts';
import { measureIntake } from './measures/intake.ts';
import { measureSmallSums } from './measures/small-sums.ts';
import { measureLatency } from './measures/latency.ts';
import { measureScheduler } from './measures/scheduler.ts';
import { measureSlots } from './measures/slots.ts';
import { measureSubscribers } from './measures/subscribers.ts';
import { describeFigure, type Figure, isKept } from './support/figures.ts';
import { openStage, type Stage } from './support/stage.ts';

const MEASURES: Readonly<Record<string, (stage: Stage) => Promise<Figure[]>>> = {
  intake: measureIntake,
  'small-sums': measureSmallSums,
  exports: measureExports,
  history: measureHistory,
  latency: measureLatency,
  slots: measureSlots,
  scheduler: measureScheduler,
  subscribers: measureSubscribers,
};

const RESULTS = join(import.meta.dirname, 'results.json');

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in MEASURES));
if (unknown.length > 0)
  throw new Error(`There is no ${unknown.join(', ')}; there are ${Object.keys(MEASURES).join(', ')}.`);

const figures: Figure[] = [];
for (const [name, measure] of Object.entries(MEASURES)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n== ${name}`);
  const stage = await openStage();
  try {
    for (const figure of await measure(stage)) {
      console.log(describeFigure(figure));
      figures.push(figure);
    }
  } finally {
    await stage.close();
  }
}

const before = JSON.parse(await readFile(RESULTS, 'utf8').catch(() => '{"figures":[]}')) as { figures: Figure[] };
const kept = asked.length === 0 ? [] : before.figures.filter((old) => !figures.some(({ what }) => what === old.what));
const machine = { cores: availableParallelism(), memoryGib: Math.round(totalmem() / 2 ** 30), node: process.version };
await writeFile(RESULTS, `${JSON.stringify({ machine, figures: [...kept, ...figures] }, null, 2)}\n`);
if (figures.some((figure) => !isKept(figure))) process.exitCode = 1;
