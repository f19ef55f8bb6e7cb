import { createHash, randomBytes } from 'node:crypto';
import { getEventListeners, once } from 'node:events';
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { ObjectStoreError } from '../../src/exports/object-store.ts';
import type { ObjectStore, StoredObject } from '../../src/exports/object-store.ts';
import { openS3 } from '../../src/exports/s3.ts';
import type { S3Options } from '../../src/exports/s3.ts';
import { bucketPolicy } from '../../src/exports/bucket-policy.ts';
import { explainS3Failure } from '../../src/exports/s3-failures.ts';
import { openStore } from '../../src/process/open-resources.ts';
import { startStrictS3, STRICT_PRINCIPAL } from '../support/strict-s3.ts';
import type { Fault, StrictS3 } from '../support/strict-s3.ts';

let s3: StrictS3;
const opened: ObjectStore[] = [];

beforeEach(async () => {
  s3 = await startStrictS3({ buckets: ['there', 'my.bucket'] });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const store of opened.splice(0)) store.close();
  await s3.close();
});

function open(options: Partial<S3Options> = {}): ObjectStore {
  const { region, endpoint, credentials } = s3;
  const store = openS3({ region, endpoint, credentials, forcePathStyle: true, ...options });
  opened.push(store);
  return store;
}

function objectOf(parts: Partial<StoredObject> & { body?: Buffer } = {}): StoredObject {
  const body = parts.body ?? Buffer.from('bucketStart,value\n');
  return {
    bucket: 'there',
    key: 'exports/daily/a.csv',
    body,
    contentType: 'text/csv',
    bucketOwner: null,
    sha256Hex: createHash('sha256').update(body).digest('hex'),
    signal: new AbortController().signal,
    ...parts,
  };
}

