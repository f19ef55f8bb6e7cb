import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  expandFolder,
  formatDestination,
  isDestinationProblem,
  longestKeyBytes,
  manifestKey,
  MAX_PARTS,
  objectKey,
  parseS3Url,
  parseStoredS3Url,
  findKeyProblem,
  toSlug,
} from '../../src/jobs/destination.ts';
import type { ObjectExtension } from '../../src/jobs/destination.ts';

const window = { start: new Date('2026-11-14T00:00:00Z'), end: new Date('2026-11-15T00:00:00Z') };

function codeOf(s3Url: string): string {
  const parsed = parseS3Url(s3Url);
  return isDestinationProblem(parsed) ? parsed.code : `${parsed.bucket}|${parsed.path}`;
}

describe('s3Url', () => {
  it.each([
    ['my-bucket', 'my-bucket|'],
    ['my-bucket/', 'my-bucket|'],
    ['s3://my-bucket', 'my-bucket|'],
    ['s3://my-bucket/', 'my-bucket|'],
    ['my-bucket/exports', 'my-bucket|exports'],
    ['my-bucket/exports/', 'my-bucket|exports'],
    ['s3://my-bucket/exports/billing/', 'my-bucket|exports/billing'],
    ['s3://my-bucket/s3://x', 'BAD_PATH'],
    ['my-bucket/a b+c%2Fd/Ünïcode 😀', 'my-bucket|a b+c%2Fd/Ünïcode 😀'],
    ['my-bucket/...', 'my-bucket|...'],
    ['my-bucket/.hidden/..x', 'my-bucket|.hidden/..x'],
    ['my-bucket/%2e%2e', 'my-bucket|%2e%2e'],
  ])('%j > is parsed as %j', (s3Url, expected) => {
    expect(codeOf(s3Url)).toBe(expected);
  });

  it.each([
    'abc',
    '123',
    'a.b',
    'my.bucket',
    'www.example.com',
    'a--b',
    'a-.b',
    '1.2.3',
    '1.2.3.4.5',
    '192.168.5.4a',
    'sthree',
    'amzn-s3-demo',
    'xn-a',
    'my-s3aliases',
    'mrap',
    // A bucket in an account's regional namespace is a general purpose bucket.
    'logs-111122223333-us-west-2-an',
    'a'.repeat(63),
  ])('%j > is accepted as an S3 bucket', (bucket) => {
    expect(parseS3Url(bucket)).toEqual({ bucket, path: '' });
    expect(parseS3Url(`s3://${bucket}/p`)).toEqual({ bucket, path: 'p' });
  });

  it.each([
    '',
    's3://',
    's3:///path',
    '/path',
    'ab',
    'a'.repeat(64),
    'MyBucket',
    'my_bucket',
    'my bucket',
    ' my-bucket',
    'my-bucket ',
    'my-bucket\n',
    '-bucket',
    'bucket-',
    '.bucket',
    'bucket.',
    'my..bucket',
    '...',
    '..',
    '../other',
    '192.168.5.4',
    '1.2.3.4',
    'xn--bucket',
    'sthree-bucket',
    'sthree-configurator',
    'amzn-s3-demo-bucket',
    'ap-name-hash-s3alias',
    'lambda--ol-s3',
    'outposts--op-s3',
    'multi.mrap',
    'name--usw2-az1--x-s3',
    'name--usw2-az1--xa-s3',
    'name--table-s3',
    'bücket',
    'bucket?x',
    'bucket#x',
    'bucket:80',
    'user@host',
    'localhost:9000/bucket',
    'S3://my-bucket',
    'https://my-bucket.s3.amazonaws.com/path',
    's3a://my-bucket',
    'arn:aws:s3:::my-bucket',
    's3://arn:aws:s3:::my-bucket/path',
    'arn:aws:s3:us-west-2:123456789012:accesspoint/test',
    'ARN:aws:s3:us-west-2:123456789012:accesspoint:test',
    's3://s3://my-bucket',
    '%2e%2e',
  ])('%j > is rejected as an S3 bucket', (s3Url) => {
    expect(codeOf(s3Url)).toBe('BAD_BUCKET');
  });

  it.each([
    'my-bucket//',
    'my-bucket//a',
    'my-bucket/a//b',
    'my-bucket/a//',
    'my-bucket/.',
    'my-bucket/..',
    'my-bucket/a/../b',
    'my-bucket/a/./b',
    'my-bucket/../other',
    'my-bucket/a\u0000b',
    'my-bucket/a\nb',
    'my-bucket/a\u007fb',
    'my-bucket/a\u0085b',
    'my-bucket/\ud800',
    'my-bucket/a\udc00b',
  ])('%j > is rejected as a path', (s3Url) => {
    expect(codeOf(s3Url)).toBe('BAD_PATH');
  });

  it('is rejected with what to change', () => {
    expect(parseS3Url('arn:aws:s3:::b')).toMatchObject({ message: expect.stringContaining('ARN') });
    expect(parseS3Url('a--x-s3')).toMatchObject({ message: expect.stringContaining('directory bucket') });
    expect(parseS3Url('https://b/c')).toMatchObject({ message: expect.stringContaining('s3://my-bucket/path') });
  });

  it('never contains an S3 bucket that could change the host, or a path that a client would normalize', () => {
    const piece = fc.constantFrom(
      'a',
      'b1',
      '-',
      '.',
      '..',
      '/',
      '//',
      ':',
      '@',
      's3://',
      'arn:',
      'A',
      ' ',
      '\n',
      '😀',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 4 })), { maxLength: 8 }), (pieces) => {
        const parsed = parseS3Url(pieces.join(''));
        if (isDestinationProblem(parsed)) return;
        expect(parsed.bucket).toMatch(/^[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]$/);
        const key = `${parsed.path}/x`.replace(/^\//, '');
        expect(new URL(`http://h/${key.split('/').map(encodeURIComponent).join('/')}`).pathname).toBe(
          `/${key.split('/').map(encodeURIComponent).join('/')}`,
        );
      }),
    );
  });
});

