import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bucketPolicy } from '../../src/exports/bucket-policy.ts';
import type { S3Destination, S3Failure } from '../../src/exports/s3-explanations.ts';
import { explainS3Failure } from '../../src/exports/s3-failures.ts';
import { computeWindow } from '../../src/jobs/schedule/window.ts';
import { ROOT } from '../support/source-files.ts';
import { blocksOf } from './pages.ts';

const read = (name: string): Promise<string> => readFile(join(ROOT, 'docs/how-to', name), 'utf8');

/** Returns the cells of the table whose first header cell is `first`. */
const tableOf = (text: string, first: string): string[][] => {
  const lines = text.split('\n');
  const from = lines.findIndex((line) => line.startsWith('|') && line.split('|')[1]?.trim() === first);
  const to = lines.findIndex((line, index) => index > from && !line.startsWith('|'));
  return lines.slice(from + 2, to).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
};

test('docs/how-to/write-only-access.md > bucket policy is the one that the API returns', async () => {
  const [policy] = blocksOf(await read('write-only-access.md')).filter(({ language }) => language === 'json');
  expect(JSON.parse(policy?.text ?? '')).toEqual(
    JSON.parse(
      bucketPolicy({
        bucket: 'customer-bucket',
        path: 'usage',
        principalArn: 'arn:aws:iam::123456789012:role/sluice',
      }),
    ),
  );
});

test('docs/how-to/write-only-access.md > troubleshooting shows how the message of each S3 error begins', async () => {
  const rows = tableOf(await read('write-only-access.md'), 'code');
  const place = { bucket: 'customer-bucket', bucketOwner: null, region: 'eu-central-1' };
  const said = [
    { s3Code: 'AccessDenied', status: 403, bucketRegion: undefined },
    { s3Code: 'NoSuchBucket', status: 404, bucketRegion: undefined },
    { s3Code: 'PermanentRedirect', status: 301, bucketRegion: 'us-west-2' },
    { s3Code: 'InvalidAccessKeyId', status: 403, bucketRegion: undefined },
  ].map((failure) => explainS3Failure({ ...failure, systemCode: undefined }, place));
  expect(said.map(({ code, retryable }) => [code, retryable])).toEqual(rows.map(([code]) => [code, false]));
  for (const [index, [, begins = '-']] of rows.entries()) {
    expect(said[index]?.message.startsWith(begins), begins).toBe(true);
  }
});

type SaidFailure = Partial<S3Failure> &
  Pick<S3Failure, 's3Code' | 'status'> & { readonly sent?: Partial<S3Destination> };
type PageFailures = [page: string, place: S3Destination, failures: SaidFailure[]];

test.each<PageFailures>([
  [
    'encrypted-bucket.md',
    { bucket: 'finance-bucket', bucketOwner: null, region: 'eu-central-1', encryption: 'KMS' },
    [
      { s3Code: 'AccessDenied', status: 403, cause: 'EXPLICIT_DENY' },
      { s3Code: 'AccessDenied', status: 403, cause: 'KMS' },
      { s3Code: 'KMS.DisabledException', status: 400 },
      { s3Code: 'InvalidRequest', status: 400, cause: 'ENCRYPTION', sent: { encryption: null } },
      { s3Code: 'NotImplemented', status: 501, cause: 'ENCRYPTION' },
    ],
  ],
  [
    'other-stores.md',
    { bucket: 'usage-exports', bucketOwner: null, region: 'auto' },
    [
      { s3Code: 'InvalidArgument', status: 400, cause: 'ACL' },
      { s3Code: '', status: 400 },
      { s3Code: 'InvalidRequest', status: 400, cause: 'CHECKSUM', sent: { sendsChecksum: false } },
      { s3Code: 'PermanentRedirect', status: 301 },
      { s3Code: 'UserProjectMissing', status: 400 },
    ],
  ],
])('docs/how-to/%s > troubleshooting shows how the message of each error begins', async (page, place, failures) => {
  const rows = tableOf(await read(page), 'code');
  const said = failures.map(({ sent, ...failure }) =>
    explainS3Failure({ systemCode: undefined, bucketRegion: undefined, ...failure }, { ...place, ...sent }),
  );
  expect(said.map(({ code, retryable }) => [code, retryable])).toEqual(rows.map(([code]) => [code, false]));
  for (const [index, [, begins = '-']] of rows.entries()) {
    expect(said[index]?.message.startsWith(begins), begins).toBe(true);
  }
});

test('docs/how-to/schedule-a-daily-export.md > ranges select the days that the table names', async () => {
  const rows = tableOf(await read('schedule-a-daily-export.md'), 'want');
  const windows = rows.map(([, range = '', offset = '']) => {
    const settings = { aggregationBucket: 'DAY', timeZone: 'UTC', minimizeFresh: true } as const;
    const endTimeOffset = offset === '' ? null : offset;
    const { start, end } = computeWindow({ ...settings, range, endTimeOffset }, new Date('2026-01-26T06:15:00Z'));
    return [start, end].map((at) => at.toISOString().slice(0, 10));
  });
  expect(windows).toEqual([
    ['2026-01-25', '2026-01-26'],
    ['2026-01-23', '2026-01-26'],
    ['2026-01-24', '2026-01-25'],
    ['2026-01-01', '2026-01-26'],
    ['2025-12-01', '2026-01-01'],
  ]);
});
