import { describe, expect, test } from 'vitest';
import { findRangeDrift, type ScheduledWindows } from '../../src/jobs/schedule/range-drift.ts';

type Row = readonly [
  cron: string,
  aggregationBucket: ScheduledWindows['aggregationBucket'],
  range: string,
  others?: Partial<ScheduledWindows>,
];

function findDrift([cron, aggregationBucket, range, others]: Row, after = '2026-11-15T06:00Z'): string | null {
  const defaults = { endTimeOffset: null, timeZone: 'UTC', minimizeFresh: true };
  return findRangeDrift({ ...defaults, cron, aggregationBucket, range, ...others }, new Date(after));
}

/** With changes of an hour and of half an hour, at night and at midnight, and without changes. */
const ZONES = ['UTC', 'America/New_York', 'Europe/Berlin', 'Asia/Kolkata', 'Australia/Lord_Howe', 'Africa/Cairo'];
/** Each is within 16 days before clock changes: Berlin and Lord Howe in the first case, Berlin and New York in the second. */
const CHECKS = [
  { after: '2026-03-25T11:11Z', minimizeFresh: true },
  { after: '2026-10-24T00:00Z', minimizeFresh: false },
];

const OVERLAP =
  'The windows of consecutive slots overlap, and older files are not rewritten after a correction. For each bucket, read the complete manifest with the latest window end.';

