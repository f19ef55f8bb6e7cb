import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import aws4 from 'aws4';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startStrictS3 } from './strict-s3.ts';
import type { StrictS3 } from './strict-s3.ts';

interface Sent {
  readonly method?: string;
  readonly path?: string;
  /** Headers; one with an empty value is omitted. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Changes the headers after the request was signed. */
  readonly tamper?: (headers: Record<string, string>) => void;
  readonly sentBody?: string;
  readonly credentials?: { accessKeyId: string; secretAccessKey: string };
  readonly region?: string;
}

let s3: StrictS3;
beforeAll(async () => {
  s3 = await startStrictS3({ buckets: ['there', 'my.bucket'] });
});
beforeEach(() => {
  s3.setNow(() => new Date());
});
afterAll(async () => {
  await s3.close();
});

/** Sends a signed request without the SDK. */
async function send(sent: Sent): Promise<{ status: number; body: string }> {
  const body = sent.body ?? 'hello';
  const signed = aws4.sign(
    {
      service: 's3',
      region: sent.region ?? s3.region,
      host: new URL(s3.endpoint).host,
      method: sent.method ?? 'PUT',
      path: sent.path ?? '/there/key',
      headers: Object.fromEntries(
        Object.entries({
          'x-amz-acl': 'bucket-owner-full-control',
          'x-amz-content-sha256': createHash('sha256').update(body).digest('hex'),
          'content-length': String(Buffer.byteLength(body)),
          ...sent.headers,
        }).filter(([, value]) => value !== ''),
      ),
    },
    sent.credentials ?? s3.credentials,
  );
  const headers = Object.fromEntries(
    Object.entries(signed.headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
  sent.tamper?.(headers);
  const outgoing = httpRequest(s3.endpoint, { method: signed.method, path: signed.path, headers, agent: false });
  outgoing.end(sent.sentBody ?? body);
  const [response] = await once(outgoing, 'response');
  return { status: response.statusCode, body: await text(response) };
}

describe('strict S3', () => {
  it('stores the body of a signed PutObject with the ACL', async () => {
    const answer = await send({ path: '/there/some/key%20with%20blanks' });
    expect(answer).toEqual({ status: 200, body: '' });
    expect(s3.object('there', 'some/key with blanks')?.body.toString()).toBe('hello');
  });

  it('keeps every version of a key and lists the newest', async () => {
    await send({ path: '/my.bucket/k', body: 'one' });
    await send({ path: '/my.bucket/k', body: 'two' });
    const versions = s3.puts.filter((put) => put.bucket === 'my.bucket').map((put) => put.body.toString());
    expect(versions).toEqual(['one', 'two']);
    expect(s3.object('my.bucket', 'k')?.body.toString()).toBe('two');
    expect(s3.objects().filter((put) => put.bucket === 'my.bucket')).toHaveLength(1);
  });

  const acl = 'bucket-owner-full-control';
  const refusals: [name: string, status: number, code: string, sent: Sent][] = [
    ['GetObject', 403, 'AccessDenied', { method: 'GET' }],
    ['HeadObject', 403, '', { method: 'HEAD' }],
    ['ListObjectsV2', 403, 'AccessDenied', { method: 'GET', path: '/there?list-type=2' }],
    ['DeleteObject', 403, 'AccessDenied', { method: 'DELETE' }],
    ['CreateMultipartUpload', 403, 'AccessDenied', { method: 'POST', path: '/there/key?uploads=' }],
    ['UploadPart', 403, 'AccessDenied', { path: '/there/key?partNumber=1&uploadId=x' }],
    ['PutObjectAcl', 403, 'AccessDenied', { path: '/there/key?acl=' }],
    ['PutObjectTagging', 403, 'AccessDenied', { path: '/there/key?tagging=' }],
    ['CreateBucket', 403, 'AccessDenied', { path: '/there' }],
    ['CopyObject', 403, 'AccessDenied', { headers: { 'x-amz-copy-source': '/there/other' } }],
    ['a missing ACL', 403, 'AccessDenied', { headers: { 'x-amz-acl': '' } }],
    ['another ACL', 403, 'AccessDenied', { headers: { 'x-amz-acl': 'private' } }],
    ['two ACLs', 403, 'AccessDenied', { headers: { 'x-amz-acl': `${acl}, private` } }],
    ['no signature', 403, 'AccessDenied', { tamper: (headers) => delete headers['authorization'] }],
    [
      'a changed signature',
      403,
      'SignatureDoesNotMatch',
      {
        tamper: (headers) => {
          const signature = headers['authorization'] ?? '';
          headers['authorization'] = signature.slice(0, -1) + (signature.endsWith('0') ? '1' : '0');
        },
      },
    ],
    [
      'a changed signed header',
      403,
      'SignatureDoesNotMatch',
      { tamper: (headers) => (headers['content-length'] = '4'), sentBody: 'hell' },
    ],
    [
      'an ACL that is not signed',
      403,
      'AccessDenied',
      { headers: { 'x-amz-acl': '' }, tamper: (headers) => (headers['x-amz-acl'] = acl) },
    ],
    [
      'a header of S3 that is not signed',
      403,
      'AccessDenied',
      { tamper: (headers) => (headers['x-amz-meta-a'] = 'b') },
    ],
    ['another key', 403, 'InvalidAccessKeyId', { credentials: { accessKeyId: 'AKIAOTHER', secretAccessKey: 'x' } }],
    [
      'another secret',
      403,
      'SignatureDoesNotMatch',
      { credentials: { accessKeyId: 'AKIASTRICTEXAMPLE', secretAccessKey: 'x' } },
    ],
    ['another region', 400, 'AuthorizationHeaderMalformed', { region: 'eu-west-1' }],
    ['an unsigned body', 403, 'AccessDenied', { headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }],
    [
      'a streamed body',
      403,
      'AccessDenied',
      { headers: { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' } },
    ],
    ['a body with another hash', 400, 'XAmzContentSHA256Mismatch', { sentBody: 'jello' }],
    [
      'a body with another checksum',
      400,
      'BadDigest',
      { headers: { 'x-amz-checksum-sha256': Buffer.alloc(32).toString('base64') } },
    ],
    ['aws-chunked framing', 501, 'NotImplemented', { headers: { 'content-encoding': 'aws-chunked' } }],
    [
      'no Content-Length',
      501,
      'NotImplemented',
      { headers: { 'content-length': '' }, tamper: (headers) => (headers['transfer-encoding'] = 'chunked') },
    ],
    ['a bucket that does not exist', 404, 'NoSuchBucket', { path: '/elsewhere/key' }],
  ];

  it.each(refusals)('rejects %s with %i %s, and counts it', async (_name, status, code, sent) => {
    const stored = s3.puts.length;
    const refused = s3.refusals.length;
    const answer = await send(sent);
    expect(answer.status).toBe(status);
    expect(answer.body).toContain(code === '' ? '' : `<Code>${code}</Code>`);
    expect(s3.puts).toHaveLength(stored);
    expect(s3.refusals).toHaveLength(refused + 1);
  });

  it('rejects requests that were signed more than 15 minutes ago', async () => {
    s3.setNow(() => new Date(Date.now() + 16 * 60_000));
    expect(await send({})).toMatchObject({ status: 403, body: expect.stringContaining('RequestTimeTooSkewed') });
  });
});
