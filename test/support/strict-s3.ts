import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import aws4 from 'aws4';
import { evaluatePolicy } from './evaluate-policy.ts';

/** One stored object. A key that was written twice has two. */
export interface Put {
  readonly bucket: string;
  readonly key: string;
  readonly body: Buffer;
  readonly headers: IncomingHttpHeaders;
  readonly at: Date;
  /** 1 for the first put of this server. */
  readonly order: number;
}

export interface Refusal {
  readonly method: string;
  /** Path and query of the request. */
  readonly url: string;
  readonly status: number;
  readonly code: string;
  readonly reason: string;
}

/** Argument of a fault hook: a signed and allowed request whose body was not read yet. */
export interface FaultRequest {
  readonly bucket: string;
  readonly key: string;
  readonly headers: IncomingHttpHeaders;
  /** 1 for the first request that was signed and allowed. */
  readonly count: number;
}

/**
 * 'reset': the connection is reset before the body is read. 'reset-mid-body': it is reset after a part of the body.
 * 'reset-after-store': the object is stored, the response lost. 'hang': the request is read, and there is no response.
 * `hold`: the object is stored when the promise settles. `pause`: the same, unless the client has disconnected by then. `stall`: the
 * object is stored, and the response sent when the promise settles. `status`: the response instead of storing, with an S3 error
 * document with `code`, or with `text`.
 */
export type Fault =
  | 'reset'
  | 'reset-mid-body'
  | 'reset-after-store'
  | 'hang'
  | { readonly hold: Promise<unknown> }
  | { readonly pause: Promise<unknown> }
  | { readonly stall: Promise<unknown> }
  | {
      readonly status: number;
      readonly code?: string;
      readonly text?: string;
      readonly headers?: Readonly<Record<string, string>>;
    };

export type FaultHook = (request: FaultRequest) => Fault | undefined;

export interface StrictS3Options {
  /** Names of the buckets that exist. */
  readonly buckets: readonly string[];
  readonly region?: string;
  readonly fault?: FaultHook;
  /** The store's clock. Requests that were signed more than 15 minutes before or after it are rejected. */
  readonly now?: () => Date;
}

export interface StrictS3 {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** All puts, in order. */
  readonly puts: readonly Put[];
  readonly refusals: readonly Refusal[];
  /** Number of open connections. */
  readonly connections: number;
  /** Number of connections since the start. */
  readonly connectionsMade: number;
  /** Returns the newest object of each key, ordered by bucket and key. */
  objects(): Put[];
  object(bucket: string, key: string): Put | undefined;
  setFault(fault: FaultHook | undefined): void;
  setNow(now: () => Date): void;
  /** Enforces a bucket policy instead of the rule that the ACL must be bucket-owner-full-control; undefined restores the rule. */
  setPolicy(policy: string | undefined): void;
  close(): Promise<void>;
}

/** The principal of the credentials, for bucket policies. */
export const STRICT_PRINCIPAL = 'arn:aws:iam::444455556666:role/strict';

/** The AWS account that owns every bucket. */
export const BUCKET_OWNER = '111122223333';

const MAX_SKEW_MS = 15 * 60_000;

class Refused extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, reason: string) {
    super(reason);
    this.status = status;
    this.code = code;
  }
}

function denied(reason: string) {
  return new Refused(403, 'AccessDenied', reason);
}

/**
 * Starts a path-style S3 that allows only s3:PutObject with the ACL bucket-owner-full-control and rejects everything else,
 * like the bucket policy that customers attach, or enforces the policy of setPolicy(). It checks signatures with aws4, not with the SDK.
 */
