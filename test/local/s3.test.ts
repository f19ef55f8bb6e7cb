import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import aws4 from 'aws4';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startS3 } from '../../src/local/s3/s3.ts';
import type { RunningS3 } from '../../src/local/s3/s3.ts';
import { until } from './processes.ts';

const KEY = { accessKeyId: 'LOCALKEY', secretAccessKey: 'a secret of this test' };

describe('local S3', () => {
  let directory = '';
  let s3: RunningS3;
  let client: S3Client;
  const log = { debug: () => undefined, warn: () => undefined, error: () => undefined };
  const open = (credentials = KEY) =>
    new S3Client({ endpoint: s3.endpoint, region: 'eu-central-1', forcePathStyle: true, maxAttempts: 1, credentials });
  const put = (key: string, body: Buffer, bucket = 'my.bucket', by = client) =>
    by.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentType: 'text/csv' }));

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sluice-s3-'));
    s3 = await startS3({ directory, ...KEY, log });
    client = open();
    await s3.createBucket('my.bucket');
  });
  afterAll(async () => {
    client.destroy();
    await s3.stop();
    await s3.stop();
    await rm(directory, { recursive: true });
  });

  test('stores an object as a file below bucketDirectory, named after its key, and nothing else', async () => {
    const body = Buffer.alloc(3 * 1024 * 1024, 'ä\n');
    await put('usage/daily/20261115T000000Z_20261116T000000Z.csv', body);
    const folder = join(s3.bucketDirectory('my.bucket'), 'usage/daily');
    expect(await readdir(folder)).toEqual(['20261115T000000Z_20261116T000000Z.csv']);
    expect(body.equals(await readFile(join(folder, '20261115T000000Z_20261116T000000Z.csv')))).toBe(true);
  });

  test('returns an object with its type, and replaces it at a second put', async () => {
    await put('again.csv', Buffer.from('the first, which is longer'));
    const { ETag } = await put('again.csv', Buffer.from('second'));
    const got = await client.send(new GetObjectCommand({ Bucket: 'my.bucket', Key: 'again.csv' }));
    expect(await got.Body?.transformToString()).toBe('second');
    expect(got).toMatchObject({ ContentType: 'text/csv', ContentLength: 6, ETag });
  });

  test.each(['a b/c+d.csv', 'ümlaut/日本.csv', `it's (100%)!*~=&?#/x.csv`, 'back\\slash', '%2e%2e'])(
    'names the file of an object after the key %j',
    async (key) => {
      await put(key, Buffer.from(key));
      expect(await readFile(join(s3.bucketDirectory('my.bucket'), key), 'utf8')).toBe(key);
    },
  );

  test('lists keys in order, grouped by folder when a delimiter is given', async () => {
    await s3.createBucket('listed');
    for (const key of ['b/2.csv', 'a.csv', 'b/1.csv']) await put(key, Buffer.from(key), 'listed');
    const all = await client.send(new ListObjectsV2Command({ Bucket: 'listed' }));
    expect(all.Contents?.map((object) => [object.Key, object.Size])).toEqual([
      ['a.csv', 5],
      ['b/1.csv', 7],
      ['b/2.csv', 7],
    ]);
    const top = await client.send(new ListObjectsV2Command({ Bucket: 'listed', Delimiter: '/', MaxKeys: 1 }));
    expect(top.Contents?.map((object) => object.Key)).toEqual(['a.csv']);
    expect(top.CommonPrefixes).toEqual([{ Prefix: 'b/' }]);
  });

  test('rejects a bucket that does not exist, and keeps its objects when it is created twice', async () => {
    await expect(put('x.csv', Buffer.from('x'), 'made-later')).rejects.toThrow('The specified bucket does not exist');
    await s3.createBucket('made-later');
    await put('x.csv', Buffer.from('x'), 'made-later');
    await s3.createBucket('made-later');
    expect(await readFile(join(s3.bucketDirectory('made-later'), 'x.csv'), 'utf8')).toBe('x');
  });

  test.each(['..', '../other', 'a', '.s3', 'Upper', 'two..dots', 'a/b', ''])(
    'rejects the bucket name %j',
    async (name) => {
      await expect(s3.createBucket(name)).rejects.toThrow('is not the name of a bucket');
      expect(() => s3.bucketDirectory(name)).toThrow('is not the name of a bucket');
    },
  );

  test.each([
    ['a wrong secret', { ...KEY, secretAccessKey: 'guessed' }, 'SignatureDoesNotMatch'],
    ['a wrong key', { ...KEY, accessKeyId: 'OTHER' }, 'InvalidAccessKeyId'],
    ['the default key of s3rver', { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' }, 'InvalidAccessKeyId'],
  ])('rejects %s and stores nothing', async (_what, credentials, code) => {
    const stranger = open(credentials);
    await expect(put('refused.csv', Buffer.from('x'), 'my.bucket', stranger)).rejects.toMatchObject({ name: code });
    stranger.destroy();
    expect(await readdir(s3.bucketDirectory('my.bucket'))).not.toContain('refused.csv');
  });

  test('rejects a request without a signature with any method', async () => {
    for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS']) {
      const answer = await fetch(`${s3.endpoint}/my.bucket/again.csv?x=1`, { method });
      expect(`${method} ${answer.status}`).toBe(`${method} 403`);
      expect(await answer.text()).toContain('<Code>AccessDenied</Code>');
    }
  });

  test('rejects a key that cannot be the path of a file, with an error that is not retried', async () => {
    await put('folder/object', Buffer.from('x'));
    for (const key of ['folder', 'folder/object/below', 'x'.repeat(300), 'a//b', 'folder/']) {
      await expect(put(key, Buffer.from('y'))).rejects.toMatchObject({ name: 'InvalidArgument' });
    }
    expect((await readdir(directory)).sort()).toEqual(['.s3', 'listed', 'made-later', 'my.bucket']);
  });

  test('keeps the old object and removes the unfinished file when an upload is aborted', async () => {
    await put('whole.csv', Buffer.from('whole'));
    const { host, hostname, port } = new URL(s3.endpoint);
    const signed = aws4.sign(
      {
        host,
        path: '/my.bucket/whole.csv',
        method: 'PUT',
        service: 's3',
        region: 'eu-central-1',
        headers: { 'Content-Length': 1_000_000, 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' },
      },
      KEY,
    );
    const upload = request({ hostname, port, path: signed.path, method: 'PUT', headers: { ...signed.headers } });
    upload.on('error', () => undefined);
    upload.write(Buffer.alloc(1_000, 'x'));

    const unfinished = async () => {
      const names = (await readdir(join(directory, '.s3'))).filter((name) => name.startsWith('unfinished-'));
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, '.s3', name))).size));
      return sizes.filter((size) => size > 0).length;
    };
    await until('the unfinished file has content', async () => (await unfinished()) === 1);
    upload.destroy();
    await until('the unfinished file is removed', async () => (await unfinished()) === 0);
    expect(await readFile(join(s3.bucketDirectory('my.bucket'), 'whole.csv'), 'utf8')).toBe('whole');
  });
});
