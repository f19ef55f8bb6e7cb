import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, jsonOf, NDJSON, type RestRecord, send } from '../rest/requests.ts';
import { exportOnce } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';
import { readUsage } from '../usage/questions.ts';
import { formatValue, parseValue } from './model.ts';
import { readRecords, tryWrite, write } from './writes.ts';

// Programs compute doubles, and send their shortest decimal form. Expected texts are made of
// that form with whole numbers alone (test/streams/model.ts).

let server: TestServer;
let directory: string;
beforeAll(async () => {
  server = await startTestServer({ env: { MAX_PAGE_SIZE: '1000' } });
  directory = await mkdtemp(join(tmpdir(), 'sluice-doubles-test-'));
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const DAY = '2026-01-25T00:00:00Z';
/** The results of ordinary arithmetic, and both ends of the range. */
const KNOWN = [1e-14, 1.2345678901234567e-14, 8e-7, 0.1 + 0.2, 10 / 3, 2 / 3, 2 ** 53, 1e21, 2 ** 120, 1e37];

/** Every order of magnitude alike: one double in ten would otherwise be of the largest. */
const doubles = fc.array(
  fc
    .tuple(fc.double({ min: 1, max: 10, maxExcluded: true, noNaN: true }), fc.integer({ min: -14, max: 36 }))
    .map(([mantissa, exponent]) => Math.max(1e-14, Number(`${mantissa}e${exponent}`))),
  { minLength: 40, maxLength: 40, size: 'max' },
);

const plain = (double: number): string => formatValue(parseValue(String(double)));
const nameOf = (index: number): string => `e${String(index).padStart(2, '0')}`;
const recordTexts = (values: readonly string[]): string[] =>
  values.map(
    (value, index) =>
      `{"timestamp":"${DAY}","granularity":"DAILY","element-name":"${nameOf(index)}","filter":{},"value":${value}}`,
  );

let streams = 0;
const newStream = (): string => `doubles-${(streams += 1)}`;

/** The values of the stream by element, in the order in which they were sent. */
const kept = async (stream: string): Promise<string[]> =>
  ((await readRecords(server, stream, { pageSize: 1000 })) ?? [])
    .toSorted((a, b) => (a.elementName < b.elementName ? -1 : 1))
    .map(({ value }) => value);

const entries: Record<string, (stream: string, texts: readonly string[]) => Promise<void>> = {
  'REST JSON numbers': async (stream, texts) => {
    expect((await send(server, 'JSON', [stream, 'sum'], recordTexts(texts))).status).toBe(200);
  },
  'REST JSON strings': async (stream, texts) => {
    const quoted = texts.map((text) => JSON.stringify(text));
    expect((await send(server, 'JSON', [stream, 'replace'], recordTexts(quoted))).status).toBe(200);
  },
  'NDJSON numbers': async (stream, texts) => {
    expect((await send(server, 'NDJSON', [stream, 'sum'], recordTexts(texts))).status).toBe(200);
  },
  'NDJSON strings': async (stream, texts) => {
    const quoted = texts.map((text) => JSON.stringify(text));
    expect((await send(server, 'NDJSON', [stream, 'sum'], recordTexts(quoted))).status).toBe(200);
  },
  'GraphQL strings': async (stream, texts) => {
    const records = texts.map((value, index) => ({
      timestamp: DAY,
      granularity: 'DAILY',
      elementName: nameOf(index),
      value,
    }));
    expect(await write(server, 'Sum', { stream, records })).toMatchObject({ __typename: 'AllocationReceipt' });
  },
  'GraphQL literals': async (stream, texts) => {
    const records = texts.map(
      (value, index) =>
        `{ timestamp: "${DAY}", granularity: DAILY, elementName: "${nameOf(index)}", value: ${value.replace('e+', 'e')} }`,
    );
    const answer = await server.graphql(
      `mutation { allocationSum(input: { stream: "${stream}", records: [${records.join(', ')}] }) { __typename } }`,
    );
    expect(answer).toEqual({ allocationSum: { __typename: 'AllocationReceipt' } });
  },
};

describe('doubles from 1e-14 to 1e37 are stored in their shortest decimal form', () => {
  test.each(Object.keys(entries))('%s', async (entry) => {
    await fc.assert(
      fc.asyncProperty(doubles, async (drawn) => {
        const stream = newStream();
        const all = [...KNOWN, ...drawn];
        await entries[entry]?.(stream, all.map(String));
        expect(await kept(stream)).toEqual(all.map(plain));
      }),
      { numRuns: 10, endOnFailure: true },
    );
  });

  test('from CSV files', async () => {
    await fc.assert(
      fc.asyncProperty(doubles, async (drawn) => {
        const stream = newStream();
        const all = [...KNOWN, ...drawn];
        const file = join(directory, `${stream}.csv`);
        const rows = all.map((double, index) => `${DAY},${nameOf(index)},${String(double)}\n`);
        await writeFile(file, `timestamp,element,value\n${rows.join('')}`);
        const outcome = await runSluice('cli', ['ingest', file, '--stream', stream, '--granularity', 'daily'], {
          SLUICE_URL: server.url,
          API_KEY: server.key,
        });
        expect([outcome.code, outcome.stderr]).toEqual([0, expect.anything()]);
        expect(await kept(stream)).toEqual(all.map(plain));
      }),
      { numRuns: 2, endOnFailure: true },
    );
  });
});

test('doubles > keep up to 15 significant digits in GraphQL variables, and are rejected with more', async () => {
  await fc.assert(
    fc.asyncProperty(doubles, async (drawn) => {
      for (const double of [...KNOWN, ...drawn.slice(0, 5)]) {
        const stream = newStream();
        const digits = String(double)
          .replace(/e.*/, '')
          .replace('.', '')
          .replace(/^0+|0+$/g, '').length;
        const record = { timestamp: DAY, granularity: 'DAILY', elementName: 'hooli', value: double };
        const { data } = await tryWrite(server, 'Sum', { stream, records: [record] });
        if (digits > 15) expect(data?.answer.issues).toMatchObject([{ code: 'PRECISION_LOST' }]);
        else expect(await kept(stream)).toEqual([plain(double)]);
      }
    }),
    { numRuns: 3, endOnFailure: true },
  );
});

describe('records with many digits stay exact', () => {
  const nines = (count: number): string => '9'.repeat(count);
  const LARGEST = nines(38);
  const MIXED = `${nines(8)}.${nines(30)}`;
  const SMALLEST = `0.${'0'.repeat(29)}1`;
  const COUNT = 300;
  const COEFFICIENT = `-0.${'0'.repeat(37)}3`;
  const sent = [LARGEST, MIXED, SMALLEST];
  const total = BigInt(COUNT) * sent.reduce((sum, text) => sum + parseValue(text), 0n);

  /** Most records are of another element each, so that the values are summed in every way that there is. */
  const lines = (): string[] =>
    Array.from({ length: COUNT }).flatMap((_, index) =>
      sent.map(
        (value) =>
          `{"timestamp":"${DAY}","granularity":"DAILY","element-name":"e${index % 100}","filter":{},"value":"${value}"}`,
      ),
    );

  beforeAll(async () => {
    expect((await send(server, 'JSON', ['wide', 'sum'], lines())).status).toBe(200);
    const body = `${lines().join('\n')}\n`;
    const path = '/unit-cost/v1/telemetry/allocation/wide-lines/sum';
    expect((await ask(server, `POST ${path}`, { body, headers: NDJSON })).status).toBe(200);
  });

  test.each(['wide', 'wide-lines'])('in sums of usage, with and without elements: %s', async (stream) => {
    const window = { from: DAY, to: '2026-01-26T00:00:00Z', aggregationBucket: 'DAY', meterApiNames: [stream] };
    const all = await readUsage(server, window);
    expect(all.series.map((series) => series.total)).toEqual([formatValue(total)]);
    const byElement = await readUsage(server, { ...window, groupBy: ['element'] });
    expect(byElement.series.map((series) => series.total)).toEqual(
      Array.from({ length: 100 }, () => formatValue(total / 100n)),
    );
    const rescaleFunction = { function: 'MULTIPLY', coefficient: COEFFICIENT };
    const rescaled = await readUsage(server, { ...window, rescaleFunction });
    expect(rescaled.series.map((series) => series.total)).toEqual([formatValue(total * -3n, 68)]);
  });

  test('over REST', async () => {
    const { body } = await ask<{ records: RestRecord[] }>(
      server,
      'GET /unit-cost/v1/telemetry/wide/records?limit=1000',
    );
    expect(new Set(body.records.map(({ value }) => value))).toEqual(new Set([formatValue(total / 100n)]));
  });

  test.each(['CSV', 'JSON', 'NDJSON'])('in %s exports, compressed too', async (format) => {
    const settings = { format, meterApiNames: ['wide'], range: 'ago(7d)' };
    const slot = '2026-01-27T00:00:00Z';
    const { text, manifest } = await exportOnce(server, settings, slot);
    expect(text).toContain(format === 'CSV' ? `,${formatValue(total)}\n` : `"value":${formatValue(total)}}`);
    const compressed = await exportOnce(server, { ...settings, compression: 'GZIP' }, slot);
    expect(gunzipSync(compressed.bodies[0] ?? '').toString()).toBe(text);
    const rescaleFunction = { function: 'MULTIPLY', coefficient: COEFFICIENT };
    const rescaled = await exportOnce(server, { ...settings, rescaleFunction }, slot);
    expect(rescaled.text).toContain(formatValue(total * -3n, 68));
    expect([manifest, rescaled.manifest]).toMatchObject([
      { totals: { rows: 1 } },
      { settings: { rescaleFunction: { coefficient: COEFFICIENT } } },
    ]);
  });

  test('and have the same content as JSON and as NDJSON', async () => {
    const headers = { 'idempotency-key': 'wide' };
    const first = await send(server, 'JSON', ['same', 'sum'], lines(), { headers });
    const second = await ask(server, 'POST /unit-cost/v1/telemetry/allocation/same/sum', {
      body: jsonOf(lines().map((line) => line.replace('"9', '"+09'))),
      headers,
    });
    expect([first.body.replayed, second.body]).toMatchObject([false, { replayed: true }]);
  });
});
