import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { write } from '../streams/writes.ts';
import { daily, issuesOf, pointsOf, readUsage, sendRecords, type UsageAnswer, type UsageInput } from './questions.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

describe('UsageInput', () => {
  const base = { from: '2026-01-25T00:00:00Z', to: '2026-01-26T00:00:00Z', aggregationBucket: 'DAY' };
  const ask = (changes: Partial<UsageInput>): Promise<UsageAnswer> => readUsage(server, { ...base, ...changes });
  const names = (count: number) => Array.from({ length: count }, (_, index) => `d${index}`);

  test.each([
    [
      'HOUR',
      'UTC',
      '2026-01-25T10:59:59.999Z',
      '2026-01-25T11:00:00.001Z',
      '2026-01-25T10:00:00Z',
      '2026-01-25T12:00:00Z',
    ],
    ['HOUR', 'UTC', '2026-01-25T10:00:00Z', '2026-01-25T11:00:00Z', '2026-01-25T10:00:00Z', '2026-01-25T11:00:00Z'],
    [
      'DAY',
      'Asia/Tokyo',
      '2026-01-25T14:59:59Z',
      '2026-01-25T15:00:00Z',
      '2026-01-24T15:00:00Z',
      '2026-01-25T15:00:00Z',
    ],
    [
      'DAY',
      'Asia/Tokyo',
      '2026-01-25T00:00:00+09:00',
      '2026-01-25T00:00:01+09:00',
      '2026-01-24T15:00:00Z',
      '2026-01-25T15:00:00Z',
    ],
    ['WEEK', 'UTC', '2026-01-25T23:59:59Z', '2026-01-26T00:00:00Z', '2026-01-19T00:00:00Z', '2026-01-26T00:00:00Z'],
    [
      'MONTH',
      'America/New_York',
      '2026-03-01T04:59:59Z',
      '2026-03-01T05:00:01Z',
      '2026-02-01T05:00:00Z',
      '2026-04-01T04:00:00Z',
    ],
  ])(
    'is extended to whole buckets by %s in %s, %s to %s',
    async (aggregationBucket, timeZone, from, to, first, last) => {
      const answer = await ask({ aggregationBucket, timeZone, from, to });
      expect([answer.from, answer.to]).toEqual([first, last]);
    },
  );

  test.each<[string, Partial<UsageInput>, string]>([
    ['an empty window', { to: base.from }, 'input.to: EMPTY_WINDOW'],
    ['a window that ends before it starts', { to: '2026-01-24T23:59:59Z' }, 'input.to: EMPTY_WINDOW'],
    ['a date without a time', { from: '2026-01-25' }, 'input.from: BAD_TIMESTAMP'],
    ['two invalid timestamps', { from: 'now', to: '' }, 'input.from: BAD_TIMESTAMP, input.to: BAD_TIMESTAMP'],
    ['an offset as time zone', { timeZone: '+05:30' }, 'input.timeZone: BAD_TIME_ZONE'],
    ['an abbreviation as time zone', { timeZone: 'PST' }, 'input.timeZone: BAD_TIME_ZONE'],
    ['a time zone with a space', { timeZone: 'Europe/Berlin ' }, 'input.timeZone: BAD_TIME_ZONE'],
    ['an empty time zone', { timeZone: '' }, 'input.timeZone: BAD_TIME_ZONE'],
    ['20 groups', { groupBy: names(20) }, 'Usage'],
    ['21 groups', { groupBy: names(21) }, 'input.groupBy: TOO_MANY_DIMENSIONS'],
    ['a repeated group', { groupBy: ['a', 'b', 'a'] }, 'input.groupBy.2: DUPLICATE_DIMENSION'],
    ['the element by two names', { groupBy: ['element', 'elementName'] }, 'input.groupBy.1: DUPLICATE_DIMENSION'],
    ['a column of the export', { groupBy: ['value'] }, 'input.groupBy.0: RESERVED_DIMENSION'],
    ['a group without a name', { groupBy: [''] }, 'input.groupBy.0: EMPTY'],
    ['a group with NUL', { groupBy: ['a\u0000'] }, 'input.groupBy.0: CONTROL_CHARACTER'],
    ['a group that contains SQL', { groupBy: [`'; DROP TABLE records; --"$1\\`] }, 'Usage'],
    [
      '20 filtered dimensions of 1,000 values',
      { filter: names(20).map((dimension) => ({ dimension, values: names(1000) })) },
      'Usage',
    ],
    [
      '21 filtered dimensions',
      { filter: names(21).map((dimension) => ({ dimension, values: ['v'] })) },
      'input.filter: TOO_MANY_DIMENSIONS',
    ],
    ['1,001 values', { filter: [{ dimension: 'd', values: names(1001) }] }, 'input.filter.0.values: TOO_MANY_VALUES'],
    ['no values', { filter: [{ dimension: 'd', values: [] }] }, 'input.filter.0.values: NO_VALUES'],
    [
      'two filters of the element, by two names',
      {
        filter: [
          { dimension: 'element', values: ['v'] },
          { dimension: 'element_name', values: ['v'] },
        ],
      },
      'input.filter.1.dimension: DUPLICATE_DIMENSION',
    ],
    [
      'half of a surrogate pair in a value',
      { filter: [{ dimension: 'd', values: ['v', '\ud83d'] }] },
      'input.filter.0.values.1: MALFORMED_UNICODE',
    ],
    ['199,999 hours', { from: '2000-01-01T00:00:00Z', to: '2022-10-25T07:00:00Z', aggregationBucket: 'HOUR' }, 'Usage'],
    [
      '200,001 hours',
      { from: '2000-01-01T00:00:00Z', to: '2022-10-25T08:00:01Z', aggregationBucket: 'HOUR' },
      'input.from: WINDOW_TOO_LONG',
    ],
    ['the year 1', { from: '0001-12-31T23:59:59Z' }, 'input.from: TIMESTAMP_OUT_OF_RANGE'],
    ['the year 9999', { to: '9999-01-01T00:00:00Z' }, 'input.to: TIMESTAMP_OUT_OF_RANGE'],
    ['top 1', { top: 1, groupBy: ['a'] }, 'Usage'],
    ['top 100', { top: 100, groupBy: ['element'] }, 'Usage'],
    ['top 0', { top: 0, groupBy: ['a'] }, 'input.top: BAD_VALUE'],
    ['top 101', { top: 101, groupBy: ['a'] }, 'input.top: BAD_VALUE'],
    ['top without groups', { top: 3 }, 'input.top: TOP_WITHOUT_GROUPS'],
    ['top with an empty list of groups', { top: 3, groupBy: [] }, 'input.top: TOP_WITHOUT_GROUPS'],
    ['a timestamp that is in the year 10000 in UTC', { to: '9999-12-31T23:59:59-00:01' }, 'input.to: BAD_TIMESTAMP'],
  ])('is validated with %s: %#', async (_, changes, expected) => {
    expect(issuesOf(await ask(changes))).toBe(expected);
  });

  test.each(['UTC', 'America/New_York', 'Pacific/Kiritimati', 'Pacific/Apia', 'Africa/Monrovia'])(
    'accepts the first and the last possible timestamps in %s',
    async (timeZone) => {
      for (const aggregationBucket of ['HOUR', 'DAY', 'WEEK', 'MONTH']) {
        for (const [from, to] of [
          ['0002-01-01T00:00:00Z', '0002-01-01T00:00:01Z'],
          ['9998-12-31T23:59:58Z', '9998-12-31T23:59:59.999Z'],
        ] as const) {
          const answer = await ask({ from, to, aggregationBucket, timeZone, sparse: false });
          expect([answer.__typename, answer.from <= from, answer.to >= to]).toEqual(['Usage', true, true]);
        }
      }
    },
  );

  test('has buckets that begin at local midnight to the second when the offset had seconds', async () => {
    await sendRecords(server, 'old', [daily('0002-01-31', '5')]);
    const answer = await readUsage(server, {
      meterApiNames: ['old'],
      from: '0002-01-01T00:00:00Z',
      to: '0003-01-01T00:00:00Z',
      aggregationBucket: 'MONTH',
      timeZone: 'Europe/Berlin',
    });
    // Local mean time was 53 minutes and 28 seconds ahead of UTC, so the month began at 23:06:32 UTC.
    expect(pointsOf(answer)).toEqual({ '0001-12-31T23:06:32Z': '5' });
  });
});

