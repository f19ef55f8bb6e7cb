import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGate } from '../support/faults.ts';
import { querySql } from '../support/job-steps.ts';
import { scrape } from '../support/scrape.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { allocationPath, countStored, linesOf, type Receipt, send, sendPieces } from './requests.ts';

// NDJSON sums wait in memory for the end of their request up to INTAKE_HELD_BYTES, otherwise in the database. The result must
// be the same.

const LIMIT = 800_000;

let roomy: TestServer;
let tight: TestServer;
let none: TestServer;
beforeAll(async () => {
  roomy = await startTestServer({ env: { ROLE: 'api' } });
  const besides = async (bytes: number): Promise<TestServer> => {
    const env = { API_KEY: roomy.key, ROLE: 'api', INTAKE_HELD_BYTES: String(bytes) };
    const server = await startTestServer({ database: roomy.database, s3: roomy.s3, env });
    return { ...server, key: roomy.key };
  };
  [tight, none] = await Promise.all([besides(LIMIT), besides(0)]);
});
afterAll(async () => {
  await tight.stop();
  await none.stop();
  await roomy.stop();
});

interface Line {
  readonly timestamp: string;
  readonly filter: Readonly<Record<string, readonly string[]>>;
  readonly element: string;
  readonly value: string;
}

const textOf = ({ timestamp, filter, element, value }: Line): string =>
  JSON.stringify({ timestamp, granularity: 'HOURLY', filter, 'element-name': element, value });

const hourAt = (hour: number): string => new Date(Date.UTC(2005, 0, 1) + hour * 3_600_000).toISOString();

/** Names, some of which are escaped in arrays and JSON. */
const NAMES = ['acme', 'a,b', '{}', '"', '\\', 'NULL', 'ünï', '𝒳 and 𝒴', "o'hara", ' '];

const linesUpTo = (count: number, hours: number): string[] =>
  Array.from({ length: count }, (_, index) =>
    textOf({
      timestamp: hourAt(index % hours),
      filter: { region: [NAMES[index % 7] as string, 'eu'], tier: [`t${index % 3}`] },
      element: `${NAMES[index % NAMES.length]}-${index % 500}`,
      value: `${index % 1000}.000000000001`,
    }),
  );

/** The ledger and the totals of a stream. */
const storedIn = async (stream: string): Promise<unknown> => {
  const [row] = await querySql<{ stored: unknown }>(
    roomy,
    `SELECT json_build_object(
       'records', (SELECT json_agg(json_build_array(r.bucket_start, f.dimensions, r.element, r.value::text) ORDER BY r.bucket_start, f.dimensions::text, r.element, r.value)
         FROM records r JOIN filters f ON f.id = r.filter_id AND f.account_id = r.account_id WHERE r.stream_id = s.id),
       'totals', (SELECT json_agg(json_build_array(t.bucket_start, t.dimensions, t.value::text, t.records) ORDER BY t.bucket_start, t.dimensions::text)
         FROM (SELECT t.bucket_start, f.dimensions, sum(t.value) AS value, sum(t.records) AS records
           FROM totals t JOIN filters f ON f.id = t.filter_id AND f.account_id = t.account_id WHERE t.stream_id = s.id GROUP BY 1, 2) t)) AS stored
     FROM streams s WHERE s.name = $1`,
    [stream],
  );
  return row?.stored;
};

const heldBytes = async (server: TestServer): Promise<number> =>
  (await scrape(server.url)).value('sluice_intake_held_bytes') ?? NaN;
const stagedBatches = async (): Promise<number> => (await countStored(roomy))['staged_batches'] ?? NaN;

/** A request that ends when the gate is opened. */
const hold = (server: TestServer, stream: string, lines: readonly string[], last: readonly string[] = []) => {
  const gate = createGate();
  const pieces = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from(linesOf(lines));
    await gate.opened;
    yield Buffer.from(linesOf(last));
  };
  const answered = sendPieces(server, `POST ${allocationPath(stream, 'sum')}`, pieces());
  return { end: gate.open, answered };
};

