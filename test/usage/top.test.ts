import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatDecimal, largestScale, parseUnits } from '../../src/lib/decimal.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { type FilterEntry, type RecordInput, write } from '../streams/writes.ts';
import { daily, readUsage, sendRecords, type Series, type UsageAnswer, type UsageInput } from './questions.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { clock: { now: () => new Date('2027-02-01T00:00:00Z') } } });
});
afterAll(() => server.stop());

const MONTH = { from: '2026-01-01T00:00:00Z', to: '2026-02-01T00:00:00Z', aggregationBucket: 'MONTH' };
const of = (elementName: string, value: string): RecordInput => ({ ...daily('2026-01-25', value), elementName });
const multiply = (coefficient: string) => ({ function: 'MULTIPLY', coefficient });

/** Each series as its group, number of groups and total. */
const listed = ({ series }: UsageAnswer): unknown[] =>
  series.map(({ group, others, groupCount, total }) => [
    others ? 'others' : group.map(({ values }) => values.join('|')).join(' '),
    groupCount,
    total,
  ]);

describe('top', () => {
  const ask = (input: Partial<UsageInput>): Promise<UsageAnswer> =>
    readUsage(server, { ...MONTH, meterApiNames: ['customers'], groupBy: ['element'], ...input });
  beforeAll(() =>
    sendRecords(server, 'customers', [of('d', '5'), of('c', '0'), of('b', '5'), of('a', '7'), of('e', '1.5')]),
  );

  test('returns the groups with the largest totals and a series that sums the others', async () => {
    expect(listed(await ask({ top: 3 }))).toEqual([
      ['a', 1, '7'],
      ['b', 1, '5'],
      ['d', 1, '5'],
      ['others', 2, '1.5'],
    ]);
  });

  test('returns the first of groups with equal totals in the order of rows', async () => {
    expect(listed(await ask({ top: 2 }))).toEqual([
      ['a', 1, '7'],
      ['b', 1, '5'],
      ['others', 3, '6.5'],
    ]);
    expect(listed(await ask({ top: 1, rescaleFunction: multiply('0') }))).toEqual([
      ['a', 1, '0'],
      ['others', 4, '0'],
    ]);
  });

  test('returns the groups with the largest totals after rescaling', async () => {
    expect(listed(await ask({ top: 2, rescaleFunction: multiply('-2') }))).toEqual([
      ['c', 1, '0'],
      ['e', 1, '-3'],
      ['others', 3, '-34'],
    ]);
  });

  test.each([5, 100])('returns every group and no others when there are as many as %i', async (top) => {
    const all = await ask({});
    expect(await ask({ top })).toEqual(all);
    expect(listed(all)).toHaveLength(5);
    expect(all.series.every(({ others, groupCount }) => !others && groupCount === 1)).toBe(true);
  });

  test('returns no series when the window has no usage', async () => {
    for (const sparse of [true, false]) {
      expect((await ask({ top: 3, sparse, from: '2025-01-01T00:00:00Z', to: '2025-02-01T00:00:00Z' })).series).toEqual(
        [],
      );
      expect((await ask({ top: 3, sparse, meterApiNames: ['nobody'] })).series).toEqual([]);
    }
  });
});

