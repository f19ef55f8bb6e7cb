import { describe, expect, test } from 'vitest';
import {
  formatBucket,
  formatCompleteThrough,
  formatStreamBucket,
  formatTick,
} from '../../console/src/pages/streams/bucket-text.ts';
import { addDays, addMonths, countDays, dateOf, isDate, startOfDay } from '../../console/src/ui/zone-dates.ts';
import {
  findCorrectionIssues,
  formatCorrectionAddress,
  readCorrection,
  toReplaceInput,
  validateCorrection,
} from '../../console/src/pages/streams/correction-form.ts';
import {
  addDecimals,
  compareDecimals,
  formatShare,
  subtractDecimals,
} from '../../console/src/pages/streams/decimals.ts';
import { findNamedOperation } from '../../console/src/pages/streams/operation-words.ts';
import { readSelection, type StreamSpan, toUsageInput } from '../../console/src/pages/streams/selection.ts';
import { findRange, formatAxisValue, stackValues } from '../../console/src/pages/streams/stacking.ts';
import { planTicks } from '../../console/src/pages/streams/ticks.ts';
import { formatUsageCsv } from '../../console/src/pages/streams/usage-csv.ts';
import { buildUsage, removeOthers } from '../../console/src/pages/streams/usage-model.ts';

describe('console > decimals', () => {
  test('are added and subtracted exactly', () => {
    expect(addDecimals(['12345678901234567890.1', '0.9', '-0.000000000000000001'])).toBe(
      '12345678901234567890.999999999999999999',
    );
    expect(addDecimals([])).toBe('0');
    expect(subtractDecimals('4870', '5870')).toBe('-1000');
    expect(subtractDecimals('0.1', '0.1')).toBe('0');
    expect(subtractDecimals('-0.5', '-0.25')).toBe('-0.25');
  });

  test('are compared by value', () => {
    expect(['10', '9.5', '-1', '9.50001', '0'].toSorted(compareDecimals)).toEqual(['-1', '0', '9.5', '9.50001', '10']);
    expect(compareDecimals('1', '1.0')).toBe(0);
  });

  test.each([
    ['1', '3', '33.3 %'],
    ['2', '100', '2.0 %'],
    ['5', '5', '100.0 %'],
    ['0', '5', '0.0 %'],
    ['-1', '5', null],
    ['1', '0', null],
    ['6', '5', null],
  ])('%s of %s is the share %s', (part, total, share) => {
    expect(formatShare(part, total)).toBe(share);
  });
});

describe('console > calendar dates', () => {
  test.each([
    ['2026-01-25', 'UTC', '2026-01-25T00:00:00Z'],
    ['2026-01-25', 'Europe/Berlin', '2026-01-24T23:00:00Z'],
    ['2026-03-29', 'Europe/Berlin', '2026-03-28T23:00:00Z'],
    ['2026-03-30', 'Europe/Berlin', '2026-03-29T22:00:00Z'],
    ['2026-10-26', 'Europe/Berlin', '2026-10-25T23:00:00Z'],
    // The clocks of Beirut skip midnight, and those of Havana repeat the hour before it or after it.
    ['2026-03-29', 'Asia/Beirut', '2026-03-28T22:00:00Z'],
    ['2026-11-01', 'America/Havana', '2026-11-01T04:00:00Z'],
    ['2026-01-25', 'Pacific/Kiritimati', '2026-01-24T10:00:00Z'],
    ['2026-01-25', 'Asia/Kathmandu', '2026-01-24T18:15:00Z'],
  ])('%s starts in %s at %s', (date, zone, start) => {
    expect(startOfDay(date, zone)).toBe(Date.parse(start));
    expect(dateOf(Date.parse(start), zone)).toBe(date);
  });

  test('are those of UTC in a zone that the browser does not know', () => {
    expect(startOfDay('2026-01-25', 'Europe/Atlantis')).toBe(Date.parse('2026-01-25T00:00:00Z'));
    expect(dateOf(Date.parse('2026-01-25T23:59:59Z'), 'Europe/Atlantis')).toBe('2026-01-25');
  });

  test('are read only if they exist', () => {
    expect(['2026-02-28', '2026-02-29', '2026-1-1', '', '0001-01-01', '9999-01-01'].filter(isDate)).toEqual([
      '2026-02-28',
    ]);
  });

  test('are counted in days and months', () => {
    expect(addDays('2026-02-28', 1)).toBe('2026-03-01');
    expect(addMonths('2026-01', 1)).toBe('2026-02');
    expect(addMonths('2026-01', -11)).toBe('2025-02');
    expect(countDays('2026-01-25', '2026-02-01')).toBe(7);
  });
});

