import { createHash } from 'node:crypto';
import dns from 'node:dns';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ObjectStore, ObjectStoreError } from '../../src/exports/object-store.ts';
import { openS3 } from '../../src/exports/s3.ts';
import { isDestinationProblem, parseS3Url } from '../../src/jobs/destination.ts';
import { type StrictS3, startStrictS3 } from '../support/strict-s3.ts';

// Only the operator's settings choose the host that is called: neither a job nor a response of the store does.

const body = Buffer.from('bucketStart,value\n');
const objectOf = (bucket: string, key = 'exports/daily/a.csv') => ({
  bucket,
  key,
  body,
  contentType: 'text/csv',
  bucketOwner: null,
  sha256Hex: createHash('sha256').update(body).digest('hex'),
  signal: new AbortController().signal,
});

const listening = async (server: Server): Promise<number> => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

describe('store that redirects', () => {
  let s3: StrictS3;
  let elsewhere: Server;
  let port = 0;
  let arrived = 0;
  let store: ObjectStore;
  beforeEach(async () => {
    s3 = await startStrictS3({ buckets: ['there', 'my.bucket'] });
    arrived = 0;
    elsewhere = createServer((_request, response) => response.writeHead(200, { etag: '"x"' }).end());
    elsewhere.on('connection', () => {
      arrived += 1;
    });
    port = await listening(elsewhere);
    const { region, endpoint, credentials } = s3;
    store = openS3({ region, endpoint, credentials, forcePathStyle: true });
  });
  afterEach(async () => {
    store.close();
    await s3.close();
    elsewhere.closeAllConnections();
    await new Promise((resolve) => elsewhere.close(resolve));
  });

  test.each([301, 302, 303, 307, 308])('with %i > is not followed', async (status) => {
    const target = `127.0.0.1:${port}`;
    const document = `<Error><Code>TemporaryRedirect</Code><Endpoint>${target}</Endpoint><Bucket>there</Bucket></Error>`;
    for (const headers of [
      { location: `http://${target}/there/exports/daily/a.csv` },
      { location: `//${target}/` },
      { location: `http://${target}/`, 'x-amz-bucket-region': `x@${target}/#` },
      { location: `http://${target}/`, 'x-amz-bucket-region': 'eu-west-1' },
    ]) {
      for (const text of ['', document]) {
        s3.setFault(() => ({ status, text, headers }));
        const failure: unknown = await store.put(objectOf('there')).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(ObjectStoreError);
        expect((failure as Error).message).not.toContain(String(port));
      }
    }
    expect(arrived).toBe(0);
    expect(s3.puts).toEqual([]);
    // The next put goes to the same host as the first.
    s3.setFault(undefined);
    await store.put(objectOf('there'));
    expect(s3.puts).toHaveLength(1);
    expect(arrived).toBe(0);
  });
});

describe('called host', () => {
  let store: Server;
  let port = 0;
  const hosts: (string | undefined)[] = [];
  const asked: string[] = [];
  beforeAll(async () => {
    store = createServer((request: IncomingMessage, response) => {
      hosts.push(request.headers.host);
      request.resume().once('end', () => response.writeHead(200, { etag: '"x"' }).end());
    });
    port = await listening(store);
    // Every name resolves to this machine. The test checks which names were looked up.
    vi.spyOn(dns, 'lookup').mockImplementation(((
      name: string,
      options: { all?: boolean },
      callback: (error: null, address: unknown, family?: number) => void,
    ) => {
      asked.push(name);
      if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
      else callback(null, '127.0.0.1', 4);
    }) as never);
  });
  afterAll(async () => {
    vi.restoreAllMocks();
    store.closeAllConnections();
    await new Promise((resolve) => store.close(resolve));
  });

  const credentials = { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'secret' };
  const urls = fc.oneof(
    fc.stringMatching(/^(s3:\/\/)?[a-z0-9.-]{3,20}(\/[ -~]{1,20}){0,2}\/?$/),
    fc.webUrl({ withFragments: true, withQueryParameters: true }),
    fc.constantFrom(
      'my.bucket',
      'evil.example.com',
      'evil.example.com/path',
      's3://evil.example.com',
      'evil.example.com:80/x',
      'user@evil.example.com/x',
      '169.254.169.254/latest/meta-data',
      's3://[::1]/x',
      'localhost/x',
      'evil.example.com#',
      'evil.example.com?',
      'bucket/../../evil',
      'bucket//evil.example.com/x',
      'bucket/\\evil.example.com',
      'bucket/@evil.example.com/x',
      'bucket/x?x-id=DeleteObject',
      'bucket\r\nHost: evil.example.com',
      'bucket/x\r\nHost: evil.example.com',
      'arn:aws:s3:eu-west-1:123456789012:accesspoint/evil',
      's3://arn:aws:s3::123456789012:accesspoint/evil.mrap',
      'abc--x-s3',
      'abc-s3alias',
      'abc.mrap',
    ),
  );

  test.each([
    ['in the path', true],
    ['in the host name', false],
  ])('is the host of the settings for any s3Url, with the S3 bucket %s', async (_, forcePathStyle) => {
    const endpoint = `http://store.example.net:${port}`;
    const s3 = openS3({ region: 'us-east-1', endpoint, credentials, forcePathStyle });
    const taken = new Set<string>();
    const tryOne = async (s3Url: string): Promise<void> => {
      const destination = parseS3Url(s3Url);
      if (isDestinationProblem(destination)) return;
      const { bucket, path } = destination;
      taken.add(bucket);
      hosts.length = 0;
      await s3.put(objectOf(bucket, path === '' ? 'key' : path));
      const host = forcePathStyle ? 'store.example.net' : `${bucket}.store.example.net`;
      expect([`${host}:${port}`, `store.example.net:${port}`]).toContain(hosts[0]);
      expect(hosts).toHaveLength(1);
    };
    await fc.assert(fc.asyncProperty(urls, tryOne), { numRuns: 300 });
    for (const s3Url of ['my.bucket', 'evil.example.com/path', 'localhost/x', 'bucket/@evil.example.com/x']) {
      await tryOne(s3Url);
    }
    expect([...taken]).toEqual(expect.arrayContaining(['my.bucket', 'evil.example.com', 'localhost', 'bucket']));
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((name) => name !== 'store.example.net' && !name.endsWith('.store.example.net'))).toEqual([]);
    s3.close();
  });

  test("is AWS's own without an endpoint in the settings", async () => {
    const s3 = openS3({ region: 'eu-central-1', credentials, callTimeoutMs: 2000 });
    asked.length = 0;
    for (const bucket of ['bucket', 'my.bucket', 'evil.example.com']) {
      await s3.put(objectOf(bucket)).catch(() => undefined);
    }
    // AWS has no certificate for a name with dots, so the name is part of the path.
    expect(new Set(asked)).toEqual(new Set(['bucket.s3.eu-central-1.amazonaws.com', 's3.eu-central-1.amazonaws.com']));
    s3.close();
  });
});
