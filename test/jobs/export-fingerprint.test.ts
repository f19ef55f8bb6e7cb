import { describe, expect, test } from 'vitest';
import { type JobSettings, jobFields } from '../../src/jobs/settings.ts';
import { exportFingerprint } from '../../src/jobs/export-fingerprint.ts';

const SETTINGS: JobSettings = {
  jobName: 'Usage by day',
  description: null,
  enabled: true,
  email: null,
  s3Url: 's3://exports/usage',
  format: 'CSV',
  compression: 'NONE',
  aggregationBucket: 'DAY',
  timeZone: 'UTC',
  range: 'ago(7d)',
  endTimeOffset: null,
  cron: '0 * * * *',
  scheduledTimeInSeconds: null,
  meterApiNames: null,
  groupBy: null,
  filter: null,
  sparse: true,
  minimizeFresh: true,
  rescaleFunction: null,
};

const isSame = (patch: Partial<JobSettings>): boolean =>
  exportFingerprint({ ...SETTINGS, ...patch }) === exportFingerprint(SETTINGS);

/** Changes after which a run writes the same bytes to the same keys. */
const SAME: readonly Partial<JobSettings>[] = [
  {},
  { jobName: 'USAGE (by day)', s3Url: 'exports/usage/' },
  { description: 'x', email: 'ada@example.com', enabled: false },
  { cron: '30 * * * *', range: 'ago(8d)', endTimeOffset: 'ago(1d)', minimizeFresh: false },
  { cron: null, scheduledTimeInSeconds: 1 },
  { bucketOwner: '111122223333' },
  { restatement: 'AUTOMATIC', restateAfter: 'ago(2h)', restateWithin: 'ago(1d)', completeWithin: 'ago(6h)' },
  // The defaults of fields that stored settings may lack.
  { region: null, encryption: null, kmsKeyId: null, csvDialect: 'STANDARD', csvDelimiter: 'COMMA' },
];

const OTHER: readonly Partial<JobSettings>[] = [
  { jobName: 'Usage' },
  { s3Url: 'exports/other' },
  { s3Url: 'other-exports/usage' },
  { s3Url: 'exports/usage/{job}/{yyyy}' },
  { region: 'eu-central-1' },
  { encryption: 'AES256' },
  { kmsKeyId: 'alias/exports' },
  { format: 'JSON' },
  { compression: 'GZIP' },
  { csvDialect: 'EXCEL' },
  { csvDelimiter: 'SEMICOLON' },
  { aggregationBucket: 'HOUR' },
  { timeZone: 'Europe/Berlin' },
  { meterApiNames: ['s'] },
  { groupBy: ['element'] },
  { filter: [{ dimension: 'region', values: ['eu'] }] },
  { sparse: false },
  { rescaleFunction: { function: 'MULTIPLY', coefficient: '2' } },
];

describe('exportFingerprint', () => {
  test.each(SAME)('is equal when %o changes', (patch) => {
    expect(isSame(patch)).toBe(true);
  });

  test.each(OTHER)('differs when %o changes', (patch) => {
    expect(isSame(patch)).toBe(false);
  });

  test('has a case for every setting of a job', () => {
    const tested = new Set([...SAME, ...OTHER].flatMap((patch) => Object.keys(patch)));
    expect([...tested].toSorted()).toEqual(Object.keys(jobFields).toSorted());
  });
});
