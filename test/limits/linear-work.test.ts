import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRecords, type RecordsOptions } from '../../src/cli/ingest/read-records.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { WORST_INPUTS } from './worst-inputs.ts';
import { CSV_TEXTS } from './worst-texts.ts';

// Twice the input may take at most three times the CPU time of this process, which is client and server. Quadratic work
// would take four times as long. Ratios of times shorter than the minimum are noise and are not compared.

const SMALLER = 2_500_000;
const ROUNDS = 6;
const LEAST_MS = 200;

/** Expected statuses and close codes. 1009 closes a socket whose message is too large, 4400 one whose message is invalid. */
const INTENDED = [200, 400, 401, 403, 404, 413, 431, 1009, 4400, 4401, 4403];

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  const record = '{"timestamp":"2026-01-25","granularity":"DAILY","element-name":"e","value":1}';
  await fetch(`${server.url}/unit-cost/v1/telemetry/allocation/worst/sum`, {
    method: 'POST',
    headers: { 'x-api-key': server.key },
    body: `{"records":[${record}]}`,
  });
});
afterAll(() => server.stop());

const processorMs = async (work: () => Promise<unknown>): Promise<number> => {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

/** Returns the minimum of a few rounds. Stops when the larger input takes at most three times as long. */
const measure = async (
  workOn: (bytes: number) => () => Promise<unknown>,
): Promise<{ smaller: number; larger: number }> => {
  const least = { smaller: Infinity, larger: Infinity };
  for (let round = 0; round < ROUNDS; round += 1) {
    least.smaller = Math.min(least.smaller, await processorMs(workOn(SMALLER)));
    least.larger = Math.min(least.larger, await processorMs(workOn(2 * SMALLER)));
    if (least.larger <= 3 * Math.max(least.smaller, LEAST_MS)) break;
  }
  return least;
};

describe('request of 5 MB', () => {
  test.each([...WORST_INPUTS.keys()])('takes at most three times as long as half of it when it is %s', async (name) => {
    const make = WORST_INPUTS.get(name)!;
    const statuses: number[] = [];
    const { smaller, larger } = await measure((bytes) => {
      const request = make(bytes);
      return async () => statuses.push(await request.send(server));
    });
    expect(statuses.filter((status) => !INTENDED.includes(status))).toEqual([]);
    expect(larger).toBeLessThanOrEqual(3 * Math.max(smaller, LEAST_MS));
  });
});

const CSV: RecordsOptions = {
  format: 'csv',
  encoding: null,
  delimiter: null,
  header: null,
  columns: {},
  ignored: [],
  granularity: 'DAILY',
  splitValues: true,
  emptyAs: null,
  decimalComma: false,
  round: 2,
  readDate: null,
  dateFormat: null,
};

describe('CSV file of 5 MB', () => {
  const piecesOf = async function* (text: string): AsyncGenerator<Buffer> {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  };

  test.each(Object.entries(CSV_TEXTS))(
    'takes at most three times as long as half of it when it is %s',
    async (_, make) => {
      let items = 0;
      const { smaller, larger } = await measure((bytes) => {
        const text = make(bytes);
        return async () => {
          try {
            for await (const some of readRecords(piecesOf(text), CSV).items) items += some.length;
          } catch {
            // The file cannot be read to its end.
            items += 1;
          }
        };
      });
      expect(items).toBeGreaterThanOrEqual(0);
      expect(larger).toBeLessThanOrEqual(3 * Math.max(smaller, LEAST_MS));
    },
  );
});