/** Computes the expected answer with top from the answer without it. */
function withTop({ series }: UsageAnswer, top: number): Series[] {
  const scale = largestScale(series.flatMap(({ points }) => points.map(({ value }) => value)));
  const add = (values: readonly string[]): string =>
    formatDecimal(
      values.reduce((sum, value) => sum + parseUnits(value, scale), 0n),
      scale,
    );
  return [...new Set(series.map(({ meterApiName }) => meterApiName))].flatMap((meterApiName): Series[] => {
    const own = series.filter((one) => one.meterApiName === meterApiName);
    const ranked = own.toSorted((a, b) => {
      const [one, other] = [parseUnits(a.total, scale), parseUnits(b.total, scale)];
      return one < other ? 1 : one > other ? -1 : 0;
    });
    const rest = ranked.slice(top);
    const kept = own.filter((one) => !rest.includes(one));
    if (rest.length === 0) return kept;
    const points = rest
      .flatMap((one) => one.points)
      .toSorted((a, b) => (a.bucketStart < b.bucketStart ? -1 : Number(a.bucketStart > b.bucketStart)));
    const starts = [...new Set(points.map(({ bucketStart }) => bucketStart))];
    const sums = starts.map((bucketStart) => {
      const found = points.filter((point) => point.bucketStart === bucketStart);
      return {
        bucketStart,
        bucketEnd: found[0]?.bucketEnd ?? '',
        value: add(found.map(({ value }) => value)),
      };
    });
    const total = add(sums.map(({ value }) => value));
    return [...kept, { meterApiName, group: [], others: true, groupCount: rest.length, total, points: sums }];
  });
}

const values = (...options: string[]) => fc.constantFrom(...options);
const record = fc.record({
  day: fc.integer({ min: 1, max: 6 }),
  elementName: values('a', 'b', 'B', '\uff5e', '\u{1f600}', 'c'),
  region: values('eu', 'us', 'eu|us', 'ap'),
  team: values('x', 'y'),
  value: values('0', '1', '1', '2.5', '10', '0.000001', '12345678901234567890'),
});
const question = fc.record({
  groupBy: fc.subarray(['element', 'region', 'team', 'nowhere'], { minLength: 1 }),
  filter: fc.constantFrom(
    null,
    [{ dimension: 'region', values: ['eu'] }],
    [{ dimension: 'element', values: ['a', 'b'] }],
  ),
  aggregationBucket: values('DAY', 'WEEK', 'MONTH'),
  coefficient: fc.constantFrom(null, '0.5', '-3', '0'),
  sparse: fc.boolean(),
  top: fc.integer({ min: 1, max: 5 }),
  isPast: fc.boolean(),
});

test('top > returns what the sums of usage without top are, of several streams, filled or not, now or as of an operation', async () => {
  let count = 0;
  let summed = 0;
  const batch = fc.array(record, { minLength: 1, maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(batch, batch, batch, question, async (first, second, later, asked) => {
      const key = await server.createKey(`top ${count++}`, ['ADMIN']);
      const send = (stream: string, batchOf: typeof first, kind: 'Sum' | 'Replace', hasDimensions: boolean) => {
        const records = batchOf.map(({ day, elementName, region, team, value }) => ({
          ...daily(`2026-01-0${day}`, value),
          elementName,
          filter: hasDimensions
            ? ([
                { dimension: 'region', values: region.split('|') },
                { dimension: 'team', values: [team] },
              ] satisfies FilterEntry[])
            : [],
        }));
        const keyOf = (one: (typeof records)[number]): string => JSON.stringify({ ...one, value: null });
        const unique = [...new Map(records.map((one) => [keyOf(one), one])).values()];
        return write(server, kind, { stream, records: kind === 'Sum' ? records : unique }, key);
      };
      await send('one', first, 'Sum', true);
      const { operation } = await send('two', second, 'Sum', false);
      await send('one', later, 'Replace', true);
      const { coefficient, isPast, top, ...input } = asked;
      const ask = (limit: number | null): Promise<UsageAnswer> =>
        eventually(
          () =>
            readUsage(
              server,
              {
                from: '2026-01-01T00:00:00Z',
                to: '2026-01-09T00:00:00Z',
                ...input,
                top: limit,
                ...(isPast && { asOf: { operation: operation?.id ?? '' } }),
                ...(coefficient !== null && { rescaleFunction: multiply(coefficient) }),
              },
              key,
            ),
          ({ code }) => code !== 'TOO_RECENT',
        );
      const answer = await ask(top);
      expect(answer.series, JSON.stringify(asked)).toEqual(withTop(await ask(null), top));
      summed += answer.series.filter(({ others }) => others).length;
    }),
    { numRuns: 60 },
  );
  expect(summed).toBeGreaterThan(10);
});
