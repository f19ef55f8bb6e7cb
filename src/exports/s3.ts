import { PutObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { LRUCache } from 'lru-cache';
import { ObjectStoreError } from './object-store.ts';
import type { ObjectStore, StoredObject } from './object-store.ts';
import { explainS3Failure, findRefusalCause } from './s3-failures.ts';
import type { S3Failure } from './s3-explanations.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface S3Options {
  /** Region of the objects that name none. */
  readonly region: string;
  /** Whether the header x-amz-acl: bucket-owner-full-control is sent. Defaults to true. */
  readonly sendsAcl?: boolean | undefined;
  /** Whether the header x-amz-checksum-sha256 is sent. Defaults to true. */
  readonly sendsChecksum?: boolean | undefined;
  /** Endpoint of an S3-compatible store. Defaults to the SDK's choice: AWS_ENDPOINT_URL_S3, otherwise AWS. */
  readonly endpoint?: string | undefined;
  /** Defaults to the SDK's chain: environment, profile, web identity, container, instance. */
  readonly credentials?: S3Credentials | undefined;
  /** Whether the SDK certainly has a source of credentials. If so, a failure to load them is transient. */
  readonly hasCredentialSource?: boolean | undefined;
  readonly forcePathStyle?: boolean | undefined;
  /** Maximum duration of a put, so that it cannot outlive the lease of its run. Defaults to 30,000 ms. */
  readonly callTimeoutMs?: number | undefined;
  /**
   * Maximum number of pooled connections. Defaults to 32. A put that waits for one longer than 5 s fails with S3_TIMEOUT. A body of
   * 2 MiB or more uses a connection of its own, because the SDK sends `Expect: 100-continue` first.
   */
  readonly maxSockets?: number | undefined;
}

const DEFAULT_CALL_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 20_000;
// Stores close idle connections after 5 s or more, and a request that is sent meanwhile is lost.
const KEEP_ALIVE_MS = 4_000;
/** AWS has about 40 regions; stores of other makers accept any name. A client that is evicted holds no connections. */
const MAX_CLIENTS = 100;

/**
 * Opens a store with one operation: PutObject, with one client per region. It does not retry, because a put must end
 * within its time limit; the run is retried instead. `put` throws ObjectStoreError with the codes of s3-explanations.ts, or ABORTED
 * (retryable, with the signal's reason as cause) if `signal` or `close` aborted the call.
 */
export function openS3(options: S3Options): ObjectStore {
  const callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
  const client = createClient(options, callTimeoutMs);
  const { sendsAcl = true, sendsChecksum = true } = options;
  const clients = new LRUCache<string, S3Client>({ max: MAX_CLIENTS });
  // Clients of all regions share the connections and the credentials of the first one, so evicting one closes nothing.
  const clientOf = (region: string): S3Client => {
    if (region === options.region) return client;
    const existing = clients.get(region);
    if (existing !== undefined) return existing;
    const { credentials, requestHandler } = client.config;
    const created = new S3Client({ ...buildClientConfig(options), region, credentials, requestHandler });
    clients.set(region, created);
    return created;
  };
  const credentials = { areExpected: options.hasCredentialSource ?? false };
  const closing = new AbortController();
  return {
    async put(object) {
      const region = object.region ?? options.region;
      const deadline = startDeadline([object.signal, closing.signal], callTimeoutMs);
      try {
        deadline.signal.throwIfAborted();
        // Promise.race, because loading credentials and connecting do not observe the signal.
        const headers = { sendsAcl, sendsChecksum };
        await Promise.race([send(clientOf(region), object, headers, deadline.signal, credentials), deadline.aborted]);
      } catch (error) {
        const { bucket, bucketOwner, encryption } = object;
        const destination = { bucket, bucketOwner, region, encryption, sendsAcl, sendsChecksum };
        if (deadline.cause === 'time') {
          throw explainS3Failure(failureNamed('TimeoutError'), destination, { cause: redact(error) });
        }
        if (deadline.cause === 'signal') {
          const cause: unknown = deadline.signal.reason;
          throw new ObjectStoreError('ABORTED', 'The upload was aborted before the store responded.', true, { cause });
        }
        throw explainS3Failure(readFailure(error), destination, { cause: redact(error) });
      } finally {
        deadline.clear();
      }
    },
    close() {
      closing.abort(new Error('The object store is closed.'));
      client.destroy();
    },
  };
}