export async function startStrictS3(options: StrictS3Options): Promise<StrictS3> {
  const region = options.region ?? 'us-east-1';
  const credentials = { accessKeyId: 'AKIASTRICTEXAMPLE', secretAccessKey: 'strict/secret+of=the-test-server' };
  const puts: Put[] = [];
  const refusals: Refusal[] = [];
  const sockets = new Set<Socket>();
  let connectionsMade = 0;
  let allowed = 0;
  let fault = options.fault;
  let now = options.now ?? (() => new Date());
  let policy: string | undefined;

  function store(bucket: string, key: string, body: Buffer, headers: IncomingHttpHeaders): void {
    puts.push({ bucket, key, body, headers, at: now(), order: puts.length + 1 });
  }

  async function answer(request: IncomingMessage, response: ServerResponse, expects: boolean): Promise<void> {
    response.setHeader('date', now().toUTCString());
    const place = readPlace(request);
    checkHeaders(request, region, credentials, now());
    if (policy === undefined) checkAcl(request.headers);
    else checkPolicy(policy, place, request.headers);
    const expectedOwner = request.headers['x-amz-expected-bucket-owner'];
    if (expectedOwner !== undefined && expectedOwner !== BUCKET_OWNER)
      throw denied('Another AWS account has the bucket');
    if (!options.buckets.includes(place.bucket)) {
      throw new Refused(404, 'NoSuchBucket', `No bucket ${place.bucket}`);
    }
    allowed += 1;
    const injected = fault?.({ ...place, headers: request.headers, count: allowed });
    if (injected === 'reset') return reset(request.socket);
    if (typeof injected === 'object' && 'status' in injected) {
      if (!expects) await readBody(request);
      return sendFault(response, injected);
    }
    if (expects) response.writeContinue();
    if (injected === 'reset-mid-body') {
      await once(request, 'data');
      return reset(request.socket);
    }
    const body = await readBody(request);
    checkBody(request.headers, body);
    if (injected === 'hang') return;
    const waits = typeof injected === 'object' ? injected : {};
    await ('hold' in waits ? waits.hold : 'pause' in waits && waits.pause);
    if ('pause' in waits && request.socket.destroyed) return;
    store(place.bucket, place.key, body, request.headers);
    if ('stall' in waits) await waits.stall;
    if (injected === 'reset-after-store') return reset(request.socket);
    const etag = createHash('md5').update(body).digest('hex');
    response.writeHead(200, { etag: `"${etag}"`, 'content-length': '0' }).end();
  }

  function serve(request: IncomingMessage, response: ServerResponse, expects: boolean): void {
    answer(request, response, expects).catch(async (error: unknown) => {
      if (request.socket.destroyed) return;
      const refused = error instanceof Refused ? error : new Refused(500, 'InternalError', String(error));
      const { status, code, message: reason } = refused;
      refusals.push({ method: request.method ?? '', url: request.url ?? '', status, code, reason });
      if (!expects && !request.readableEnded) await readBody(request).catch(() => {});
      sendFault(response, { status, code });
    });
  }

  const server: Server = createServer((request, response) => serve(request, response, false));
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => serve(request, response, true));
  server.on('connection', (socket) => {
    connectionsMade += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    endpoint: `http://127.0.0.1:${port}`,
    region,
    credentials,
    puts,
    refusals,
    get connections() {
      return sockets.size;
    },
    get connectionsMade() {
      return connectionsMade;
    },
    objects: () => [...new Map(puts.map((put) => [`${put.bucket}/${put.key}`, put])).values()],
    object: (bucket, key) => puts.findLast((put) => put.bucket === bucket && put.key === key),
    setFault(hook) {
      fault = hook;
    },
    setNow(clock) {
      now = clock;
    },
    setPolicy(text) {
      policy = text;
    },
    async close() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Parses PUT /bucket/key. Throws for any other request, such as a sub-resource or a copy. */
function readPlace(request: IncomingMessage): { bucket: string; key: string } {
  const url = request.url ?? '';
  if (request.method !== 'PUT') throw denied(`${request.method} is not PutObject`);
  const [path = '', query] = url.split('?', 2);
  // The SDK names the operation in the query. Any other query is another operation.
  if (query !== undefined && query !== 'x-id=PutObject') throw denied(`?${query} is not PutObject`);
  if (request.headers['x-amz-copy-source'] !== undefined) throw denied('CopyObject is not PutObject');
  const [, bucket, key] = /^\/([^/]+)\/(.+)$/s.exec(path) ?? [];
  if (bucket === undefined || key === undefined) throw denied('No bucket and key in the path');
  return { bucket: decodeURIComponent(bucket), key: decodeURIComponent(key) };
}

function checkHeaders(request: IncomingMessage, region: string, credentials: StrictS3['credentials'], now: Date): void {
  const { headers } = request;
  checkSignature(request, region, credentials);
  const signedAt = Date.parse(
    header(headers, 'x-amz-date').replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'),
  );
  if (!(Math.abs(signedAt - now.getTime()) <= MAX_SKEW_MS)) {
    throw new Refused(403, 'RequestTimeTooSkewed', 'Signed at another time');
  }
  const encoding = `${header(headers, 'transfer-encoding')} ${header(headers, 'content-encoding')}`;
  if (/chunked/.test(encoding)) throw new Refused(501, 'NotImplemented', 'Chunked framing');
  if (!/^\d+$/.test(header(headers, 'content-length'))) {
    throw new Refused(411, 'MissingContentLength', 'No Content-Length');
  }
  if (!/^[0-9a-f]{64}$/.test(header(headers, 'x-amz-content-sha256'))) {
    throw denied(`The body is not signed: ${header(headers, 'x-amz-content-sha256')}`);
  }
}

function checkAcl(headers: IncomingHttpHeaders): void {
  if (header(headers, 'x-amz-acl') !== 'bucket-owner-full-control') {
    throw denied(`The ACL is "${header(headers, 'x-amz-acl')}"`);
  }
}

function checkPolicy(policy: string, place: { bucket: string; key: string }, headers: IncomingHttpHeaders): void {
  const names = ['x-amz-acl', 'x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id'];
  const conditionKeys = Object.fromEntries(names.map((name) => [`s3:${name}`, header(headers, name) || undefined]));
  const request = { ...place, principalArn: STRICT_PRINCIPAL, action: 's3:PutObject', conditionKeys };
  const verdict = evaluatePolicy(policy, request);
  if (verdict !== 'allow') throw denied(`The bucket policy: ${verdict}`);
}

function checkSignature(request: IncomingMessage, region: string, credentials: StrictS3['credentials']): void {
  const { headers, method, url } = request;
  const authorization = header(headers, 'authorization');
  const parsed =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$/.exec(
      authorization,
    );
  if (parsed === null) throw denied('No signature of version 4');
  const [, accessKeyId, day, signedRegion, list = ''] = parsed;
  if (accessKeyId !== credentials.accessKeyId)
    throw new Refused(403, 'InvalidAccessKeyId', `${accessKeyId} is unknown`);
  if (signedRegion !== region) {
    throw new Refused(400, 'AuthorizationHeaderMalformed', `Signed for ${signedRegion}, this is ${region}`);
  }
  const signed = list.split(';');
  const unsigned = Object.keys(headers).filter((name) => name.startsWith('x-amz-') && !signed.includes(name));
  if (!signed.includes('host') || unsigned.length > 0) throw denied(`Not signed: ${unsigned.join(', ') || 'host'}`);
  if (!header(headers, 'x-amz-date').startsWith(`${day}T`)) throw denied('The scope is of another day');
  const toSign = {
    service: 's3',
    region,
    method: method ?? '',
    path: url ?? '',
    // The headers must include x-amz-date, otherwise aws4 signs with its own clock.
    headers: Object.fromEntries(signed.map((name) => [name, header(headers, name)])),
    // aws4 excludes some headers from its own signatures; here the signed headers of the request decide.
    extraHeadersToInclude: Object.fromEntries(signed.map((name) => [name, true])),
  };
  const expected = new aws4.RequestSigner(toSign, credentials).sign().headers?.['Authorization'];
  if (authorization !== expected) throw new Refused(403, 'SignatureDoesNotMatch', 'Another signature');
}

function checkBody(headers: IncomingHttpHeaders, body: Buffer): void {
  // node:http ends the message at Content-Length; a shorter body never ends.
  const hash = createHash('sha256').update(body).digest();
  if (hash.toString('hex') !== header(headers, 'x-amz-content-sha256')) {
    throw new Refused(400, 'XAmzContentSHA256Mismatch', 'The body has another SHA-256 than was signed');
  }
  const checksum = header(headers, 'x-amz-checksum-sha256');
  if (checksum !== '' && checksum !== hash.toString('base64')) {
    throw new Refused(400, 'BadDigest', 'The body has another SHA-256 than x-amz-checksum-sha256');
  }
}

function header(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  return typeof value === 'string' ? value : '';
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function reset(socket: Socket): void {
  socket.resetAndDestroy();
}

function sendFault(response: ServerResponse, fault: Extract<Fault, { status: number }>): void {
  // Like S3, the message repeats parts of the request, the host and the key id. None of them may reach a customer.
  const text =
    fault.text ??
    (fault.code === undefined
      ? ''
      : `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${fault.code}</Code><Message>LEAK of the store</Message>` +
        '<AWSAccessKeyId>AKIASTRICTEXAMPLE</AWSAccessKeyId><StringToSign>LEAK</StringToSign>' +
        '<RequestId>4442587FB7D0A2F9</RequestId><HostId>LEAK-internal-host</HostId></Error>');
  response
    .writeHead(fault.status, {
      'content-type': 'application/xml',
      'content-length': String(Buffer.byteLength(text)),
      connection: 'close',
      ...fault.headers,
    })
    .end(text);
}
