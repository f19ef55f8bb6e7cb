import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scrape } from '../support/scrape.ts';
import type { CsvRequest, CsvResponse } from './csv-reader.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';
import { WORST_INPUTS } from './worst-inputs.ts';
import { CSV_TEXTS } from './worst-texts.ts';

// Twice the input may take at most three times the CPU time of the process that reads it. Quadratic work would take four times as
// long. Ratios of times shorter than the minimum are noise and are not compared. Server and reader have processes of their own: in
// this one, whose heap may have 500 MB of other test files, a full garbage collection takes 800 ms of CPU. The larger input caused
// one in each round, the smaller in some: the minima of six rounds were 946 and 106 ms for a linear input (November 2026).

const SMALLER = 2_500_000;
const ROUNDS = 6;
const LEAST_MS = 200;

/** Expected statuses and close codes. 1009 closes a socket whose message is too large, 4400 one whose message is invalid. */
const INTENDED = [200, 400, 401, 403, 404, 413, 431, 1009, 4400, 4401, 4403];

/** Returns the minimum of a few rounds. Stops when the larger input takes at most three times as long. */
const measure = async (workOn: (bytes: number) => Promise<number>): Promise<{ smaller: number; larger: number }> => {
  const least = { smaller: Infinity, larger: Infinity };
  for (let round = 0; round < ROUNDS; round += 1) {
    least.smaller = Math.min(least.smaller, await workOn(SMALLER));
    least.larger = Math.min(least.larger, await workOn(2 * SMALLER));
    if (least.larger <= 3 * Math.max(least.smaller, LEAST_MS)) break;
  }
  return least;
};

describe('request of 5 MB', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await startServerProcess();
    const record = '{"timestamp":"2026-01-25","granularity":"DAILY","element-name":"e","value":1}';
    await fetch(`${server.url}/unit-cost/v1/telemetry/allocation/worst/sum`, {
      method: 'POST',
      headers: { 'x-api-key': server.key },
      body: `{"records":[${record}]}`,
    });
  });
  afterAll(() => server?.stop());

  /** CPU time of the server since its start. */
  const processorMs = async (): Promise<number> =>
    1000 * ((await scrape(server.url)).value('process_cpu_seconds_total') ?? Number.NaN);

  test.each([...WORST_INPUTS.keys()])('takes at most three times as long as half of it when it is %s', async (name) => {
    const make = WORST_INPUTS.get(name)!;
    const statuses: number[] = [];
    const { smaller, larger } = await measure(async (bytes) => {
      const request = make(bytes);
      const before = await processorMs();
      statuses.push(await request.send(server));
      return (await processorMs()) - before;
    });
    expect(statuses.filter((status) => !INTENDED.includes(status))).toEqual([]);
    expect(larger).toBeLessThanOrEqual(3 * Math.max(smaller, LEAST_MS));
  });
});

describe('CSV file of 5 MB', () => {
  let reader: ChildProcess;
  beforeAll(() => {
    reader = fork(join(import.meta.dirname, 'csv-reader.ts'), { execArgv: [] });
  });
  afterAll(async () => {
    const exited = once(reader, 'exit');
    reader.disconnect();
    await exited;
  });

  test.each(Object.keys(CSV_TEXTS))('takes at most three times as long as half of it when it is %s', async (name) => {
    let items = 0;
    const { smaller, larger } = await measure(async (bytes) => {
      reader.send({ name, bytes } satisfies CsvRequest);
      const [read] = (await once(reader, 'message')) as [CsvResponse];
      items += read.items;
      return read.ms;
    });
    // Blank lines do not count as rows.
    expect(items > 0).toBe(!['carriage returns', 'empty rows'].includes(name));
    expect(larger).toBeLessThanOrEqual(3 * Math.max(smaller, LEAST_MS));
  });
});
