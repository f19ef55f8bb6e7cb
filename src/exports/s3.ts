import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { ObjectStoreError } from './object-store.ts';
import type { ObjectStore, StoredObject } from './object-store.ts';
import { explainS3Failure } from './s3-failures.ts';
import type { S3Failure } from './s3-failures.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface S3Options {
  readonly region: string;
  /** For S3-compatible stores. Where absent the SDK looks at AWS_ENDPOINT_URL_S3, then asks AWS. */
  readonly endpoint?: string | undefined;
  /** Where absent, the SDK's own chain: environment, profile, web identity, container, instance. */
  readonly credentials?: S3Credentials | undefined;
  /** Whether the SDK has a source of credentials for certain: then credentials that it does not find are away for now. */
  readonly hasCredentialSource?: boolean | undefined;
  readonly forcePathStyle?: boolean | undefined;
  /** No put lasts longer, so that it cannot outlive the lease of its run. 30,000 ms where absent. */
  readonly callTimeoutMs?: number | undefined;
  /**
   * Kept connections at once, 32 where absent; who waits for one longer than 5 s fails with S3_TIMEOUT. A body of
   * 2 MiB or more has a connection of its own, since the SDK asks first whether it may send it.
   */
  readonly maxSockets?: number | undefined;
}

const DEFAULT_CALL_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 20_000;
// Stores close kept connections after 5 s and more; one that closes while a request is on its way loses it.
const KEPT_CONNECTION_MS = 4_000;

/**
 * A store that knows one operation, PutObject, with the ACL bucket-owner-full-control. Never retries by itself: the
 * run does, and one put must end within its time limit. Errors of `put`: ObjectStoreError (codes: s3-failures.ts, and
 * ABORTED where `signal` or `close` ended the call, retryable, with the signal's reason as cause).
 */