describe('placeholders', () => {
  const slug = 'daily-usage';
  const fold = (path: string, start: string, timeZone: string): string =>
    expandFolder({ path, slug }, new Date(start), timeZone);

  it.each([
    ['usage', '2026-11-01T04:00:00Z', 'UTC', 'usage/daily-usage'],
    ['', '2026-11-01T04:00:00Z', 'UTC', 'daily-usage'],
    ['{job}', '2026-11-01T04:00:00Z', 'UTC', 'daily-usage'],
    ['a/{job}/b/x-{job}', '2026-11-01T04:00:00Z', 'UTC', 'a/daily-usage/b/x-daily-usage'],
    ['year={yyyy}', '2026-11-01T04:00:00Z', 'UTC', 'year=2026/daily-usage'],
    ['{job}/{yyyy}{MM}{dd}T{HH}', '2026-03-01T04:00:00Z', 'UTC', 'daily-usage/20260301T04'],
    ['{job}/{yyyy}-{MM}-{dd}', '2026-01-01T03:00:00Z', 'America/New_York', 'daily-usage/2025-12-31'],
    ['{job}/{yyyy}-{MM}-{dd}', '2026-12-31T20:00:00Z', 'Asia/Kolkata', 'daily-usage/2027-01-01'],
    ['{yyyy}', '0099-06-01T00:00:00Z', 'UTC', '0099/daily-usage'],
    ['{yyyy}', '-000099-06-01T00:00:00Z', 'UTC', '0000/daily-usage'],
    ['{yyyy}', '9999-12-31T23:00:00Z', 'Asia/Tokyo', '9999/daily-usage'],
    // The braces of jobs that are older than placeholders.
    ['{x}/{yyyy}/{', '2026-11-01T04:00:00Z', 'UTC', '{x}/2026/{/daily-usage'],
  ])('%j at %s in %s > become %j', (path, start, timeZone, expected) => {
    expect(fold(path, start, timeZone)).toBe(expected);
  });

  it('{HH} > repeats when a clock goes back, and keys stay distinct', () => {
    const hours = ['2026-11-01T05:00:00Z', '2026-11-01T06:00:00Z'].map((start) => {
      const end = new Date(Date.parse(start) + 3_600_000);
      const folder = fold('{job}/{dd}/{HH}', start, 'America/New_York');
      return [folder, manifestKey(folder, { start: new Date(start), end })];
    });
    expect(hours.map(([folder]) => folder)).toEqual(['daily-usage/01/01', 'daily-usage/01/01']);
    expect(hours[0]?.[1]).not.toBe(hours[1]?.[1]);
  });

  it.each(['{', '}', '{}', '{YYYY}', '{mm}', '{ dd }', '{{yyyy}}', '${dd}}', 'a{job', 'job}/b', '{y/y}', '{jobName}'])(
    'in %j > are BAD_PLACEHOLDER',
    (path) => {
      expect(codeOf(`b-1/${path}`)).toBe('BAD_PLACEHOLDER');
      expect(parseStoredS3Url(`b-1/${path}`)).toEqual({ bucket: 'b-1', path });
      expect(formatDestination({ s3Url: `b-1/${path}`, jobName: 'a' })).toBe(`b-1/${path}/a`);
    },
  );

  it('in the name of an S3 bucket > are BAD_BUCKET', () => {
    expect(codeOf('usage-{yyyy}/a')).toBe('BAD_BUCKET');
  });

  it('name the text that is not a placeholder', () => {
    expect(parseS3Url('b-1/{YYYY}')).toMatchObject({
      message: 'The path contains "{YYYY}". Braces are only allowed in {yyyy}, {MM}, {dd}, {HH} and {job}.',
    });
  });

  it('leave the placeholders of dates in the destination of a job', () => {
    expect(formatDestination({ s3Url: 's3://b-1/usage/{job}/{yyyy}/', jobName: 'A b' })).toBe('b-1/usage/a-b/{yyyy}');
    expect(formatDestination({ s3Url: 'b-1/{yyyy}', jobName: 'A b' })).toBe('b-1/{yyyy}/a-b');
  });

  it('count with the length of what replaces them', () => {
    expect(longestKeyBytes('{yyyy}/{MM}', 'a')).toBe(longestKeyBytes('2026/11', 'a'));
    expect(longestKeyBytes('{job}', 'abc')).toBe(longestKeyBytes('', 'abc'));
  });
});

