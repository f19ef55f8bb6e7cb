import { describe, expect, test } from 'vitest';
import { describeCron, describeSchedule } from '../../console/src/ui/schedule-text.ts';
import { placeIssues, selectTouched } from '../../console/src/pages/jobs/form-issues.ts';
import { listDifferences, mergeSettings } from '../../console/src/pages/jobs/job-conflict.ts';
import {
  copyValues,
  createValues,
  type JobSettings,
  listChangedSettings,
  readSettings,
  readValues,
  writeSettings,
} from '../../console/src/pages/jobs/job-values.ts';
import { findNextSlot, readShown } from '../../console/src/pages/jobs/jobs-list.ts';
import { chooseRun, createLiveRuns } from '../../console/src/pages/jobs/live-runs.ts';
import { countIssues, listLines } from '../../console/src/pages/jobs/preview-text.ts';
import { findGroups, summarize } from '../../console/src/pages/jobs/setting-groups.ts';
import {
  cronOf,
  formatWallTime,
  NEW_SCHEDULE,
  readSchedule,
  readWallTime,
} from '../../console/src/pages/jobs/simple-schedule.ts';
import { optionOfRange, suggestDimensions } from '../../console/src/pages/jobs/suggestions.ts';

const ZONE = 'Europe/Berlin';
const NEW_JOB = createValues(ZONE);
const settings = (changes: Partial<JobSettings> = {}): JobSettings => ({
  ...writeSettings({ ...NEW_JOB, jobName: 'Daily', s3Url: 's3://exports/daily' }),
  ...changes,
});

describe('schedules', () => {
  test.each([
    ['15 6 * * *', 'at 06:15 every day'],
    [' 0 6 * * 1 ', 'at 06:00 every Monday'],
    ['0 6 * * 7', 'at 06:00 every Sunday'],
    ['0 6 1 * *', 'at 06:00 on day 1 of the month'],
    ['0 6,18 * * *', 'at 06:00 and 18:00 every day'],
    ['*/15 * * * *', 'every 15 minutes'],
    ['0 * * * *', 'every hour'],
    ['0 6 * JAN-MAR mon-fri', 'at 06:00, Monday through Friday, January through March'],
    // A date must match both here, and either of them there.
    ['0 6 */2 * MON', 'cron 0 6 */2 * MON'],
    ['0 6 1,15 * 1-5', 'cron 0 6 1,15 * 1-5'],
    ['not cron', 'cron not cron'],
    ['', 'cron '],
  ])('%s is %s in words', (cron, words) => {
    expect(describeCron(cron)).toBe(words);
  });

  test('are described with their zone', () => {
    const job = { cron: null, scheduledTimeInSeconds: null, timeZone: ZONE };
    expect([
      describeSchedule({ ...job, cron: '15 6 * * *' }),
      describeSchedule({ ...job, scheduledTimeInSeconds: 1_795_929_300 }),
      describeSchedule(job),
    ]).toEqual(['at 06:15 every day, Europe/Berlin', 'once, 29 Nov 2026, 06:15 Europe/Berlin', 'on request']);
  });

  test.each([
    ['15 6 * * *', { frequency: 'daily', time: '06:15' }],
    ['0 18 * * 1', { frequency: 'weekly', time: '18:00', weekday: '1' }],
    ['0 18 * * 0', { frequency: 'weekly', time: '18:00', weekday: '7' }],
    ['5 0 31 * *', { frequency: 'monthly', time: '00:05', dayOfMonth: '31' }],
    ['*/5 * * * *', { frequency: 'cron', cron: '*/5 * * * *' }],
    ['0 6 1 * MON', { frequency: 'cron', cron: '0 6 1 * MON' }],
    [null, { frequency: 'request' }],
  ] as const)('with the expression %s are shown and written unchanged', (cron, values) => {
    const schedule = readSchedule(cron, null, ZONE);
    expect(schedule).toMatchObject(values);
    expect(cronOf(schedule)).toBe(cron);
  });

  test('with the name of a weekday are weekly', () => {
    expect(readSchedule('30 7 * * Mon', null, ZONE)).toMatchObject({ frequency: 'weekly', weekday: '1' });
    expect(readSchedule('30 7 * * XYZ', null, ZONE)).toMatchObject({ frequency: 'cron', cron: '30 7 * * XYZ' });
  });

  test('without a time have an expression that the server rejects', () => {
    expect(cronOf({ ...NEW_SCHEDULE, time: '' })).toBe('');
  });

  test.each([
    ['2026-11-29T06:15', ZONE, '2026-11-29T05:15:00.000Z'],
    ['2026-07-01T06:15', ZONE, '2026-07-01T04:15:00.000Z'],
    // Twice: the first. Skipped: as long after the change of the clock.
    ['2026-10-25T02:30', ZONE, '2026-10-25T00:30:00.000Z'],
    ['2026-03-29T02:30', ZONE, '2026-03-29T01:30:00.000Z'],
    ['2026-03-29T03:30', ZONE, '2026-03-29T01:30:00.000Z'],
    ['2026-11-29T06:15', 'Asia/Kathmandu', '2026-11-29T00:30:00.000Z'],
  ])('at %s in %s are at %s', (wall, zone, instant) => {
    const seconds = readWallTime(wall, zone);
    expect(new Date((seconds ?? 0) * 1000).toISOString()).toBe(instant);
  });

  test('have no instant without a time or in an unknown zone', () => {
    expect([readWallTime('', ZONE), readWallTime('2026-11-29T06:15', 'Berlin')]).toEqual([null, null]);
    expect(formatWallTime(1_795_929_300, ZONE)).toBe('2026-11-29T06:15');
  });
});