describe('findRangeDrift', () => {
  const APART: readonly Row[] = [
    ['0 * * * *', 'HOUR', 'ago(1h)'],
    ['0 0 * * *', 'DAY', 'ago(1d)'],
    ['0 6 * * *', 'HOUR', 'ago(1d)'],
    ['0 6 * * 1', 'HOUR', 'ago(7d)'],
    ['0 0 * * *', 'DAY', 'previous(day)'],
    ['0 6 * * *', 'HOUR', 'previous(day)'],
    ['0 6 * * *', 'MONTH', 'previous(month)'],
    ['0 2 1 * *', 'DAY', 'previous(month)'],
  ];
  /** Apart if they end at the start of a bucket. Otherwise each also has the start of the next one's first bucket. */
  const APART_IF_WHOLE: readonly Row[] = [
    ['15 * * * *', 'HOUR', 'ago(2h)', { endTimeOffset: 'ago(1h)' }],
    ['*/5 * * * *', 'HOUR', 'ago(1h)'],
    ['*/15 * * * *', 'DAY', 'ago(1d)'],
    ['0 * * * *', 'DAY', 'ago(1d)'],
    ['30 2 * * *', 'DAY', 'ago(1d)'],
    ['0 6 * * *', 'DAY', 'ago(24h)'],
    ['0 6 * * *', 'DAY', 'ago(2d)', { endTimeOffset: 'ago(1d)' }],
    ['0 6 * * 1', 'DAY', 'ago(7d)'],
    ['0 6 * * 3', 'WEEK', 'ago(7d)'],
  ];
  const OVERLAPPING: readonly Row[] = [
    ['15 * * * *', 'HOUR', 'ago(2h)'],
    ['* * * * *', 'HOUR', 'ago(24h)'],
    ['0 6 * * *', 'DAY', 'ago(7d)'],
    ['0 6 * * *', 'WEEK', 'ago(28d)'],
    ['0 6 * * 1-5', 'DAY', 'ago(3d)'],
    ['0 2 1 * *', 'DAY', 'ago(90d)'],
    ['0 2 1 */3 *', 'DAY', 'ago(92d)'],
  ];
  test.each(
    [
      { rows: APART, whole: null, partial: null },
      { rows: APART_IF_WHOLE, whole: null, partial: OVERLAP },
      { rows: OVERLAPPING, whole: OVERLAP, partial: OVERLAP },
    ].flatMap(({ rows, whole, partial }) => rows.map((row) => ({ row, whole, partial }))),
  )(
    'reports no drift for $row, and $whole in whole buckets',
    ({ row: [cron, bucket, range, others], whole, partial }) => {
      for (const timeZone of ZONES) {
        for (const { after, minimizeFresh } of CHECKS) {
          const found = findDrift([cron, bucket, range, { ...others, timeZone, minimizeFresh }], after);
          expect([timeZone, after, found]).toEqual([timeZone, after, minimizeFresh ? whole : partial]);
        }
      }
    },
  );

  test.each<[row: Row]>([
    [['0 6 * * *', 'DAY', 'toDate(month)']],
    [['0 6 * * *', 'DAY', 'toDate(year)']],
    [['0 6 * * *', 'DAY', 'ago(2d)']],
    [['0 0 1 1 *', 'HOUR', 'ago(400d)', { timeZone: 'Europe/Berlin' }]],
  ])('reports the overlap of %j', (row) => {
    expect(findDrift(row)).toBe(OVERLAP);
  });

  // The day on which Lord Howe gains summer has 23.5 hours, so the windows around it have half an hour in common.
  test.each<[row: Row]>([
    [['0 */4 * * *', 'HOUR', 'ago(4h)', { timeZone: 'Australia/Lord_Howe' }]],
    [['0 */6 * * *', 'HOUR', 'ago(6h)', { timeZone: 'Australia/Lord_Howe' }]],
    [['0 */12 * * *', 'HOUR', 'ago(12h)', { timeZone: 'Australia/Lord_Howe' }]],
  ])('does not report the overlap of %j that a clock change causes', (row) => {
    expect(findDrift(row, '2026-09-25T00:00Z')).toBeNull();
  });

  test.each<[row: Row, message: string]>([
    // 31 days before 1 March is 29 January; 31 days before 1 April is 1 March.
    [
      ['0 2 1 * *', 'MONTH', 'ago(31d)'],
      'The windows of ago(31d) contain 1 to 2 whole buckets, depending on the slot. Set range to previous(month).',
    ],
    [
      ['0 6 * * *', 'MONTH', 'ago(31d)', { timeZone: 'Europe/Berlin' }],
      'The windows of ago(31d) contain 1 to 2 whole buckets, depending on the slot. Set range to previous(month).',
    ],
    [
      ['0 2 1 * *', 'DAY', 'ago(31d)'],
      'Some windows of ago(31d) contain buckets of the window before, and some do not. Set range to previous(month).',
    ],
    [
      ['0 2 1 * *', 'DAY', 'ago(31d)', { minimizeFresh: false }],
      'Some windows of ago(31d) contain buckets of the window before, and some do not. Set range to previous(month).',
    ],
    // The window of 1 January begins on 2 December.
    [
      ['0 2 1 * *', 'DAY', 'ago(30d)', { timeZone: 'America/New_York' }],
      'No window contains the usage from 2026-12-01T00:00:00-05:00 to 2026-12-02T00:00:00-05:00. Set range to previous(month).',
    ],
    [
      ['0 0 1 1 *', 'DAY', 'ago(365d)'],
      'No window contains the usage from 2028-01-01T00:00:00Z to 2028-01-02T00:00:00Z. Set range to toDate(year).',
    ],
    [
      ['0 6 * * 1', 'DAY', 'ago(6d)'],
      'No window contains the usage from 2026-11-16T00:00:00Z to 2026-11-17T00:00:00Z. Set range to previous(week).',
    ],
    // 15 November 2026 is a Sunday.
    [
      ['0 6 * * 1-5', 'DAY', 'ago(1d)'],
      'No window contains the usage from 2026-11-20T00:00:00Z to 2026-11-22T00:00:00Z. Choose a longer range, or a cron with more slots.',
    ],
    [
      ['*/5 * * * 1-5', 'HOUR', 'ago(1h)'],
      'No window contains the usage from 2026-11-20T23:00:00Z to 2026-11-22T23:00:00Z. Choose a longer range, or a cron with more slots.',
    ],
    [
      ['* 8-18 * * *', 'HOUR', 'ago(1h)'],
      'No window contains the usage from 2026-11-15T18:00:00Z to 2026-11-16T07:00:00Z. Choose a longer range, or a cron with more slots.',
    ],
    [
      ['*/5 * * * *', 'HOUR', 'ago(90m)'],
      'The windows of ago(90m) contain 1 to 2 whole buckets, depending on the slot. Choose a range of whole buckets.',
    ],
    // The day on which New York gains an hour has 25.
    [
      ['0 6 * * *', 'HOUR', 'ago(24h)', { timeZone: 'America/New_York' }],
      'No window contains the usage from 2027-11-06T06:00:00-04:00 to 2027-11-06T07:00:00-04:00. Set range to previous(day).',
    ],
    [
      ['15 0 * * *', 'DAY', 'ago(24h)', { timeZone: 'America/New_York' }],
      'The windows of ago(24h) contain 1 to 2 whole buckets, depending on the slot. Set range to previous(day).',
    ],
    [
      ['0 6 * * *', 'HOUR', 'ago(1d)', { endTimeOffset: 'ago(2h)' }],
      'No window contains the usage from 2026-11-16T04:00:00Z to 2026-11-16T06:00:00Z. Set range to previous(day).',
    ],
    // At the first slot of a month, the window is the six hours of the new month.
    [
      ['0 6 * * *', 'DAY', 'toDate(month)', { minimizeFresh: false }],
      'No window contains the usage from 2026-11-30T06:00:00Z to 2026-12-01T00:00:00Z. Set minimizeFresh to true.',
    ],
    [
      ['0 6 * * 3', 'DAY', 'toDate(week)'],
      'No window contains the usage from 2026-11-18T00:00:00Z to 2026-11-23T00:00:00Z. Choose a cron with more slots.',
    ],
    [
      ['0 6 * * 1', 'DAY', 'previous(day)'],
      'No window contains the usage from 2026-11-16T00:00:00Z to 2026-11-22T00:00:00Z. Set range to previous(week).',
    ],
  ])('reports %j', (row, message) => {
    expect(findDrift(row)).toBe(message);
  });

  test('finds nothing when the job has no cron', () => {
    const settings = { cron: null, aggregationBucket: 'DAY', range: 'ago(1d)', endTimeOffset: null } as const;
    expect(findRangeDrift({ ...settings, timeZone: 'UTC', minimizeFresh: true }, new Date(0))).toBeNull();
  });

  test('finds a monthly range at any time of the check', () => {
    for (let month = 0; month < 24; month += 1) {
      const after = new Date(Date.UTC(2025, month, 15)).toISOString();
      expect(findDrift(['0 2 1 * *', 'MONTH', 'ago(31d)'], after)).toContain('Set range to previous(month).');
      expect(findDrift(['0 6 * * *', 'MONTH', 'ago(31d)'], after)).toContain('Set range to previous(month).');
      expect(findDrift(['0 2 1 * *', 'DAY', 'ago(31d)'], after)).toContain('Set range to previous(month).');
    }
  });
});
