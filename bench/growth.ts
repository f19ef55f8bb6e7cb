/**
 * Measures intake and the daily export while one stream grows, and writes bench/growth.json and its picture, bench/growth.svg.
 * Usage: npm run bench:growth [-- COUNT ...]; without counts 1, 5, 20 and 50 million records, which takes about
 * seven minutes and 30 GB in BENCH_DIR (default: the system's temporary directory). Linux only.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { drawGrowth } from './growth-picture.ts';
import { median } from './support/figures.ts';
import { type Growth, GROWTH_FILE, type GrowthPoint } from './support/growth-points.ts';
import { createJob, runJob } from './support/jobs.ts';
import { openStage } from './support/stage.ts';
import { fillStream } from './support/streams.ts';

const COUNTS = [1_000_000, 5_000_000, 20_000_000, 50_000_000];
const DAYS = 30;
/** Values of the dimension that is grouped by, as in made-up-records.ts. */
const REGIONS = 5;
const TRIES = 5;

// Servers run in their own sessions, so Ctrl-C does not reach them. They are stopped with this process.
process.once('SIGINT', () => process.exit(130));

const asked = process.argv.slice(2).map(Number);
if (asked.some((count) => !Number.isInteger(count) || count < 10_000)) throw new Error('Counts are whole, from 10000.');
const counts = (asked.length > 0 ? asked : COUNTS).toSorted((a, b) => a - b);
/** The same at each size, so that existing records stay and only the rest is added. */
const keys = Math.min(1_000_000, counts[0] ?? 0);

const machine = { cores: availableParallelism(), memoryGib: Math.round(totalmem() / 2 ** 30), node: process.version };

/** Written after each size, so that an interrupted run keeps its measurements. */
async function keep(): Promise<void> {
  const growth: Growth = { machine, days: DAYS, points };
  await writeFile(GROWTH_FILE, `${JSON.stringify(growth, null, 2)}\n`);
  await drawGrowth(growth);
}

const stage = await openStage();
const points: GrowthPoint[] = [];
try {
  const { url } = await stage.server();
  const client = await stage.connect();
  const secondsOf = async (jobId: string, rows: number): Promise<number> => {
    const seconds: number[] = [];
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const run = await runJob(url, jobId);
      if (run.rowsWritten !== rows) throw new Error(`${run.rowsWritten} rows left, not ${rows}.`);
      seconds.push(run.seconds);
    }
    return median(seconds);
  };
  const jobOf = (jobName: string, groupBy: readonly string[]): Promise<string> =>
    createJob(url, { jobName, meterApiNames: ['usage'], groupBy });
  const daily = await jobOf('daily totals', []);
  const grouped = await jobOf('daily totals by region', ['region']);
  let intakeSeconds = 0;
  let before = 0;
  for (const records of counts) {
    const begun = performance.now();
    await fillStream(url, 'usage', { days: DAYS, keys, repeats: records / keys }, before);
    const seconds = (performance.now() - begun) / 1000;
    intakeSeconds += seconds;
    // Autovacuum would do this soon.
    const { rows: tables } = await client.query<{ name: string }>(
      `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`,
    );
    await client.query(`VACUUM ANALYZE ${tables.map(({ name }) => name).join(', ')}`);
    const point = {
      records,
      intakeSeconds,
      intakeRecordsPerSecond: (records - before) / seconds,
      dailySeconds: await secondsOf(daily, DAYS),
      groupedSeconds: await secondsOf(grouped, DAYS * REGIONS),
    };
    before = records;
    points.push(point);
    console.log(JSON.stringify(point));
    await keep();
  }
} finally {
  await stage.close();
}