describe('slug', () => {
  it.each([
    ['Daily usage', 'daily-usage'],
    ['Daily usage (EU, all)', 'daily-usage-eu-all'],
    ['ACME - Inc.', 'acme-inc'],
    ['(a)', 'a'],
    ['a', 'a'],
    ['A1,,,b', 'a1-b'],
    ['-a-', 'a'],
    ['a--b', 'a-b'],
    ['2026', '2026'],
    ['(,)', ''],
  ])('of %j > is %j', (jobName, slug) => {
    expect(toSlug(jobName)).toBe(slug);
  });

  it('is empty for a job name without letters and digits, which is reported as BAD_SLUG', () => {
    expect(findKeyProblem('p', '(,)')).toMatchObject({ code: 'BAD_SLUG' });
    expect(findKeyProblem('p', 'a')).toBeNull();
  });
});

describe('object keys', () => {
  const key = { folder: 'exports/eu/daily', window };

  it.each([
    ['csv', 'NONE', undefined, 'exports/eu/daily/20261114T000000Z_20261115T000000Z.csv'],
    ['csv', 'GZIP', undefined, 'exports/eu/daily/20261114T000000Z_20261115T000000Z.csv.gz'],
    ['json', 'NONE', 1, 'exports/eu/daily/20261114T000000Z_20261115T000000Z-00001.json'],
    ['json', 'ZSTD', undefined, 'exports/eu/daily/20261114T000000Z_20261115T000000Z.json.zst'],
    ['ndjson', 'GZIP', 99_999, 'exports/eu/daily/20261114T000000Z_20261115T000000Z-99999.ndjson.gz'],
    ['parquet', 'ZSTD', 2, 'exports/eu/daily/20261114T000000Z_20261115T000000Z-00002.parquet'],
  ] as const)('%s, compression %s, part %j', (extension, compression, part, expected) => {
    expect(objectKey({ ...key, extension, compression, part })).toBe(expected);
  });

  it('of manifests begin with an underscore and end with .manifest.json', () => {
    expect(manifestKey(key.folder, window)).toBe('exports/eu/daily/_20261114T000000Z_20261115T000000Z.manifest.json');
  });

  it('begin with the slug if there is no path, and contain the window to the second in UTC', () => {
    const odd = { start: new Date('2026-03-08T01:02:03-05:30'), end: new Date('2026-12-31T23:59:59Z') };
    expect(manifestKey(expandFolder({ path: '', slug: 'daily' }, odd.start, 'UTC'), odd)).toBe(
      'daily/_20260308T063203Z_20261231T235959Z.manifest.json',
    );
  });

  it.each([0, -1, 1.5, MAX_PARTS + 1, Number.NaN])('reject the part %j', (part) => {
    expect(() => objectKey({ ...key, extension: 'csv', compression: 'NONE', part })).toThrow(RangeError);
  });

  it('are at most as long as longestKeyBytes, and one is exactly as long', () => {
    const extensions: ObjectExtension[] = ['csv', 'json', 'ndjson', 'parquet'];
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 20 }),
        fc.stringMatching(/^[a-z0-9]{1,20}$/),
        (path, slug) => {
          const folder = expandFolder({ path, slug }, window.start, 'UTC');
          const lengths = [manifestKey(folder, window)];
          for (const extension of extensions) {
            for (const compression of ['NONE', 'GZIP', 'ZSTD'] as const) {
              for (const part of [undefined, 1, MAX_PARTS]) {
                lengths.push(objectKey({ folder, window, extension, compression, part }));
              }
            }
          }
          expect(longestKeyBytes(path, slug)).toBe(Math.max(...lengths.map((text) => Buffer.byteLength(text))));
        },
      ),
    );
  });

  it('are at most 1,024 bytes of UTF-8', () => {
    // "/daily/" and 50 bytes of window, part and extension follow the path.
    const room = 1024 - '/daily/'.length - 50;
    expect(longestKeyBytes('x'.repeat(room), 'daily')).toBe(1024);
    expect(findKeyProblem('x'.repeat(room), 'daily')).toBeNull();
    expect(findKeyProblem('x'.repeat(room + 1), 'daily')).toMatchObject({
      code: 'KEY_TOO_LONG',
      message: expect.stringMatching(/1025 bytes.* by 1 bytes/),
    });
    expect(findKeyProblem('é'.repeat(Math.floor(room / 2)), 'daily')).toBeNull();
    expect(findKeyProblem('é'.repeat(Math.ceil(room / 2)), 'daily')).toMatchObject({ code: 'KEY_TOO_LONG' });
    expect(findKeyProblem('😀'.repeat(Math.floor(room / 4)), 'daily')).toBeNull();
    expect(findKeyProblem('😀'.repeat(Math.ceil(room / 4)), 'daily')).toMatchObject({ code: 'KEY_TOO_LONG' });
  });
});