test('usage > returns LimitExceededError when the rows exceed MAX_USAGE_ROWS or MAX_FILLED_ROWS', async () => {
  const strict = await startTestServer({
    env: { MAX_USAGE_ROWS: '4', MAX_FILLED_ROWS: '6' },
    database: server.database,
  });
  try {
    const key = await strict.createKey('limited', ['ADMIN']);
    const elements = ['a', 'b', 'c'].map((elementName) => ({ ...daily('2026-01-02', '1'), elementName }));
    await write(strict, 'Sum', { stream: 'limited', records: elements }, key);
    const ask = (to: string, sparse: boolean) =>
      readUsage(
        strict,
        { from: '2026-01-02T00:00:00Z', to, aggregationBucket: 'DAY', groupBy: ['element'], sparse },
        key,
      );
    expect(await ask('2026-01-04T00:00:00Z', true)).toMatchObject({ __typename: 'Usage' });
    // 3 groups in 2 days are 6 rows: within MAX_FILLED_ROWS, but more than MAX_USAGE_ROWS.
    expect(await ask('2026-01-04T00:00:00Z', false)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 4, actual: 5 });
    expect(await ask('2026-01-05T00:00:00Z', false)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 6, actual: 9 });
    await write(strict, 'Sum', { stream: 'limited', records: [daily('2026-01-03', '1')] }, key);
    expect(await ask('2026-01-04T00:00:00Z', true)).toMatchObject({ __typename: 'Usage' });
    await write(
      strict,
      'Sum',
      { stream: 'limited', records: [{ ...daily('2026-01-03', '1'), elementName: 'b' }] },
      key,
    );
    expect(await ask('2026-01-04T00:00:00Z', true)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 4, actual: 5 });
  } finally {
    await strict.stop();
  }
});