describe('console > buckets', () => {
  test('are named by their length, in their zone', () => {
    expect(formatBucket('2026-01-24T23:00:00Z', 'HOUR', 'Europe/Berlin')).toBe('25 Jan 2026, 00:00');
    expect(formatBucket('2026-01-24T23:00:00Z', 'DAY', 'Europe/Berlin')).toBe('Sun, 25 Jan 2026');
    expect(formatBucket('2026-01-19T00:00:00Z', 'WEEK', 'UTC')).toBe('Week of 19 Jan 2026');
    expect(formatBucket('2026-01-01T00:00:00Z', 'MONTH', 'UTC')).toBe('January 2026');
  });

  test('of a DAILY or MONTHLY stream are calendar dates in every zone', () => {
    expect(formatStreamBucket('2026-01-25T00:00:00Z', 'DAILY', 'America/New_York')).toBe('25 Jan 2026');
    expect(formatStreamBucket('2026-01-01T00:00:00Z', 'MONTHLY', 'America/New_York')).toBe('January 2026');
    expect(formatStreamBucket('2026-01-25T05:00:00Z', 'HOURLY', 'America/New_York')).toBe(
      '25 Jan 2026, 00:00 America/New_York',
    );
  });

  test('are complete through the last one that has ended', () => {
    expect(formatCompleteThrough('2026-01-26T00:00:00Z', 'DAILY', 'America/New_York')).toBe('25 Jan 2026');
    expect(formatCompleteThrough('2026-02-01T00:00:00Z', 'MONTHLY', 'America/New_York')).toBe('January 2026');
    expect(formatCompleteThrough('2026-01-25T06:00:00Z', 'HOURLY', 'UTC')).toBe('25 Jan 2026, 06:00 UTC');
  });
});

describe('console > selection of usage', () => {
  const daily: StreamSpan = {
    granularity: 'DAILY',
    dimensions: ['region'],
    firstTimestamp: '2026-01-01T00:00:00Z',
    lastTimestamp: '2026-11-28T00:00:00Z',
  };
  const select = (address: string, stream: StreamSpan = daily, zone = 'Europe/Berlin') =>
    readSelection(new URLSearchParams(address), stream, zone);

  test('is the newest 30 days by element when the address has no parameters', () => {
    expect(select('')).toEqual({
      from: '2026-10-30',
      through: '2026-11-28',
      range: '30d',
      bucket: 'DAY',
      groupBy: 'element',
      zone: 'UTC',
      filters: [],
      areOthersHidden: false,
    });
  });

  test('is read from the address', () => {
    expect(
      select('from=2026-02-01&through=2026-02-03&bucket=WEEK&by=region&only=element%3Da%3Db&others=hidden'),
    ).toMatchObject({
      from: '2026-02-01',
      through: '2026-02-03',
      range: null,
      bucket: 'WEEK',
      groupBy: 'region',
      filters: [{ dimension: 'element', value: 'a=b' }],
      areOthersHidden: true,
    });
    expect(select('by=none').groupBy).toBe(null);
  });

  test('has a default for each parameter that the stream does not have', () => {
    expect(
      select('from=2026-02-03&through=2026-02-01&range=1d&bucket=HOUR&by=size&only=size%3Dlarge&zone=Mars'),
    ).toEqual(select(''));
  });

  test('has buckets that fit the length of the range', () => {
    const hourly: StreamSpan = { ...daily, granularity: 'HOURLY', lastTimestamp: '2026-11-28T23:00:00Z' };
    expect(select('range=1d', hourly)).toMatchObject({ from: '2026-11-29', through: '2026-11-29', bucket: 'HOUR' });
    expect(select('range=1d', hourly, 'UTC')).toMatchObject({ from: '2026-11-28', through: '2026-11-28' });
    expect(select('', hourly)).toMatchObject({ from: '2026-11-23', bucket: 'DAY', zone: 'Europe/Berlin' });
    expect(select('range=all&zone=america%2Fnew_york', hourly)).toMatchObject({
      from: '2025-12-31',
      through: '2026-11-28',
      bucket: 'MONTH',
      zone: 'America/New_York',
    });
    expect(select('', { ...daily, granularity: 'MONTHLY', lastTimestamp: '2026-02-01T00:00:00Z' })).toMatchObject({
      from: '2025-03-01',
      through: '2026-02-28',
      bucket: 'MONTH',
    });
  });

  test('is the input of the API', () => {
    expect(toUsageInput('api-calls', select('only=region%3Deu'))).toEqual({
      meterApiNames: ['api-calls'],
      from: '2026-10-30T00:00:00Z',
      to: '2026-11-29T00:00:00Z',
      aggregationBucket: 'DAY',
      timeZone: 'UTC',
      sparse: true,
      filter: [{ dimension: 'region', values: ['eu'] }],
      groupBy: ['element'],
      top: 10,
    });
    expect(toUsageInput('api-calls', select('by=none'))).not.toHaveProperty('top');
  });
});