function createClient(options: S3Options, callTimeoutMs: number): S3Client {
  const maxSockets = options.maxSockets ?? 32;
  const agent = { keepAlive: true, maxSockets, timeout: KEEP_ALIVE_MS };
  return new S3Client({
    ...buildClientConfig(options),
    ...(options.credentials === undefined ? {} : { credentials: plainCredentials(options.credentials) }),
    // requestTimeout stays unset. From 2 MiB on the SDK sends `Expect: 100-continue`, so that a store can reject a put before 64 MiB
    // are sent, and waits max(6 s, requestTimeout) for a store that ignores it. The deadline of each call is an AbortSignal.
    requestHandler: {
      connectionTimeout: Math.min(CONNECT_TIMEOUT_MS, callTimeoutMs),
      socketTimeout: Math.min(IDLE_TIMEOUT_MS, callTimeoutMs),
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
}

/** The configuration that clients of all regions have in common. */
function buildClientConfig(options: S3Options): S3ClientConfig {
  return {
    region: options.region,
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    forcePathStyle: options.forcePathStyle ?? false,
    maxAttempts: 1,
    // The SDK's default adds a CRC32 in the trailer of a chunked body, which R2, GCS and older MinIO reject.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    useArnRegion: false,
    disableMultiregionAccessPoints: true,
    disableS3ExpressSessionAuth: true,
  };
}

function plainCredentials(credentials: S3Credentials) {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/**
 * Returns whether loading credentials failed because of the configuration, so that a retry would fail too: the SDK found none in any
 * source, a profile or an SSO session is not valid, or a token file does not exist. Errors of STS and of the network have other names.
 */
function isConfigurationError(error: unknown): boolean {
  const isUnreadableFile = /^(?:ENOENT|EACCES|EISDIR|ENOTDIR)$/.test(String(property(error, 'code')));
  return isUnreadableFile || property(error, 'name') === 'CredentialsProviderError';
}

async function send(
  client: S3Client,
  object: StoredObject,
  { sendsAcl, sendsChecksum }: { readonly sendsAcl: boolean; readonly sendsChecksum: boolean },
  signal: AbortSignal,
  credentials: { areExpected: boolean },
): Promise<void> {
  // Loaded first, so that an AccessDenied of STS is not mistaken for one of the bucket. The SDK caches the credentials.
  try {
    await client.config.credentials();
    credentials.areExpected = true;
  } catch (error) {
    // If the server had credentials before, their source is only temporarily unavailable.
    const areMissing = !credentials.areExpected && isConfigurationError(error);
    throw Object.assign(new Error('No credentials', { cause: redact(error) }), {
      name: areMissing ? 'CredentialsMissing' : 'CredentialsProviderError',
    });
  }
  signal.throwIfAborted();
  const command = new PutObjectCommand({
    Bucket: object.bucket,
    Key: object.key,
    Body: object.body,
    ContentLength: object.body.length,
    ContentType: object.contentType,
    ...(sendsAcl && { ACL: 'bucket-owner-full-control' }),
    ...(object.bucketOwner !== null && { ExpectedBucketOwner: object.bucketOwner }),
    ...(object.encryption && { ServerSideEncryption: object.encryption === 'KMS' ? 'aws:kms' : 'AES256' }),
    ...(object.kmsKeyId && { SSEKMSKeyId: object.kmsKeyId }),
    ...(sendsChecksum && { ChecksumSHA256: Buffer.from(object.sha256Hex, 'hex').toString('base64') }),
  });
  // The signature covers the SHA-256 of the body. With this header the SDK does not hash up to 64 MiB again.
  command.middlewareStack.add(
    (next) => async (args) => {
      const request = args.request as { headers: Record<string, string> };
      request.headers['x-amz-content-sha256'] = object.sha256Hex;
      return next(args);
    },
    { step: 'build', name: 'sluiceKnownSha256' },
  );
  const answer = await client.send(command, { abortSignal: signal });
  // Every S3 store returns an ETag. A web server that responds 200 to any request does not.
  if (answer.ETag === undefined) {
    throw Object.assign(new Error('No ETag'), { name: 'NotS3', $metadata: answer.$metadata });
  }
}

interface Deadline {
  readonly signal: AbortSignal;
  /** Rejects when the signal is aborted; never resolves. */
  readonly aborted: Promise<never>;
  readonly cause: 'time' | 'signal' | null;
  /** Removes the timer and the listeners. */
  clear(): void;
}

/** Combines the callers' signals with a time limit. AbortSignal.any would stay attached to the signal of a run until the run ends. */
function startDeadline(callers: readonly AbortSignal[], timeoutMs: number): Deadline {
  const controller = new AbortController();
  let cause: Deadline['cause'] = null;
  const abort = (why: 'time' | 'signal', reason: unknown) => {
    cause ??= why;
    controller.abort(reason);
  };
  const onAbort = (event: Event) => abort('signal', (event.target as AbortSignal).reason);
  const timer = setTimeout(() => abort('time', new Error(`No response within ${timeoutMs} ms`)), timeoutMs);
  for (const caller of callers) {
    if (caller.aborted) abort('signal', caller.reason);
    else caller.addEventListener('abort', onAbort, { once: true });
  }
  const aborted = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener('abort', () => reject(new Error('The call was aborted')), { once: true });
  });
  aborted.catch(() => {}); // It may reject when put() no longer awaits it.
  return {
    signal: controller.signal,
    aborted,
    get cause() {
      return cause;
    },
    clear() {
      clearTimeout(timer);
      for (const caller of callers) caller.removeEventListener('abort', onAbort);
    },
  };
}

function failureNamed(s3Code: string): S3Failure {
  return { s3Code, status: undefined, systemCode: undefined, bucketRegion: undefined, cause: undefined };
}

/** Reads every property as unknown, because the errors of the SDK and of Node have no common type. */
function readFailure(error: unknown): S3Failure {
  const metadata = property(error, '$metadata');
  const response = property(error, '$response');
  const status = property(metadata, 'httpStatusCode') ?? property(response, 'statusCode');
  const region = property(property(response, 'headers'), 'x-amz-bucket-region') ?? property(error, 'Region');
  const systemCode = property(error, 'code') ?? property(property(error, 'cause'), 'code');
  const name = error instanceof Error ? error.name : '';
  const texts = ['message', 'ArgumentName', 'Header'].map((field) => property(error, field));
  return {
    // The SDK uses "Unknown" and "Error" for a response without an error document, or with one that it cannot parse.
    s3Code: /^(?!Unknown$|Error$)[A-Za-z][A-Za-z0-9.]{0,63}$/.test(name) ? name : '',
    status: typeof status === 'number' ? status : undefined,
    systemCode: typeof systemCode === 'string' ? systemCode : undefined,
    // Copied into a message, so it must look like a region.
    bucketRegion: typeof region === 'string' && /^[a-z0-9-]{1,64}$/.test(region) ? region : undefined,
    cause: findRefusalCause(texts.filter((text) => typeof text === 'string').join(' ')),
  };
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** Builds an error for the log from codes only: the text of S3 can contain the string to sign, the key id and hosts. */
function redact(error: unknown): Error {
  const { s3Code, status, systemCode } = readFailure(error);
  const requestId = property(property(error, '$metadata'), 'requestId');
  const parts = [
    s3Code === '' ? 'no code' : s3Code,
    status === undefined ? null : `HTTP ${status}`,
    systemCode ?? null,
    typeof requestId === 'string' ? `request ${requestId}` : null,
  ];
  return new Error(parts.filter((part) => part !== null).join(', '));
}
