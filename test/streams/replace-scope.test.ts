import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { readRecords, type RecordInput, type ScopeInput, verdict, write } from './writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

let stream = '';
let count = 0;
beforeEach(() => {
  count += 1;
  stream = `scope-${count}`;
});

const HOUR = 3_600_000;
const OCTOBER: ScopeInput = { from: '2026-10-01T00:00:00Z', to: '2026-11-01T00:00:00Z' };
const env = (value: string) => [{ dimension: 'env', values: [value] }];
const hourly = (at: string | number, value: string, changes: Partial<RecordInput> = {}): RecordInput => ({
  timestamp: new Date(at).toISOString(),
  granularity: 'HOURLY',
  elementName: 'acme',
  filter: env('prod'),
  value,
  ...changes,
});

const sumOfRecords = async (): Promise<number> =>
  ((await readRecords(server, stream)) ?? []).reduce((sum, record) => sum + Number(record.value), 0);

/** The 720 hours of 2 to 31 October with 12.5 each, and one hour of September and November with 1 each. */
const sendOctober = async (): Promise<void> => {
  const from = Date.parse('2026-10-02T00:00:00Z');
  const records = Array.from({ length: 720 }, (_, hour) => hourly(from + hour * HOUR, '12.5'));
  const outside = [hourly('2026-09-30T23:00:00Z', '1'), hourly('2026-11-01T00:00:00Z', '1')];
  await write(server, 'Sum', { stream, records: [...records, ...outside] });
};

const THREE = ['2026-10-01T00:00:00Z', '2026-10-15T12:00:00Z', '2026-10-31T23:00:00Z'].map((at) => hourly(at, '10'));