const point = (date: string, value: string) => ({
  bucketStart: `${date}T00:00:00Z`,
  bucketEnd: `${date}T24:00:00Z`,
  value,
});
const SERIES = [
  { group: [], groupCount: 25, others: true, total: '900', points: [point('2026-01-26', '900')] },
  {
    group: [{ dimension: 'element', values: ['=hooli, "inc"'] }],
    groupCount: 1,
    others: false,
    total: '-1.5',
    points: [point('2026-01-25', '-1.5')],
  },
  {
    group: [{ dimension: 'region', values: ['eu', 'us'] }],
    groupCount: 1,
    others: false,
    total: '12345678901234567890.25',
    points: [point('2026-01-26', '0.25'), point('2026-01-25', '12345678901234567890')],
  },
];

describe('console > usage', () => {
  test('has the largest group first, the others last, and exact sums', () => {
    const usage = buildUsage(SERIES);
    expect(usage.groups.map(({ name, isOthers }) => [name, isOthers])).toEqual([
      ['eu | us', false],
      ['=hooli, "inc"', false],
      ['25 others', true],
    ]);
    expect(usage.rows.map(({ values, total }) => [...values, total])).toEqual([
      ['12345678901234567890', '-1.5', null, '12345678901234567888.5'],
      ['0.25', null, '900', '900.25'],
    ]);
    expect(usage.total).toBe('12345678901234568788.75');
  });

  test.each([
    [1, '1 other'],
    [24_990, '24,990 others'],
  ])('groups the digits of %d others', (groupCount, name) => {
    const series = { group: [], groupCount, others: true, total: '1', points: [] };
    expect(buildUsage([series]).groups.map((group) => group.name)).toEqual([name]);
  });

  test('keeps its totals when the others are removed', () => {
    const usage = removeOthers(buildUsage(SERIES));
    expect(usage.groups).toHaveLength(2);
    expect(usage.rows.map(({ values, total }) => [...values, total])).toEqual([
      ['12345678901234567890', '-1.5', '12345678901234567888.5'],
      ['0.25', null, '900.25'],
    ]);
  });

  test('without records has no rows', () => {
    expect(buildUsage([])).toEqual({ groups: [], rows: [], total: '0' });
  });

  test('is CSV with exact figures, and without formulas', () => {
    expect(formatUsageCsv(buildUsage(SERIES))).toBe(
      [
        `bucketStart,bucketEnd,total,eu | us,"'=hooli, ""inc""",25 others`,
        '2026-01-25T00:00:00Z,2026-01-25T24:00:00Z,12345678901234567888.5,12345678901234567890,-1.5,',
        '2026-01-26T00:00:00Z,2026-01-26T24:00:00Z,900.25,0.25,,900',
        '',
      ].join('\r\n'),
    );
  });
});

describe('console > bars', () => {
  test('stack positive values upwards and negative ones downwards', () => {
    expect(stackValues(['3', '-1', null, '0', '2', '-4'])).toEqual([
      { group: 0, from: 0, to: 3 },
      { group: 1, from: 0, to: -1 },
      { group: 4, from: 3, to: 5 },
      { group: 5, from: -1, to: -5 },
    ]);
  });

  test.each([
    [[], [0, 1]],
    [['0'], [0, 1]],
    [['100'], [0, 105]],
    [['-100'], [-105, 0]],
    [
      ['60', '-40'],
      [-45, 65],
    ],
  ])('of %j have the range %j', (values, range) => {
    expect(findRange([stackValues(values)])).toEqual(range);
  });

  test.each([
    [0, '0'],
    [0.25, '0.25'],
    [999, '999'],
    [1200, '1.2K'],
    [-4_500_000, '-4.5M'],
    [2e15, '2e+15'],
    [0.0000025, '2.5e-6'],
  ])('of %d have the label %s', (value, label) => {
    expect(formatAxisValue(value)).toBe(label);
  });
});