export function openS3(options: S3Options): ObjectStore {
  const callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
  const client = createClient(options, callTimeoutMs);
  const credentials = { areExpected: options.hasCredentialSource ?? false };
  const closing = new AbortController();
  return {
    async put(object) {
      const ending = endingOf([object.signal, closing.signal], callTimeoutMs);
      try {
        ending.signal.throwIfAborted();
        // Credentials and sockets have time limits of their own; the race holds whatever they do.
        await Promise.race([send(client, object, ending.signal, credentials), ending.ended]);
      } catch (error) {
        const place = { bucket: object.bucket, bucketOwner: object.bucketOwner, region: options.region };
        if (ending.cause === 'time') {
          throw explainS3Failure(failureNamed('TimeoutError'), place, { cause: redact(error) });
        }
        if (ending.cause === 'signal') {
          const cause: unknown = ending.signal.reason;
          throw new ObjectStoreError('ABORTED', 'The call was ended before the store answered.', true, { cause });
        }
        throw explainS3Failure(readFailure(error), place, { cause: redact(error) });
      } finally {
        ending.forget();
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
  const agent = { keepAlive: true, maxSockets, timeout: KEPT_CONNECTION_MS };
  return new S3Client({
    region: options.region,
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: plainCredentials(options.credentials) }),
    forcePathStyle: options.forcePathStyle ?? false,
    maxAttempts: 1,
    // The SDK's default adds a CRC32 in a trailer of a chunked body, which R2, GCS and older MinIO refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    useArnRegion: false,
    disableMultiregionAccessPoints: true,
    disableS3ExpressSessionAuth: true,
    // A store that refuses says so before 64 MiB are on the way (the SDK asks from 2 MiB on). Because the SDK waits
    // max(6 s, requestTimeout) for a store that ignores the question, requestTimeout stays unset: it would be the time
    // limit itself. The deadline of each call is an AbortSignal (endingOf).
    requestHandler: {
      connectionTimeout: Math.min(CONNECT_TIMEOUT_MS, callTimeoutMs),
      socketTimeout: Math.min(IDLE_TIMEOUT_MS, callTimeoutMs),
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
}

function plainCredentials(credentials: S3Credentials) {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/** The SDK's message if none of its sources has credentials. A source that is configured but fails has its own message. */
const NO_SOURCE = 'Could not load credentials from any providers';

async function send(
  client: S3Client,
  object: StoredObject,
  signal: AbortSignal,
  credentials: { areExpected: boolean },
): Promise<void> {
  // First by themselves: an AccessDenied of STS must not read as one of the bucket. The SDK keeps what it got.
  try {
    await client.config.credentials();
    credentials.areExpected = true;
  } catch (error) {
    // A server that had credentials before gets them from a source that is away for now.
    const areMissing = !credentials.areExpected && error instanceof Error && error.message === NO_SOURCE;
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
    ACL: 'bucket-owner-full-control',
    ...(object.bucketOwner !== null && { ExpectedBucketOwner: object.bucketOwner }),
    ChecksumSHA256: Buffer.from(object.sha256Hex, 'hex').toString('base64'),
  });
  // The signature covers the SHA-256 of the body. It is known, and the SDK takes it instead of hashing 64 MiB again.
  command.middlewareStack.add(
    (next) => async (args) => {
      const request = args.request as { headers: Record<string, string> };
      request.headers['x-amz-content-sha256'] = object.sha256Hex;
      return next(args);
    },
    { step: 'build', name: 'sluiceKnownSha256' },
  );
  const answer = await client.send(command, { abortSignal: signal });
  // Every S3 names the ETag of what it stored; a web server that says 200 to anything does not.
  if (answer.ETag === undefined) {
    throw Object.assign(new Error('No ETag'), { name: 'NotS3', $metadata: answer.$metadata });
  }
}

interface Ending {
  readonly signal: AbortSignal;
  /** Rejects when the signal fires; never resolves. */
  readonly ended: Promise<never>;
  readonly cause: 'time' | 'signal' | null;
  forget(): void;
}

/** One signal of the callers' signals and a deadline. AbortSignal.any would hold on to a run's signal for its life. */
function endingOf(callers: readonly AbortSignal[], timeoutMs: number): Ending {
  const controller = new AbortController();
  let cause: Ending['cause'] = null;
  const end = (why: 'time' | 'signal', reason: unknown) => {
    cause ??= why;
    controller.abort(reason);
  };
  const onAbort = (event: Event) => end('signal', (event.target as AbortSignal).reason);
  const timer = setTimeout(() => end('time', new Error(`No answer within ${timeoutMs} ms`)), timeoutMs);
  for (const caller of callers) {
    if (caller.aborted) end('signal', caller.reason);
    else caller.addEventListener('abort', onAbort, { once: true });
  }
  const ended = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener('abort', () => reject(new Error('The call was ended')), { once: true });
  });
  ended.catch(() => {}); // where nobody waits for it any more
  return {
    signal: controller.signal,
    ended,
    get cause() {
      return cause;
    },
    forget() {
      clearTimeout(timer);
      for (const caller of callers) caller.removeEventListener('abort', onAbort);
    },
  };
}

function failureNamed(s3Code: string): S3Failure {
  return { s3Code, status: undefined, systemCode: undefined, bucketRegion: undefined };
}

/** The SDK's errors and Node's have no type in common: every property is read as unknown. */
function readFailure(error: unknown): S3Failure {
  const metadata = property(error, '$metadata');
  const response = property(error, '$response');
  const status = property(metadata, 'httpStatusCode') ?? property(response, 'statusCode');
  const region = property(property(response, 'headers'), 'x-amz-bucket-region') ?? property(error, 'Region');
  const systemCode = property(error, 'code') ?? property(property(error, 'cause'), 'code');
  const name = error instanceof Error ? error.name : '';
  return {
    // "Unknown" and "Error" are the SDK's, for an answer without an error document or with one that it could not read.
    s3Code: /^(?!Unknown$|Error$)[A-Za-z][A-Za-z0-9.]{0,63}$/.test(name) ? name : '',
    status: typeof status === 'number' ? status : undefined,
    systemCode: typeof systemCode === 'string' ? systemCode : undefined,
    // It ends up in a message: nothing but what a region looks like.
    bucketRegion: typeof region === 'string' && /^[a-z0-9-]{1,32}$/.test(region) ? region : undefined,
  };
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** For the log: S3's own text can hold the string to sign, the key id and hosts, so only codes are kept. */
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
