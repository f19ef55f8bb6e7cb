import { describe, expect, test } from 'vitest';
import type { JobSettings } from '../../src/jobs/settings.ts';
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

describe('exportFingerprint', () => {
  test.each<Partial<JobSettings>>([
    {},
    { jobName: 'USAGE (by day)', s3Url: 'exports/usage/' },
    { description: 'x', email: 'ada@example.com', enabled: false },
    { cron: '30 * * * *', range: 'ago(8d)', endTimeOffset: 'ago(1d)', minimizeFresh: false },
    { cron: null, scheduledTimeInSeconds: 1 },
  ])('is equal when %o changes', (patch) => {
    expect(isSame(patch)).toBe(true);
  });

  test.each<Partial<JobSettings>>([
    { jobName: 'Usage' },
    { s3Url: 'exports/other' },
    { s3Url: 'other-exports/usage' },
    { format: 'JSON' },
    { compression: 'GZIP' },
    { aggregationBucket: 'HOUR' },
    { timeZone: 'Europe/Berlin' },
    { meterApiNames: ['s'] },
    { groupBy: ['element'] },
    { filter: [{ dimension: 'region', values: ['eu'] }] },
    { sparse: false },
    { rescaleFunction: { function: 'MULTIPLY', coefficient: '2' } },
  ])('differs when %o changes', (patch) => {
    expect(isSame(patch)).toBe(false);
  });
});