describe('console > ticks', () => {
  const plan = (from: string, to: string, shortest: 'hour' | 'day' | 'month', maxCount: number, zone = 'UTC') => {
    const { unit, times } = planTicks({ from: Date.parse(from), to: Date.parse(to), shortest, zone }, maxCount);
    return times.map((time) => formatTick(time, unit, zone));
  };

  test('are at round hours, and the first of a day has its date', () => {
    expect(plan('2026-01-24T23:00:00Z', '2026-01-25T23:00:00Z', 'hour', 4, 'Europe/Berlin')).toEqual([
      '25 Jan',
      '06:00',
      '12:00',
      '18:00',
    ]);
  });

  test('are at midnights of the zone across a change of the clock', () => {
    expect(plan('2026-03-27T23:00:00Z', '2026-03-30T22:00:00Z', 'day', 3, 'Europe/Berlin')).toEqual([
      '28 Mar',
      '29 Mar',
      '30 Mar',
    ]);
  });

  test('are at first days of months from January when the range is long', () => {
    expect(plan('2025-06-15T00:00:00Z', '2026-06-15T00:00:00Z', 'day', 5)).toEqual([
      'Jul 2025',
      'Oct 2025',
      'Jan 2026',
      'Apr 2026',
    ]);
  });

  test('are not denser than the buckets', () => {
    expect(plan('2026-01-01T00:00:00Z', '2026-03-01T00:00:00Z', 'month', 50)).toEqual(['Jan 2026', 'Feb 2026']);
    expect(plan('2026-01-25T00:00:00Z', '2026-01-26T00:00:00Z', 'day', 50)).toEqual(['25 Jan']);
  });
});

describe('console > correction', () => {
  const stream = { name: 'api-calls', granularity: 'DAILY', dimensions: ['feature', 'region'] } as const;
  const record = {
    timestamp: '2026-01-25T00:00:00Z',
    elementName: 'hooli & co',
    filter: [
      { dimension: 'feature', values: ['a=b', 'c'] },
      { dimension: 'region', values: ['eu'] },
    ],
    value: '12.5',
  };

  test('of a record is in the address of the form', () => {
    const address = new URL(formatCorrectionAddress('api-calls', record), 'http://console/');
    expect(address.pathname).toBe('/streams/api-calls/correct');
    expect(readCorrection(address.searchParams, stream)).toEqual({
      bucket: '2026-01-25',
      element: 'hooli & co',
      filter: [['a=b', 'c'], ['eu']],
      value: '12.5',
    });
  });

  test.each([
    ['HOURLY', '2026-01-25T06:00', '2026-01-25T06:00:00Z'],
    ['DAILY', '2026-01-25', '2026-01-25T00:00:00Z'],
    ['MONTHLY', '2026-01', '2026-01-01T00:00:00Z'],
  ] as const)('of a stream that is %s has the timestamp %s', (granularity, bucket, timestamp) => {
    const values = { bucket, element: 'hooli', filter: [[], ['eu']], value: ' 3 ' };
    expect(toReplaceInput({ ...stream, granularity }, values)).toEqual({
      stream: 'api-calls',
      records: [
        {
          granularity,
          timestamp,
          elementName: 'hooli',
          filter: [
            { dimension: 'feature', values: [] },
            { dimension: 'region', values: ['eu'] },
          ],
          value: '3',
        },
      ],
    });
  });

  test('has the issues of a preview and of a replace at its fields', () => {
    const issues = {
      'replace.records.0.elementName': 'Too long.',
      'replace.records.0.filter.1.values.0': 'Bad value.',
      'records.0.value': 'Bad.',
      'records.0.timestamp': 'Later.',
    };
    expect(findCorrectionIssues({ message: '', code: null, issues }, 2)).toEqual({
      bucket: 'Later.',
      element: 'Too long.',
      filter: [undefined, 'Bad value.'],
      value: 'Bad.',
    });
  });

  test('needs a bucket and a number', () => {
    const values = { bucket: '', element: '', filter: [], value: '1,5' };
    expect(validateCorrection(values)).toEqual({
      bucket: 'Choose the bucket.',
      value: 'Enter a number such as 1200.5.',
    });
    expect(validateCorrection({ ...values, bucket: '2026-01-25', value: '1200.5' })).toEqual({});
  });
});

describe('console > operations', () => {
  test('that prevent a revert are read from its message', () => {
    expect(
      findNamedOperation(
        'The operation cannot be reverted. A later write hid records that it inserted: operation QWxsb2M6NQ. Nothing was written.',
      ),
    ).toBe('QWxsb2M6NQ');
    expect(findNamedOperation('The operation cannot be reverted. Its stream is deleted.')).toBe(null);
  });
});