describe('settings', () => {
  test('of a new job are those of a daily job', () => {
    expect(settings()).toMatchObject({
      cron: '15 6 * * *',
      scheduledTimeInSeconds: null,
      timeZone: ZONE,
      range: 'previous(day)',
      aggregationBucket: 'DAY',
      format: 'CSV',
      meterApiNames: null,
      groupBy: null,
      filter: null,
      email: null,
      encryption: null,
      rescaleFunction: null,
    });
  });

  test('survive the form', () => {
    const job = settings({
      meterApiNames: ['compute'],
      groupBy: ['region', 'element'],
      filter: [{ dimension: 'region', values: ['eu', 'us'] }],
      rescaleFunction: { function: 'MULTIPLY', coefficient: '0.001' },
      cron: null,
      scheduledTimeInSeconds: 1_795_929_300,
      csvDelimiter: 'SEMICOLON',
      encryption: 'KMS',
      kmsKeyId: 'alias/exports',
      completeWithin: 'ago(6h)',
    });
    expect(readSettings(job)).toEqual(job);
    expect(writeSettings(readValues(job))).toEqual(job);
  });

  test('that do not apply have their defaults', () => {
    const values = { ...NEW_JOB, csvDelimiter: 'SEMICOLON', kmsKeyId: 'alias/exports', coefficient: ' ' } as const;
    expect(writeSettings({ ...values, format: 'JSON' })).toMatchObject({
      csvDelimiter: 'COMMA',
      kmsKeyId: null,
      rescaleFunction: null,
    });
  });

  test('that do not apply have their defaults, even if their texts are not valid', () => {
    const values = { ...NEW_JOB, restateAfter: 'soon', restateWithin: '' };
    expect(writeSettings({ ...values, restatement: 'NONE' })).toMatchObject({
      restateAfter: 'ago(1h)',
      restateWithin: 'ago(35d)',
    });
    expect(writeSettings(values)).toMatchObject({ restateAfter: 'soon', restateWithin: '' });
    expect(summarize('corrections', { ...values, restatement: 'NONE' })).toBe('not delivered again');
  });

  test('that do not apply are not changed, and are stored when they begin to apply', () => {
    const stored = settings({ restatement: 'NONE', restateAfter: 'ago(2h)', format: 'JSON', csvDialect: 'EXCEL' });
    const values = readValues(stored);
    const before = readSettings(stored);
    expect(listChangedSettings(before, writeSettings({ ...values, email: 'a@b.example' }))).toEqual({
      email: 'a@b.example',
    });
    const applied = { ...values, restatement: 'AUTOMATIC', restateAfter: 'ago(1h)', format: 'CSV' } as const;
    expect(listChangedSettings(before, writeSettings(applied))).toEqual({
      restatement: 'AUTOMATIC',
      restateAfter: 'ago(1h)',
      restateWithin: 'ago(35d)',
      format: 'CSV',
      csvDelimiter: 'COMMA',
      csvDialect: 'EXCEL',
    });
  });

  test('that changed are listed', () => {
    const before = settings({ groupBy: ['region'] });
    expect(listChangedSettings(before, settings({ groupBy: ['region'], email: 'a@b.example' }))).toEqual({
      email: 'a@b.example',
    });
    expect(listChangedSettings(before, settings())).toEqual({ groupBy: null });
  });

  test('of a copy have another name, and no time that has passed', () => {
    const job = settings({ cron: null, scheduledTimeInSeconds: 1000, jobName: 'x'.repeat(255) });
    expect(copyValues(job, 2_000_000)).toMatchObject({ onceAt: '', jobName: `${'x'.repeat(248)} (copy)` });
    expect(copyValues(job, 0).onceAt).toBe('1970-01-01T01:16');
  });

  test('that differ from their defaults are named at the title of their group', () => {
    expect(summarize('file', NEW_JOB)).toBe('defaults');
    expect(summarize('filter', NEW_JOB)).toBe('none');
    expect(summarize('file', { ...NEW_JOB, compression: 'GZIP', csvDelimiter: 'SEMICOLON' })).toBe('gzip, semicolons');
    expect(summarize('file', { ...NEW_JOB, format: 'JSON', csvDelimiter: 'SEMICOLON' })).toBe('defaults');
    expect(findGroups(['filter.0.values', 'kmsKeyId', 'jobName'])).toEqual(['filter', 'bucket']);
  });
});

