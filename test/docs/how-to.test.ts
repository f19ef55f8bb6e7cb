import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { explainS3Failure } from '../../src/exports/s3-failures.ts';
import { windowOf } from '../../src/jobs/schedule/window.ts';
import { ROOT } from '../support/source-files.ts';

const read = (name: string): Promise<string> => readFile(join(ROOT, 'docs/how-to', name), 'utf8');

/** The cells of the table that begins with this one. */
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

test('what a refused write says begins as the page on write-only access has it', async () => {
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

test('the ranges of the page on daily exports select the days that it says', async () => {
  const rows = tableOf(await read('schedule-a-daily-export.md'), 'want');
  const windows = rows.map(([, range = '', offset = '']) => {
    const settings = { aggregationBucket: 'DAY', timeZone: 'UTC', minimizeFresh: true } as const;
    const endTimeOffset = offset === '' ? null : offset;
    const { start, end } = windowOf({ ...settings, range, endTimeOffset }, new Date('2026-01-26T06:15:00Z'));
    return [start, end].map((at) => at.toISOString().slice(0, 10));
  });
  expect(windows).toEqual([
    ['2026-01-25', '2026-01-26'],
    ['2026-01-23', '2026-01-26'],
    ['2026-01-24', '2026-01-25'],
  ]);
});