test('usage > counts the rows that top returns for MAX_USAGE_ROWS and MAX_FILLED_ROWS', async () => {
  const strict = await startTestServer({
    env: { MAX_USAGE_ROWS: '8', MAX_FILLED_ROWS: '6' },
    database: server.database,
  });
  try {
    const key = await strict.createKey('limited by top', ['ADMIN']);
    const elements = Array.from({ length: 20 }, (_, index) => ({
      ...daily('2026-01-02', '1'),
      elementName: `e${index}`,
    }));
    for (const stream of ['limited', 'limited too']) await write(strict, 'Sum', { stream, records: elements }, key);
    const ask = (days: number, top: number | null, sparse: boolean) =>
      readUsage(
        strict,
        {
          meterApiNames: ['limited', 'missing'],
          from: '2026-01-02T00:00:00Z',
          to: `2026-01-0${2 + days}T00:00:00Z`,
          aggregationBucket: 'DAY',
          groupBy: ['element'],
          top,
          sparse,
        },
        key,
      );
    expect(await ask(1, null, true)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 8, actual: 9 });
    expect((await ask(1, 7, true)).series).toHaveLength(8);
    expect(await ask(1, 8, true)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 8, actual: 9 });
    expect(await ask(2, null, false)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 6, actual: 40 });
    expect((await ask(2, 2, false)).series).toHaveLength(3);
    expect(await ask(2, 3, false)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 6, actual: 8 });
  } finally {
    await strict.stop();
  }
});