describe('NDJSON sums', () => {
  test('wait in memory only, and are not visible before the end of the request', async () => {
    const { end, answered } = hold(roomy, 'held', linesUpTo(5000, 24), linesUpTo(3, 24));
    await eventually(
      () => heldBytes(roomy),
      (bytes) => bytes > 0,
    );
    expect(await countStored(roomy)).toMatchObject({ streams: 0, records: 0, staged_batches: 0 });
    end();
    expect(await answered).toMatchObject({ status: 200, body: { insertedRecords: 5003 } });
    expect(await heldBytes(roomy)).toBe(0);
  });

  test('have the same result in memory and in the staging table, and the same digest', async () => {
    const lines = linesUpTo(12_000, 700);
    const headers = { 'idempotency-key': 'the same' };
    const sent = async (server: TestServer, stream: string): Promise<unknown> => {
      const { status, text } = await send(server, 'NDJSON', [stream, 'sum'], lines);
      expect({ status, text }).toMatchObject({ status: 200 });
      return storedIn(stream);
    };
    const wanted = await sent(roomy, 'same-held');
    expect(JSON.stringify(wanted).length).toBeGreaterThan(500_000);
    expect(await sent(tight, 'same-both')).toEqual(wanted);
    expect(await sent(none, 'same-staged')).toEqual(wanted);
    const answers: Receipt[] = [];
    for (const server of [roomy, tight, none])
      answers.push((await send(server, 'NDJSON', ['same-key', 'sum'], lines, { headers })).body);
    expect(answers.map(({ replayed }) => replayed)).toEqual([false, true, true]);
    expect(await storedIn('same-key')).toEqual(wanted);
  });

  test('are staged with all earlier lines when one request uses a quarter of INTAKE_HELD_BYTES', async () => {
    const { end, answered } = hold(tight, 'both', linesUpTo(22_000, 24), linesUpTo(1, 24));
    await eventually(stagedBatches, (batches) => batches >= 4);
    expect(await heldBytes(tight)).toBe(0);
    end();
    expect(await answered).toMatchObject({ status: 200, body: { insertedRecords: 22_001 } });
    expect(await stagedBatches()).toBe(0);
  });

  test('of many requests use at most INTAKE_HELD_BYTES', async () => {
    const requests = Array.from({ length: 8 }, (_, index) => hold(tight, `many-${index}`, linesUpTo(4500, 24)));
    await eventually(stagedBatches, (batches) => batches > 0);
    const bytes = await heldBytes(tight);
    expect(bytes).toBeGreaterThan(LIMIT / 2);
    expect(bytes).toBeLessThanOrEqual(LIMIT);
    for (const { end } of requests) end();
    const answers = await Promise.all(requests.map(({ answered }) => answered));
    expect(answers.map(({ status }) => status)).toEqual(requests.map(() => 200));
    const stored = await Promise.all(requests.map((_, index) => storedIn(`many-${index}`)));
    for (const one of stored) expect(one).toEqual(stored[0]);
    expect(await heldBytes(tight)).toBe(0);
  });

  test('are staged with correct totals if they have more buckets than totals are kept for', async () => {
    const hours = 100_100;
    const lines = Array.from({ length: hours }, (_, hour) =>
      textOf({ timestamp: hourAt(hour), filter: {}, element: 'acme', value: '1' }),
    );
    const again = lines.slice(0, 10_000);
    const { end, answered } = hold(roomy, 'hours', [...lines, ...again]);
    await eventually(stagedBatches, (batches) => batches > 0);
    end();
    expect(await answered).toMatchObject({ status: 200, body: { insertedRecords: hours + 10_000 } });
    const [totals] = await querySql(
      roomy,
      `SELECT count(*)::int AS rows, sum(value)::text AS value, max(value)::text AS most FROM totals t JOIN streams s ON s.id = t.stream_id WHERE s.name = 'hours'`,
    );
    expect(totals).toMatchObject({ rows: hours, value: String(hours + 10_000), most: '2' });
  });

  test.each([
    ['breaks off', undefined],
    ['has a line that breaks a rule', '{"timestamp":"yesterday"}\n'],
  ])('release their memory if the request %s', async (_, bad) => {
    const gate = createGate();
    const pieces = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from(linesOf(linesUpTo(5000, 24)));
      await gate.opened;
      if (bad === undefined) throw new Error('The sender has gone.');
      yield Buffer.from(bad);
    };
    const answered = sendPieces(roomy, `POST ${allocationPath('gone', 'sum')}`, pieces()).catch(() => null);
    await eventually(
      () => heldBytes(roomy),
      (bytes) => bytes > 0,
    );
    gate.open();
    await answered;
    await eventually(
      () => heldBytes(roomy),
      (bytes) => bytes === 0,
    );
    expect(await storedIn('gone')).toBeUndefined();
  });

  test('are the only requests in memory: replaces and deletes are staged, so that the database compares keys', async () => {
    const gate = createGate();
    const pieces = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from(linesOf(linesUpTo(4500, 10_000)));
      await gate.opened;
    };
    const answered = sendPieces(roomy, `POST ${allocationPath('replaced', 'replace')}`, pieces());
    await eventually(stagedBatches, (batches) => batches > 0);
    expect(await heldBytes(roomy)).toBe(0);
    gate.open();
    expect(await answered).toMatchObject({ status: 200, body: { insertedRecords: 4500 } });
  });
});
