import { type Figure, median } from '../support/figures.ts';
import { createJob, type JobInput, runJob } from '../support/jobs.ts';
import type { SluiceServer } from '../support/server-process.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// The time of an export of few rows and the memory of one of many rows, which must not grow with the history of a stream; and the
// same rows as Parquet.

const DAYS = 30;
const SHORT = { days: DAYS, keys: 1_000_000, repeats: 2 };
const LONG = { days: DAYS, keys: 10_000_000, repeats: 2 };
const TRIES = 5;
const MOST_MB = 300;

export async function measureHistory(stage: Stage): Promise<Figure[]> {
  const filler = await stage.server();
  await fillStream(filler.url, 'short', SHORT);
  await fillStream(filler.url, 'long', LONG);
  await filler.stop();
  const client = await stage.connect();
  await client.query('VACUUM ANALYZE records, totals, filters, operations');
  return [await measureDailyTotals(stage), ...(await measureMemory(stage))];
}

async function measureDailyTotals(stage: Stage): Promise<Figure> {
  const server = await stage.server();
  const secondsOf = async (stream: string): Promise<number> => {
    const jobId = await createJob(server.url, { jobName: `daily totals ${stream}`, meterApiNames: [stream] });
    const seconds: number[] = [];
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const run = await runJob(server.url, jobId);
      if (run.rowsWritten !== DAYS) throw new Error(`${run.rowsWritten} rows left, not ${DAYS}.`);
      seconds.push(run.seconds);
    }
    return median(seconds);
  };
  const short = await secondsOf('short');
  const long = await secondsOf('long');
  await server.stop();
  return {
    what: `export of ${DAYS} daily totals over ${LONG.keys * LONG.repeats} records in one stream`,
    against: `the same over ${SHORT.keys * SHORT.repeats} records`,
    value: long / short,
    unit: 'x',
    bound: { atMost: 1.5 },
    details: { longSeconds: long, shortSeconds: short },
  };
}

/** Exports all rows of a stream with a separate server, and returns its peak memory. */
async function exportAll(stage: Stage, stream: string, rows: number, input: Partial<JobInput> = {}) {
  const server: SluiceServer = await stage.server();
  const jobId = await createJob(server.url, {
    jobName: ['all of', stream, input.format ?? ''].join(' ').trim(),
    meterApiNames: [stream],
    groupBy: ['element'],
    ...input,
  });
  await server.resetPeak();
  const run = await runJob(server.url, jobId);
  if (run.rowsWritten !== rows) throw new Error(`${run.rowsWritten} rows left, not ${rows}.`);
  const peakMb = await server.peakMemoryMb();
  await server.stop();
  return { peakMb, seconds: run.seconds, mb: run.bytesWritten / 1e6 };
}

async function measureMemory(stage: Stage): Promise<Figure[]> {
  const short = await exportAll(stage, 'short', SHORT.keys);
  const long = await exportAll(stage, 'long', LONG.keys);
  const parquet = await exportAll(stage, 'long', LONG.keys, { format: 'PARQUET', compression: 'ZSTD' });
  const details = { shortPeakMb: short.peakMb, longPeakMb: long.peakMb, longSeconds: long.seconds };
  const what = `export of ${LONG.keys} rows of PARQUET with ZSTD`;
  const against = 'CSV of the same rows';
  return [
    {
      what: `peak memory of the server, export of ${LONG.keys} rows`,
      against: '',
      value: long.peakMb,
      unit: 'MB',
      bound: { atMost: MOST_MB },
      details,
    },
    {
      what: `additional memory, export of ${LONG.keys} rows`,
      against: `export of ${SHORT.keys} rows`,
      value: long.peakMb - short.peakMb,
      unit: 'MB',
      bound: { atMost: 50 },
      details,
    },
    {
      what: `peak memory of the server, ${what}`,
      against: '',
      value: parquet.peakMb,
      unit: 'MB',
      bound: { atMost: MOST_MB },
      details: { csvPeakMb: long.peakMb },
    },
    {
      what,
      against,
      value: parquet.seconds / long.seconds,
      unit: 'x',
      bound: { atMost: 2 },
      details: { exportSeconds: parquet.seconds, csvSeconds: long.seconds },
    },
    {
      what: `size of the files, ${what}`,
      against,
      value: parquet.mb / long.mb,
      unit: 'x',
      bound: { atMost: 0.25 },
      details: { exportMb: parquet.mb, csvMb: long.mb },
    },
  ];
}