describe('issues', () => {
  test('are placed at the fields of the form', () => {
    const values = { ...NEW_JOB, meterApiNames: ['ok', 'ä'], filter: [{ dimension: '', values: ['', 'x'] }] };
    const issues = {
      jobName: 'Name.',
      cron: 'Cron.',
      scheduledTimeInSeconds: 'Past.',
      'rescaleFunction.coefficient': 'Decimal.',
      'meterApiNames.1': 'Letters.',
      'filter.0.dimension': 'Empty.',
      'filter.0.values.0': 'Empty.',
      filter: 'Too many.',
    };
    expect(placeIssues(issues, values)).toEqual({
      jobName: 'Name.',
      time: 'Cron.',
      onceAt: 'Past.',
      coefficient: 'Decimal.',
      meterApiNames: '“ä”: Letters.',
      'filter.0.dimension': 'Empty.',
      'filter.0.values': '“”: Empty.',
      filter: 'Too many.',
    });
    expect(placeIssues({ cron: 'Cron.' }, { ...NEW_JOB, frequency: 'cron' })).toEqual({ cron: 'Cron.' });
  });

  test('are shown at the fields that the user changed', () => {
    expect(selectTouched({ jobName: 'Name.', s3Url: 'Bucket.' }, (field) => field === 's3Url')).toEqual({
      s3Url: 'Bucket.',
    });
  });

  test('are counted', () => {
    const problem = { code: 'CONFLICT', message: 'Taken.', issues: {} };
    expect([
      countIssues(problem),
      countIssues({ ...problem, issues: { a: 'x' } }),
      countIssues({ ...problem, issues: { a: 'x', b: 'y' } }),
    ]).toEqual(['Not valid', '1 field to complete or correct', '2 fields to complete or correct']);
  });
});

describe('two edits of a job', () => {
  const before = settings();
  const theirs = settings({ format: 'JSON', email: 'they@example.com', cron: '0 7 * * *' });
  const yours = settings({ format: 'PARQUET', groupBy: ['region'], cron: null, scheduledTimeInSeconds: 1_795_929_300 });

  test('are compared setting by setting, and the schedule as one', () => {
    expect(listDifferences(before, theirs, yours)).toEqual([
      {
        name: 'email',
        label: 'Notify',
        before: 'none',
        theirs: 'they@example.com',
        yours: 'none',
        isContested: false,
        suggestion: 'theirs',
      },
      {
        name: 'cron',
        label: 'Schedule',
        before: 'at 06:15 every day, Europe/Berlin',
        theirs: 'at 07:00 every day, Europe/Berlin',
        yours: 'once, 29 Nov 2026, 06:15 Europe/Berlin',
        isContested: true,
        suggestion: 'yours',
      },
      {
        name: 'groupBy',
        label: 'Group by',
        before: 'none',
        theirs: 'none',
        yours: 'region',
        isContested: false,
        suggestion: 'yours',
      },
      {
        name: 'format',
        label: 'Format',
        before: 'CSV',
        theirs: 'JSON',
        yours: 'PARQUET',
        isContested: true,
        suggestion: 'yours',
      },
    ]);
  });

  test('are merged as the user chose', () => {
    expect(
      mergeSettings(theirs, yours, { email: 'theirs', cron: 'yours', groupBy: 'yours', format: 'theirs' }),
    ).toEqual(
      settings({
        format: 'JSON',
        email: 'they@example.com',
        groupBy: ['region'],
        cron: null,
        scheduledTimeInSeconds: 1_795_929_300,
      }),
    );
  });
});