async function failureOf(put: Promise<void>): Promise<ObjectStoreError> {
  const error: unknown = await put.then(
    () => new Error('The put succeeded'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ObjectStoreError)) throw error;
  return error;
}

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('put', () => {
  it('writes the body with ACL, length, type and SHA-256 in one request', async () => {
    const object = objectOf();
    await open().put(object);
    expect(s3.puts).toHaveLength(1);
    expect(s3.refusals).toEqual([]);
    expect(s3.object('there', object.key)).toMatchObject({
      body: object.body,
      headers: {
        'x-amz-acl': 'bucket-owner-full-control',
        'content-length': String(object.body.length),
        'content-type': 'text/csv',
        'x-amz-content-sha256': object.sha256Hex,
        'x-amz-checksum-sha256': Buffer.from(object.sha256Hex, 'hex').toString('base64'),
      },
    });
    const names = Object.keys(s3.puts[0]?.headers ?? {});
    expect(names).not.toContain('transfer-encoding');
    expect(names).not.toContain('content-encoding');
    expect(names).not.toContain('x-amz-trailer');
    expect(names.filter((name) => /crc32|crc64/.test(name))).toEqual([]);
  });

  it('writes an empty body', async () => {
    await open().put(objectOf({ body: Buffer.alloc(0) }));
    expect(s3.puts[0]?.body).toHaveLength(0);
  });

  it.each([
    ['blanks', 'a b/ c /d'],
    ['plus', 'a+b/+'],
    ['percent', '100%/%2F/%zz/%'],
    ['query and fragment', 'what?/x#y/a&b=c'],
    ['marks', '!$&\'()*,;:=@[]{}|\\^`~"<>'],
    ['unicode', 'Ünïcode/日本語/😀/e\u0301/\u00a0'],
    ['dots', 'a.b/...csv/.x'],
    ['length', 'k'.repeat(1024)],
  ])('writes a key with %s unchanged', async (_name, key) => {
    await open().put(objectOf({ key }));
    await open().put(objectOf({ key, bucket: 'my.bucket' }));
    expect(s3.puts.map((put) => [put.bucket, put.key])).toEqual([
      ['there', key],
      ['my.bucket', key],
    ]);
  });

  it('writes 64 MiB completely', async () => {
    const body = Buffer.alloc(64 * 2 ** 20, randomBytes(1_000_003));
    const object = objectOf({ body });
    await open().put(object);
    const stored = s3.object('there', object.key)?.body ?? Buffer.alloc(0);
    expect(stored.length).toBe(body.length);
    expect(stored.equals(body)).toBe(true);
  });

  it('signs with the given SHA-256, so that the store rejects a body that changed', async () => {
    const object = objectOf({ sha256Hex: createHash('sha256').update('something else').digest('hex') });
    expect(await failureOf(open().put(object))).toMatchObject({ code: 'BODY_DAMAGED', retryable: true });
    expect(s3.puts).toEqual([]);
    expect(s3.refusals.map((refusal) => refusal.code)).toEqual(['XAmzContentSHA256Mismatch']);
  });

  it('reuses its connection, and uses at most maxSockets', async () => {
    const store = open({ maxSockets: 3 });
    for (let count = 0; count < 5; count += 1) await store.put(objectOf());
    expect(s3.connectionsMade).toBe(1);
    await Promise.all(Array.from({ length: 20 }, (_, index) => store.put(objectOf({ key: `k${index}` }))));
    expect(s3.connectionsMade).toBeLessThanOrEqual(3);
    expect(s3.puts).toHaveLength(25);
  });

  it('sends neither ACL nor checksum if both are switched off', async () => {
    s3.setPolicy(bucketPolicy({ bucket: 'there', path: '', principalArn: STRICT_PRINCIPAL, sendsAcl: false }));
    await open({ sendsAcl: false, sendsChecksum: false }).put(objectOf());
    expect(Object.keys(s3.puts[0]?.headers ?? {}).filter((name) => /acl|checksum/.test(name))).toEqual([]);
  });

  it.each([
    [{ encryption: null, kmsKeyId: null }, [undefined, undefined]],
    [{ encryption: 'AES256' } as const, ['AES256', undefined]],
    [{ encryption: 'KMS', kmsKeyId: null } as const, ['aws:kms', undefined]],
    [{ encryption: 'KMS', kmsKeyId: 'alias/a' } as const, ['aws:kms', 'alias/a']],
  ])('asks for the encryption %o', async (encryption, sent) => {
    await open().put(objectOf(encryption));
    const headers: IncomingHttpHeaders = s3.puts[0]?.headers ?? {};
    const names = ['x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id'];
    expect(names.map((name) => headers[name])).toEqual(sent);
  });

  it('signs for the region of the object, on the connections of the store', async () => {
    const store = open({ region: 'eu-west-1' });
    expect(await failureOf(store.put(objectOf()))).toMatchObject({ code: 'WRONG_REGION' });
    for (let count = 0; count < 3; count += 1) await store.put(objectOf({ region: s3.region }));
    expect(s3.puts).toHaveLength(3);
    for (let count = 0; count < 150; count += 1) await failureOf(store.put(objectOf({ region: `r-${count}` })));
    const before = s3.connectionsMade;
    await store.put(objectOf({ region: s3.region }));
    expect(s3.connectionsMade - before).toBeLessThanOrEqual(1);
    store.close();
    await expect.poll(() => s3.connections).toBe(0);
  });

  it('removes its listeners from the signal', async () => {
    const { signal } = new AbortController();
    const store = open();
    await store.put(objectOf({ signal }));
    s3.setFault(() => ({ status: 503, code: 'SlowDown' }));
    await failureOf(store.put(objectOf({ signal })));
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});

describe('failed put', () => {
  const region = { 'x-amz-bucket-region': 'eu-west-1' };
  const faults: [name: string, fault: Fault, code: string, retryable: boolean, message: RegExp][] = [
    ['SlowDown', { status: 503, code: 'SlowDown' }, 'S3_BUSY', true, /throttled/],
    ['ServiceUnavailable', { status: 503, code: 'ServiceUnavailable' }, 'S3_BUSY', true, /throttled/],
    ['MinIO SlowDownWrite', { status: 503, code: 'SlowDownWrite' }, 'S3_BUSY', true, /throttled/],
    ['429 without a document', { status: 429 }, 'S3_BUSY', true, /throttled/],
    ['RequestLimitExceeded', { status: 400, code: 'RequestLimitExceeded' }, 'S3_BUSY', true, /throttled/],
    ['InternalError', { status: 500, code: 'InternalError' }, 'S3_ERROR', true, /internal error \(HTTP 500\)/],
    ['500 without a document', { status: 500 }, 'S3_ERROR', true, /HTTP 500/],
    ['an HTML page of a proxy', { status: 502, text: '<html><br>LEAK</html>' }, 'S3_ERROR', true, /HTTP 502/],
    ['half a document', { status: 500, text: '<Error><Code>Inter' }, 'S3_ERROR', true, /HTTP 500/],
    ['an unknown 5xx', { status: 507, code: 'XMinioStorageFull' }, 'S3_ERROR', true, /HTTP 507/],
    ['RequestTimeout', { status: 400, code: 'RequestTimeout' }, 'S3_TIMEOUT', true, /time limit/],
    ['408 without a document', { status: 408 }, 'S3_TIMEOUT', true, /time limit/],
    ['OperationAborted', { status: 409, code: 'OperationAborted' }, 'S3_CONFLICT', true, /another operation/],
    ['BadDigest', { status: 400, code: 'BadDigest' }, 'BODY_DAMAGED', true, /damaged during the upload/],
    ['IncompleteBody', { status: 400, code: 'IncompleteBody' }, 'BODY_DAMAGED', true, /damaged during the upload/],
    ['a reset', 'reset', 'CONNECTION_LOST', true, /was lost/],
    ['a reset in the middle', 'reset-mid-body', 'CONNECTION_LOST', true, /was lost/],
    ['a lost answer', 'reset-after-store', 'CONNECTION_LOST', true, /was lost/],
    ['TemporaryRedirect', { status: 307, code: 'TemporaryRedirect' }, 'REDIRECTED', true, /redirects/],
    ['ExpiredToken', { status: 400, code: 'ExpiredToken' }, 'CREDENTIALS_EXPIRED', true, /expired/],
    ['RequestTimeTooSkewed', { status: 403, code: 'RequestTimeTooSkewed' }, 'CLOCK_SKEW', true, /clock/],
    [
      'AccessDenied',
      { status: 403, code: 'AccessDenied' },
      'ACCESS_DENIED',
      false,
      /bucket there.*bucketPolicy.*kms:GenerateDataKey/,
    ],
    ['403 without a document', { status: 403 }, 'ACCESS_DENIED', false, /bucketPolicy/],
    [
      'NoSuchBucket',
      { status: 404, code: 'NoSuchBucket' },
      'NO_SUCH_BUCKET',
      false,
      /bucket there does not exist.*s3Url/,
    ],
    [
      'PermanentRedirect',
      { status: 301, code: 'PermanentRedirect', headers: region },
      'WRONG_REGION',
      false,
      /in the region eu-west-1.*field region of this job to eu-west-1.*AWS_REGION=eu-west-1/,
    ],
    ['301 without a document', { status: 301, headers: region }, 'WRONG_REGION', false, /AWS_REGION=eu-west-1/],
    [
      'AuthorizationHeaderMalformed',
      {
        status: 400,
        text: '<Error><Code>AuthorizationHeaderMalformed</Code><Message>LEAK</Message><Region>eu-west-1</Region></Error>',
      },
      'WRONG_REGION',
      false,
      /AWS_REGION=eu-west-1/,
    ],
    [
      'an invalid region',
      { status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': 'LEAK <b>' } },
      'WRONG_REGION',
      false,
      /not in the region us-east-1/,
    ],
    ['InvalidAccessKeyId', { status: 403, code: 'InvalidAccessKeyId' }, 'CREDENTIALS_REFUSED', false, /operator/],
    ['SignatureDoesNotMatch', { status: 403, code: 'SignatureDoesNotMatch' }, 'CREDENTIALS_REFUSED', false, /operator/],
    ['InvalidToken', { status: 400, code: 'InvalidToken' }, 'CREDENTIALS_REFUSED', false, /operator/],
    [
      'AccessControlListNotSupported',
      { status: 400, code: 'AccessControlListNotSupported' },
      'ACL_NOT_SUPPORTED',
      false,
      /Object Ownership.*Bucket owner enforced/,
    ],
    ['NotImplemented', { status: 501, code: 'NotImplemented' }, 'NOT_SUPPORTED', false, /x-amz-acl/],
    ['InvalidBucketName', { status: 400, code: 'InvalidBucketName' }, 'BAD_BUCKET', false, /s3Url/],
    ['KeyTooLongError', { status: 400, code: 'KeyTooLongError' }, 'KEY_TOO_LONG', false, /Shorten the path/],
    ['EntityTooLarge', { status: 400, code: 'EntityTooLarge' }, 'OBJECT_TOO_LARGE', false, /EXPORT_PART_BYTES/],
    ['413 of a proxy', { status: 413 }, 'OBJECT_TOO_LARGE', false, /EXPORT_PART_BYTES/],
    [
      'KMS.DisabledException',
      { status: 400, code: 'KMS.DisabledException' },
      'KMS_KEY',
      false,
      /KMS key.*KMS\.DisabledException/,
    ],
    ['KMS.NotFoundException', { status: 400, code: 'KMS.NotFoundException' }, 'KMS_KEY', false, /Enable the key/],
    ['an unknown 4xx', { status: 400, code: 'InvalidArgument' }, 'S3_REFUSED', false, /InvalidArgument \(HTTP 400\)/],
    ['an unknown 403', { status: 403, code: 'QuotaExceeded' }, 'S3_REFUSED', false, /QuotaExceeded \(HTTP 403\)/],
    ['an invalid code', { status: 400, code: 'LEAK: x y' }, 'S3_REFUSED', false, /no reason given/],
    ['an answer in plain text', { status: 400, text: 'LEAK' }, 'S3_REFUSED', false, /HTTP 400/],
    ['200 without an ETag', { status: 200, text: '<html>LEAK</html>' }, 'NOT_S3', false, /endpoint/],
  ];

  it.each(faults)('%s', async (_name, fault, code, retryable, message) => {
    let requests = 0;
    s3.setFault(({ count }) => {
      requests = count;
      return fault;
    });
    // Larger than the buffers of a socket.
    const error = await failureOf(open().put(objectOf({ body: Buffer.alloc(2 ** 20) })));
    expect({ code: error.code, retryable: error.retryable }).toEqual({ code, retryable });
    expect(error.message).toMatch(message);
    expect(requests, 'the run retries, the SDK does not').toBe(1);
    const told = `${error.message} ${String(error.cause)} ${JSON.stringify(error)}`;
    expect(told).not.toMatch(/LEAK|AKIA|secret|127\.0\.0\.1/);
  });

  it('reports a rejection of 64 MiB without sending the body', async () => {
    s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
    const body = Buffer.alloc(64 * 2 ** 20);
    expect(await failureOf(open().put(objectOf({ body })))).toMatchObject({ code: 'ACCESS_DENIED' });
  });

  it('with a wrong clock > is followed by a put that is signed with the clock of the store', async () => {
    s3.setNow(() => new Date(Date.now() + 60 * 60_000));
    const store = open();
    expect(await failureOf(store.put(objectOf()))).toMatchObject({ code: 'CLOCK_SKEW', retryable: true });
    await store.put(objectOf());
    expect(s3.puts).toHaveLength(1);
  });

  it.each([
    [{ accessKeyId: 'AKIAOTHER', secretAccessKey: 'x' }, 'another key'],
    [{ accessKeyId: 'AKIASTRICTEXAMPLE', secretAccessKey: 'x' }, 'another secret'],
  ])('with wrong credentials > asks the operator to correct them: %o', async (credentials) => {
    expect(await failureOf(open({ credentials }).put(objectOf()))).toMatchObject({
      code: 'CREDENTIALS_REFUSED',
      retryable: false,
    });
  });

  it('without a source of credentials > is permanent and says what to set', async () => {
    withoutCredentials();
    const store = open({ credentials: undefined });
    const error = await failureOf(store.put(objectOf()));
    expect(error).toMatchObject({ code: 'CREDENTIALS_MISSING', retryable: false });
    expect(error.message).toContain(
      'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the server',
    );
    vi.stubEnv('AWS_ACCESS_KEY_ID', s3.credentials.accessKeyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', s3.credentials.secretAccessKey);
    await store.put(objectOf());
    expect(s3.puts).toHaveLength(1);
  });

  it.each([
    ['a profile that does not exist', { AWS_PROFILE: 'nope' }],
    [
      'a token file that does not exist',
      { AWS_WEB_IDENTITY_TOKEN_FILE: '/nonexistent/token', AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/x' },
    ],
    [
      'a container token file that does not exist',
      {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:1/',
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/nonexistent/token',
      },
    ],
    ['half of a key', { AWS_ACCESS_KEY_ID: 'AKIAHALF' }],
  ])('with %s > is permanent and says what to set', async (_name, env) => {
    withoutCredentials();
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const error = await failureOf(open({ credentials: undefined }).put(objectOf()));
    expect(error).toMatchObject({ code: 'CREDENTIALS_MISSING', retryable: false });
  });

  it('with an unreachable role of a container > is retryable', async () => {
    withoutCredentials();
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', 'http://127.0.0.1:1/role');
    const config = loadConfig({ AWS_REGION: s3.region });
    const store = openStore(config, { endpoint: s3.endpoint, forcePathStyle: true });
    const error = await failureOf(store.put(objectOf()));
    store.close();
    expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', retryable: true });
  });

  it('with credentials that were loaded before and are unavailable > is retryable', async () => {
    withoutCredentials();
    // Credentials of a role expire; the SDK requests new ones 5 minutes earlier.
    const role = createHttpServer((_, response) => {
      const document = {
        AccessKeyId: s3.credentials.accessKeyId,
        SecretAccessKey: s3.credentials.secretAccessKey,
        Token: 'token',
        Expiration: new Date(Date.now() + 1_000).toISOString(),
      };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document));
    });
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${await listening(role)}/role`);
    const store = open({ credentials: undefined });
    await store.put(objectOf());
    role.closeAllConnections();
    await new Promise((resolve) => role.close(resolve));
    await vi.waitFor(
      async () =>
        expect(await failureOf(store.put(objectOf()))).toMatchObject({
          code: 'CREDENTIALS_UNAVAILABLE',
          retryable: true,
        }),
      { timeout: 20_000 },
    );
  });

  const withoutCredentials = (): void => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE']) {
      vi.stubEnv(name, undefined);
    }
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent/credentials');
    vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent/config');
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  };

  it('with a rejected role > is not reported as a rejection by the bucket', async () => {
    const sts = createHttpServer((request, response) => {
      request.resume();
      const document = '<ErrorResponse><Error><Code>AccessDenied</Code><Message>LEAK</Message></Error></ErrorResponse>';
      response.writeHead(403, { 'content-type': 'text/xml' }).end(document);
    });
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent/credentials');
    vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent/config');
    vi.stubEnv('AWS_ROLE_ARN', 'arn:aws:iam::123456789012:role/sluice');
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', import.meta.filename);
    vi.stubEnv('AWS_ENDPOINT_URL_STS', await listening(sts));
    const error = await failureOf(open({ credentials: undefined }).put(objectOf()));
    expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', retryable: true });
    expect(error.message).not.toContain('LEAK');
    sts.closeAllConnections();
    sts.close();
  });

  it('in another region > reports the region', async () => {
    expect(await failureOf(open({ region: 'eu-west-1' }).put(objectOf()))).toMatchObject({
      code: 'WRONG_REGION',
      retryable: false,
    });
  });

  it('without a listening server > reports the connection', async () => {
    const server = createTcpServer();
    const endpoint = await listening(server);
    server.close();
    await once(server, 'close');
    expect(await failureOf(open({ endpoint }).put(objectOf()))).toMatchObject({
      code: 'CONNECTION_LOST',
      retryable: true,
    });
  });

  it('with an unknown host > reports the host name', async () => {
    const endpoint = 'http://store.invalid';
    const error = await failureOf(open({ endpoint }).put(objectOf()));
    expect(error).toMatchObject({ code: 'HOST_NOT_FOUND', retryable: true });
    expect(error.message).not.toContain('store.invalid');
  });

  it('over TLS to an endpoint without TLS > reports TLS', async () => {
    const endpoint = s3.endpoint.replace('http:', 'https:');
    expect(await failureOf(open({ endpoint }).put(objectOf()))).toMatchObject({ code: 'TLS_FAILED', retryable: false });
  });

  it('to an endpoint that does not speak HTTP > reports the endpoint', async () => {
    const server = createTcpServer((socket) => socket.on('error', () => {}).end('220 mail ESMTP\r\n'));
    const endpoint = await listening(server);
    expect(await failureOf(open({ endpoint }).put(objectOf()))).toMatchObject({ code: 'NOT_S3', retryable: false });
    server.close();
  });

  it.each([
    ['CERT_HAS_EXPIRED', 'TLS_FAILED'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'TLS_FAILED'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'TLS_FAILED'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'TLS_FAILED'],
    ['EAI_AGAIN', 'HOST_NOT_FOUND'],
    ['ETIMEDOUT', 'S3_TIMEOUT'],
    ['EPIPE', 'CONNECTION_LOST'],
    ['ENETUNREACH', 'CONNECTION_LOST'],
    ['ENOTCONN', 'CONNECTION_LOST'],
    ['EHOSTDOWN', 'CONNECTION_LOST'],
    ['ENETRESET', 'CONNECTION_LOST'],
    ['ENOBUFS', 'CONNECTION_LOST'],
    ['ENFILE', 'CONNECTION_LOST'],
    ['ERR_SOCKET_CLOSED', 'CONNECTION_LOST'],
    ['ERR_STREAM_PREMATURE_CLOSE', 'CONNECTION_LOST'],
    ['EAI_FAIL', 'HOST_NOT_FOUND'],
    ['ERR_INVALID_ARG_TYPE', 'S3_UNEXPECTED'],
    ['ESOMETHINGNEW', 'S3_UNEXPECTED'],
    [undefined, 'S3_UNEXPECTED'],
  ])('with the code %s of Node > is %s', (systemCode, code) => {
    const failure = { s3Code: 'TypeError', status: undefined, systemCode, bucketRegion: undefined };
    const explained = explainS3Failure(failure, { bucket: 'there', bucketOwner: null, region: 'us-east-1' });
    // Without a response, only failures that the operator must correct are permanent.
    expect(explained).toMatchObject({ code, retryable: !['TLS_FAILED', 'NOT_S3'].includes(code) });
  });
});

describe('time limit of a put', () => {
  it('ends a put to a store that never responds', async () => {
    s3.setFault(() => 'hang');
    const started = performance.now();
    const error = await failureOf(open({ callTimeoutMs: 400 }).put(objectOf()));
    expect(error).toMatchObject({ code: 'S3_TIMEOUT', retryable: true });
    expect(performance.now() - started).toBeGreaterThanOrEqual(390);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('ends a put that waits for 100 Continue', async () => {
    const server = createTcpServer((socket) => socket.on('error', () => {}));
    const endpoint = await listening(server);
    const started = performance.now();
    const store = open({ endpoint, callTimeoutMs: 400 });
    const error = await failureOf(store.put(objectOf({ body: Buffer.alloc(3 * 2 ** 20) })));
    expect(error.code).toBe('S3_TIMEOUT');
    expect(performance.now() - started).toBeLessThan(10_000);
    server.close();
  });

  it('does not prevent a put to a store that ignores Expect: 100-continue', async () => {
    let received = 0;
    const server = createHttpServer((request, response) => {
      request.on('data', (chunk: Buffer) => (received += chunk.length));
      request.on('end', () => response.setHeader('etag', '"x"').end());
    });
    server.on('checkContinue', (request, response) => server.emit('request', request, response));
    const endpoint = await listening(server);
    await open({ endpoint, callTimeoutMs: 20_000 }).put(objectOf({ body: Buffer.alloc(3 * 2 ** 20) }));
    expect(received).toBe(3 * 2 ** 20);
    server.closeAllConnections();
    server.close();
  });

  it('includes loading credentials', async () => {
    const server = createTcpServer((socket) => socket.on('error', () => {}));
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${await listening(server)}/role`);
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent/credentials');
    vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent/config');
    const started = performance.now();
    const error = await failureOf(open({ credentials: undefined, callTimeoutMs: 300 }).put(objectOf()));
    expect(error).toMatchObject({ code: 'S3_TIMEOUT' });
    expect(performance.now() - started).toBeLessThan(10_000);
    server.close();
  });

  it('is not awaited when the signal is aborted, whose reason is the cause', async () => {
    const run = new AbortController();
    s3.setFault(() => {
      queueMicrotask(() => run.abort(new Error('The lease is lost')));
      return 'hang';
    });
    const started = performance.now();
    const error = await failureOf(open().put(objectOf({ signal: run.signal })));
    expect(error).toMatchObject({ code: 'ABORTED', retryable: true, cause: { message: 'The lease is lost' } });
    expect(performance.now() - started).toBeLessThan(10_000);
    await vi.waitFor(() => expect(s3.connections).toBe(0), { timeout: 10_000 });
  });

  it('is irrelevant if the signal was aborted before: nothing is sent', async () => {
    expect(await failureOf(open().put(objectOf({ signal: AbortSignal.abort() })))).toMatchObject({ code: 'ABORTED' });
    expect(s3.connectionsMade).toBe(0);
  });

  it('is not awaited by close, which may be called twice', async () => {
    const store = open();
    s3.setFault(() => {
      queueMicrotask(() => store.close());
      return 'hang';
    });
    expect(await failureOf(store.put(objectOf({ body: Buffer.alloc(3 * 2 ** 20) })))).toMatchObject({
      code: 'ABORTED',
    });
    store.close();
    await vi.waitFor(() => expect(s3.connections).toBe(0), { timeout: 10_000 });
    expect(await failureOf(store.put(objectOf()))).toMatchObject({ code: 'ABORTED' });
  });

  it('accepts a response shortly before its end', async () => {
    let release = () => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    s3.setFault(() => {
      queueMicrotask(release);
      return { hold };
    });
    await open().put(objectOf());
    expect(s3.puts).toHaveLength(1);
  });
});