describe('allocationReplace with a scope', () => {
  test('hides all records of a month and inserts others in one operation', async () => {
    await sendOctober();
    expect(await sumOfRecords()).toBe(9002);
    const input = { stream, scope: OCTOBER, records: THREE, idempotencyKey: stream };
    const answer = await write(server, 'Replace', input);
    expect(answer.operation).toMatchObject({ hiddenRecords: 720, insertedRecords: 3 });
    expect(await sumOfRecords()).toBe(32);
    const kept = (await readRecords(server, stream))?.filter(({ value }) => value === '1');
    expect(kept?.map(({ timestamp }) => timestamp)).toEqual(['2026-11-01T00:00:00Z', '2026-09-30T23:00:00Z']);
    expect(await write(server, 'Replace', input)).toEqual({ ...answer, replayed: true });
    const other = { ...input, scope: { ...OCTOBER, to: '2026-10-31T00:00:00Z' } };
    expect(verdict(await write(server, 'Replace', other))).toBe('IDEMPOTENCY_MISMATCH');
    expect(await sumOfRecords()).toBe(32);
  });

  test('shows readers all of it or nothing', async () => {
    await sendOctober();
    const seen = new Set<number>();
    const written = write(server, 'Replace', { stream, scope: OCTOBER, records: THREE });
    let isWritten = false;
    void written.finally(() => (isWritten = true));
    const question = `query ($stream: String!) { usage(input: { from: "2026-10-01T00:00:00Z", to: "2026-11-01T00:00:00Z",
      aggregationBucket: MONTH, meterApiNames: [$stream] }) { ... on Usage { series { points { value } } } } }`;
    do {
      const { usage } = await server.graphql<{ usage: { series: { points: { value: string }[] }[] } }>(question, {
        stream,
      });
      seen.add(Number(usage.series[0]?.points[0]?.value));
    } while (!isWritten || !seen.has(30));
    await written;
    expect([9000, 30]).toEqual(expect.arrayContaining([...seen]));
  });

  test('hides only the element and the filter that it names', async () => {
    const at = '2026-10-05T07:00:00Z';
    const records = ['acme', 'hooli'].flatMap((elementName) =>
      ['prod', 'dev'].map((value) => hourly(at, '1', { elementName, filter: env(value) })),
    );
    await write(server, 'Sum', { stream, records });
    const hooli = await write(server, 'Replace', { stream, scope: { ...OCTOBER, elementName: 'hooli' }, records: [] });
    expect(hooli.operation).toMatchObject({ hiddenRecords: 2, insertedRecords: 0 });
    const prod = await write(server, 'Replace', { stream, scope: { ...OCTOBER, filter: env('prod') }, records: [] });
    expect(prod.operation).toMatchObject({ hiddenRecords: 1, insertedRecords: 0 });
    expect(await readRecords(server, stream)).toMatchObject([{ elementName: 'acme', filter: env('dev') }]);
    const nobody = { ...OCTOBER, filter: env('staging') };
    expect((await write(server, 'Replace', { stream, scope: nobody, records: [] })).operation?.hiddenRecords).toBe(0);
  });

  test('rejects each record outside the scope, and writes nothing', async () => {
    await sendOctober();
    const scope = { ...OCTOBER, filter: env('prod'), elementName: 'acme' };
    const records = [
      ...THREE,
      hourly(OCTOBER.to, '1'),
      hourly('2026-10-03T00:00:00Z', '1', { filter: env('dev') }),
      hourly('2026-10-04T00:00:00Z', '1', { elementName: 'hooli' }),
    ];
    const answer = await write(server, 'Replace', { stream, scope, records });
    expect(verdict(answer)).toBe([3, 4, 5].map((index) => `input.records.${index}: OUTSIDE_SCOPE`).join(', '));
    expect(await sumOfRecords()).toBe(9002);
  });

  test.each<[string, string, Partial<ScopeInput>, string]>([
    ['begins within an hour', 'HOURLY', { from: '2026-10-01T00:30:00Z' }, 'input.scope.from: BAD_SCOPE'],
    ['ends within a month', 'MONTHLY', { to: '2026-11-15T00:00:00Z' }, 'input.scope.to: BAD_SCOPE'],
    ['begins within a date as written', 'DAILY', { from: '2026-10-01T02:00:00+02:00' }, 'input.scope.from: BAD_SCOPE'],
    ['ends before it begins', 'DAILY', { to: '2026-09-01T00:00:00Z' }, 'input.scope.to: BAD_SCOPE'],
    ['is empty', 'HOURLY', { to: OCTOBER.from }, 'input.scope.to: BAD_SCOPE'],
    ['has no timestamp', 'HOURLY', { from: 'October' }, 'input.scope.from: BAD_SCOPE'],
    [
      'names another dimension',
      'DAILY',
      { filter: [{ dimension: 'team', values: ['a'] }] },
      'input.scope.filter.0.dimension: UNKNOWN_DIMENSION',
    ],
    ['has an empty element', 'DAILY', { elementName: '' }, 'input.scope.elementName: EMPTY'],
  ])('is rejected if the scope %s', async (_, granularity, changes, expected) => {
    const record = hourly(OCTOBER.from, '1', { granularity });
    await write(server, 'Sum', { stream, records: [record] });
    const scope = { ...OCTOBER, ...changes };
    expect(verdict(await write(server, 'Replace', { stream, scope, records: [] }))).toBe(expected);
    expect(await sumOfRecords()).toBe(1);
  });

  test('reads the dates of a daily stream as written, and may lie in the future', async () => {
    const later = new Date(Date.now() + 400 * 24 * HOUR).toISOString().slice(0, 10);
    await write(server, 'Sum', { stream, records: [hourly('2026-10-01T00:00:00Z', '1', { granularity: 'DAILY' })] });
    const scope = { from: '2026-10-01T00:00:00+02:00', to: `${later}T00:00:00-08:00` };
    const answer = await write(server, 'Replace', { stream, scope, records: [] });
    expect(answer.operation?.hiddenRecords).toBe(1);
  });

  test('is an issue of a sum', async () => {
    expect(verdict(await write(server, 'Sum', { stream, scope: OCTOBER, records: THREE }))).toBe(
      'input.scope: SCOPE_FORBIDDEN',
    );
    expect(await readRecords(server, stream)).toBeNull();
  });

  test('creates the stream only if there are records', async () => {
    const empty = await write(server, 'Replace', { stream, scope: OCTOBER, records: [] });
    expect(empty).toMatchObject({ __typename: 'NotFoundError', code: 'NOT_FOUND' });
    const created = await write(server, 'Replace', { stream, scope: OCTOBER, records: THREE });
    expect(created.operation).toMatchObject({ hiddenRecords: 0, insertedRecords: 3 });
    expect(verdict(await write(server, 'Replace', { stream, records: [] }))).toBe('input.records: NO_RECORDS');
  });

  test('is shown by the operation, with the buckets that it may have touched', async () => {
    await write(server, 'Sum', { stream, records: THREE });
    const scope = { ...OCTOBER, filter: env('prod'), elementName: 'acme' };
    await write(server, 'Replace', { stream, scope, records: [] });
    await write(server, 'Delete', { stream, records: [{ timestamp: OCTOBER.from, granularity: 'HOURLY' }] });
    const { stream: found } = await server.graphql<{ stream: { operations: { nodes: unknown[] } } }>(
      `query ($stream: String!) { stream(name: $stream) { operations { edges { node { kind firstTimestamp lastTimestamp
        scope { from to filter { dimension values } elementName } } } } } }`,
      { stream },
    );
    expect(found.operations).toEqual({
      edges: [
        { node: { kind: 'DELETE', firstTimestamp: OCTOBER.from, lastTimestamp: OCTOBER.from, scope: null } },
        { node: { kind: 'REPLACE', firstTimestamp: OCTOBER.from, lastTimestamp: '2026-10-31T23:00:00Z', scope } },
        {
          node: { kind: 'SUM', firstTimestamp: OCTOBER.from, lastTimestamp: '2026-10-31T23:00:00Z', scope: null },
        },
      ],
    });
  });
});