describe('live runs', () => {
  const run = (id: string, status: string, rows = 0) => ({ id, status, rows });

  test.each([
    ['the event of the same run', run('a', 'RUNNING', 1), run('a', 'RUNNING', 2), 'event'],
    ['the end of the same run', run('a', 'RUNNING'), run('a', 'FAILED'), 'event'],
    ['no late event of a run that ended', run('a', 'SUCCEEDED'), run('a', 'RUNNING'), 'shown'],
    ['a run that starts after another one ended', run('a', 'SUCCEEDED'), run('b', 'QUEUED'), 'event'],
    ['a running run before a queued one', run('a', 'QUEUED'), run('b', 'RUNNING'), 'event'],
    ['a running run until it ends', run('a', 'RUNNING'), run('b', 'QUEUED'), 'shown'],
    ['an active run before one that ended', run('a', 'QUEUED'), run('b', 'SUCCEEDED'), 'shown'],
  ])('show %s', (_, shown, event, expected) => {
    expect(chooseRun(shown, event)).toBe(expected === 'event' ? event : shown);
    expect([chooseRun(shown, undefined), chooseRun(undefined, event)]).toEqual([shown, event]);
  });

  test('notify the row of their job alone', () => {
    const runs = createLiveRuns<ReturnType<typeof run>>();
    const notified: string[] = [];
    const end = runs.listen('one', () => notified.push('one'));
    runs.listen('two', () => notified.push('two'));
    runs.add('one', run('a', 'RUNNING'));
    runs.add('one', run('b', 'QUEUED'));
    runs.add('two', run('c', 'QUEUED'));
    expect(notified).toEqual(['one', 'two']);
    end();
    runs.clear();
    expect(notified).toEqual(['one', 'two', 'two']);
    expect(runs.read('one')).toBe(undefined);
  });
});

describe('list of jobs', () => {
  test('has the filter of the address', () => {
    expect([readShown(null), readShown('failed'), readShown('nonsense')]).toEqual(['all', 'failed', 'all']);
  });

  test('is read again after the earliest next slot', () => {
    const slots = [{ nextRuns: ['2026-11-30T05:15:00Z'] }, { nextRuns: [] }, { nextRuns: ['2026-11-29T05:15:00Z'] }];
    expect(findNextSlot(slots)).toBe(Date.parse('2026-11-29T05:15:00Z'));
    expect(findNextSlot([])).toBe(null);
  });
});

describe('preview and suggestions', () => {
  test('have the header of CSV', () => {
    const job = { format: 'CSV', csvDelimiter: 'SEMICOLON' } as const;
    expect(listLines(['a;b'], ['region'], job)).toEqual(['meterApiName;bucketStart;bucketEnd;region;value', 'a;b']);
    expect(listLines(['{}'], ['region'], { ...job, format: 'NDJSON' })).toEqual(['{}']);
  });

  test('have the dimensions of the chosen streams', () => {
    const streams = [
      { name: 'a', dimensions: ['region', 'service'] },
      { name: 'b', dimensions: ['account', 'region'] },
    ];
    expect(suggestDimensions(streams, [])).toEqual(['element', 'account', 'region', 'service']);
    expect(suggestDimensions(streams, ['a'])).toEqual(['element', 'region', 'service']);
    expect([optionOfRange('toDate(week)'), optionOfRange('ago(7d)')]).toEqual(['toDate(week)', 'ago']);
  });
});
