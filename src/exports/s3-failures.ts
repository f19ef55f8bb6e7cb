// Pure: explains a failed PutObject: code, whether to retry, and what the owner of the job or the operator must change.
import type { RunFailure } from '../db/json-columns.ts';
import { ObjectStoreError } from './object-store.ts';

/** The known facts about a failure. Only `s3Code`, `status` and `bucketRegion` are copied into messages. */
export interface S3Failure {
  /** One word: the code of S3's error document or the name of the SDK's error. Empty if there is neither. */
  readonly s3Code: string;
  /** HTTP status; undefined if there was no response. */
  readonly status: number | undefined;
  /** Node's code of a failed connection, such as ECONNRESET, ENOTFOUND or CERT_HAS_EXPIRED. */
  readonly systemCode: string | undefined;
  /** Region of the bucket according to S3: the header x-amz-bucket-region or the error document. */
  readonly bucketRegion: string | undefined;
}

/** The S3 bucket that the object was written to, for messages. */
export interface S3Destination {
  readonly bucket: string;
  /** AWS account of the bucket according to the job. */
  readonly bucketOwner: string | null;
  readonly region: string;
}

interface Explanation {
  readonly code: string;
  readonly retryable: boolean;
  readonly message: (destination: S3Destination, failure: S3Failure) => string;
}

const accessDenied: Explanation = {
  code: 'ACCESS_DENIED',
  retryable: false,
  message: ({ bucket, bucketOwner }) =>
    `Sluice is not allowed to write to the bucket ${bucket}${bucketOwner === null ? '' : `, or the bucket does not belong to AWS account ${bucketOwner} (bucketOwner of this job)`}. ` +
    'Attach the bucket policy that the query bucketPolicy returns for the s3Url of this job, and check for a statement ' +
    'that denies s3:PutObject. If the bucket is encrypted with a KMS key, the key must allow kms:GenerateDataKey to the ' +
    'same principal.',
};
const noSuchBucket: Explanation = {
  code: 'NO_SUCH_BUCKET',
  retryable: false,
  message: ({ bucket }) => `The bucket ${bucket} does not exist. Create it, or correct the s3Url of this job.`,
};
const badBucket: Explanation = {
  code: 'BAD_BUCKET',
  retryable: false,
  message: ({ bucket }) => `The store does not accept the bucket name ${bucket}. Correct the s3Url of this job.`,
};
const wrongRegion: Explanation = {
  code: 'WRONG_REGION',
  retryable: false,
  message: ({ bucket, region }, { bucketRegion }) =>
    bucketRegion === undefined || bucketRegion === region
      ? `The bucket ${bucket} is not in the region ${region}, to which this server writes. ` +
        `Use a bucket in ${region}, or ask the operator to set AWS_REGION (and the S3 endpoint) to the bucket's region.`
      : `The bucket ${bucket} is in the region ${bucketRegion}, but this server writes to ${region}. ` +
        `Use a bucket in ${region}, or ask the operator to set AWS_REGION=${bucketRegion}.`,
};
const redirected: Explanation = {
  code: 'REDIRECTED',
  retryable: true,
  message: ({ bucket }) =>
    `S3 still redirects requests for the bucket ${bucket}. This can last some hours after a bucket was created.`,
};
const credentialsRefused: Explanation = {
  code: 'CREDENTIALS_REFUSED',
  retryable: false,
  message: () =>
    'The store does not accept the credentials of this server. The operator must correct AWS_ACCESS_KEY_ID, ' +
    'AWS_SECRET_ACCESS_KEY or the role, or the S3 endpoint.',
};
const credentialsExpired: Explanation = {
  code: 'CREDENTIALS_EXPIRED',
  retryable: true,
  message: () =>
    'The temporary credentials of this server have expired. Credentials of a role are renewed automatically; otherwise ' +
    'the operator must set new ones.',
};
const credentialsMissing: Explanation = {
  code: 'CREDENTIALS_MISSING',
  retryable: false,
  message: () =>
    'This server has no AWS credentials. The operator must set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ' +
    'AWS_PROFILE, or give the server a role; then run the job again.',
};
const credentialsUnavailable: Explanation = {
  code: 'CREDENTIALS_UNAVAILABLE',
  retryable: true,
  message: () =>
    'This server cannot obtain its AWS credentials at the moment. If this persists, the operator must check the role, the ' +
    'profile or the web identity that provides them.',
};
// The SDK reads the store's clock from the error response and signs with it from then on, so the next attempt succeeds.
const clockSkew: Explanation = {
  code: 'CLOCK_SKEW',
  retryable: true,
  message: () => 'The clock of this server differs from the clock of the store. The operator must correct it.',
};
const aclNotSupported: Explanation = {
  code: 'ACL_NOT_SUPPORTED',
  retryable: false,
  message: ({ bucket }) =>
    `The bucket ${bucket} does not accept the ACL bucket-owner-full-control, with which Sluice writes every object. Set ` +
    'its Object Ownership to "Bucket owner enforced" or "Bucket owner preferred".',
};
const notSupported: Explanation = {
  code: 'NOT_SUPPORTED',
  retryable: false,
  message: () =>
    'The store does not support a header that Sluice sends with every object (x-amz-acl, x-amz-checksum-sha256). ' +
    'Use a store that supports both.',
};
const kmsKey: Explanation = {
  code: 'KMS_KEY',
  retryable: false,
  message: ({ bucket }, { s3Code }) =>
    `The KMS key that encrypts the bucket ${bucket} cannot be used (${s3Code}). ` +
    'Enable the key, or set another one as the default encryption of the bucket.',
};
const objectTooLarge: Explanation = {
  code: 'OBJECT_TOO_LARGE',
  retryable: false,
  message: () => 'The store does not accept objects of this size. The operator must lower EXPORT_PART_BYTES.',
};
const keyTooLong: Explanation = {
  code: 'KEY_TOO_LONG',
  retryable: false,
  message: () =>
    'The store does not accept object keys of this length. Shorten the path in s3Url or the name of this job.',
};
const busy: Explanation = {
  code: 'S3_BUSY',
  retryable: true,
  message: ({ bucket }) => `The store throttled requests to the bucket ${bucket}.`,
};
const serverError: Explanation = {
  code: 'S3_ERROR',
  retryable: true,
  message: (_destination, { status }) => `The store failed with an internal error${inBrackets(status)}.`,
};
const timedOut: Explanation = {
  code: 'S3_TIMEOUT',
  retryable: true,
  message: () => 'The store did not accept the object within the time limit.',
};
const conflict: Explanation = {
  code: 'S3_CONFLICT',
  retryable: true,
  message: ({ bucket }) => `The write conflicted with another operation on the bucket ${bucket}.`,
};
const damaged: Explanation = {
  code: 'BODY_DAMAGED',
  retryable: true,
  message: () => 'The object was damaged during the upload: its length or its SHA-256 differed.',
};
const connectionLost: Explanation = {
  code: 'CONNECTION_LOST',
  retryable: true,
  message: () => 'The connection to the store failed or was lost.',
};
const hostNotFound: Explanation = {
  code: 'HOST_NOT_FOUND',
  retryable: true,
  message: () =>
    "The store's host name was not found. If this persists, the operator must correct AWS_REGION or the S3 endpoint.",
};
const tlsFailed: Explanation = {
  code: 'TLS_FAILED',
  retryable: false,
  message: () =>
    "The store's TLS certificate or protocol is not accepted. The operator must correct the S3 endpoint or its " +
    'certificate.',
};
const badEndpoint: Explanation = {
  code: 'BAD_ENDPOINT',
  retryable: false,
  message: () =>
    'The region and the S3 endpoint do not form a valid address. The operator must correct AWS_REGION or the endpoint.',
};
const notS3: Explanation = {
  code: 'NOT_S3',
  retryable: false,
  message: (_destination, { status }) =>
    `The S3 endpoint does not respond like an S3 store${inBrackets(status)}. The operator must correct the endpoint.`,
};
const refused: Explanation = {
  code: 'S3_REFUSED',
  retryable: false,
  message: ({ bucket }, { s3Code, status }) =>
    `The store rejected an object for the bucket ${bucket}: ${s3Code || 'no reason given'}${inBrackets(status)}.`,
};
// No response and an unknown cause: assumed to be transient, and retried.
const unexpected: Explanation = {
  code: 'S3_UNEXPECTED',
  retryable: true,
  message: () => 'The object could not be sent for an unknown reason. The operator can find the cause in the log.',
};

// docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; the rest from MinIO, Ceph and R2.
const BY_S3_CODE = new Map<string, Explanation>([
  ['AccessDenied', accessDenied],
  ['AllAccessDisabled', accessDenied],
  ['AccountProblem', accessDenied],
  ['NoSuchBucket', noSuchBucket],
  ['InvalidBucketName', badBucket],
  ['PermanentRedirect', wrongRegion],
  ['AuthorizationHeaderMalformed', wrongRegion],
  ['IllegalLocationConstraintException', wrongRegion],
  ['TemporaryRedirect', redirected],
  ['InvalidAccessKeyId', credentialsRefused],
  ['SignatureDoesNotMatch', credentialsRefused],
  ['InvalidToken', credentialsRefused],
  ['InvalidSecurity', credentialsRefused],
  ['NotSignedUp', credentialsRefused],
  ['ExpiredToken', credentialsExpired],
  ['TokenRefreshRequired', credentialsExpired],
  ['CredentialsMissing', credentialsMissing],
  ['CredentialsProviderError', credentialsUnavailable],
  ['RequestTimeTooSkewed', clockSkew],
  ['RequestExpired', clockSkew],
  ['AccessControlListNotSupported', aclNotSupported],
  ['NotImplemented', notSupported],
  ['EntityTooLarge', objectTooLarge],
  ['MaxMessageLengthExceeded', objectTooLarge],
  ['KeyTooLongError', keyTooLong],
  ['KeyTooLong', keyTooLong],
  ['SlowDown', busy],
  ['SlowDownRead', busy],
  ['SlowDownWrite', busy],
  ['ServiceUnavailable', busy],
  ['Throttling', busy],
  ['ThrottlingException', busy],
  ['KMS.ThrottlingException', busy],
  ['RequestLimitExceeded', busy],
  ['BandwidthLimitExceeded', busy],
  ['TooManyRequests', busy],
  ['InternalError', serverError],
  ['RequestTimeout', timedOut],
  ['OperationAborted', conflict],
  ['ConditionalRequestConflict', conflict],
  ['BadDigest', damaged],
  ['InvalidDigest', damaged],
  ['IncompleteBody', damaged],
  ['XAmzContentSHA256Mismatch', damaged],
  ['XAmzContentChecksumMismatch', damaged],
  ['EndpointError', badEndpoint],
  ['NotS3', notS3],
]);

const CONNECTION_CODES =
  'ECONNRESET ECONNREFUSED ECONNABORTED EPIPE ENOTCONN ERR_SOCKET_CLOSED ERR_STREAM_PREMATURE_CLOSE ' +
  'EHOSTUNREACH EHOSTDOWN ENETUNREACH ENETDOWN ENETRESET EADDRNOTAVAIL ENOBUFS EMFILE ENFILE';

const BY_SYSTEM_CODE = new Map<string, Explanation>([
  ['ETIMEDOUT', timedOut],
  ['ENOTFOUND', hostNotFound],
  ['EAI_AGAIN', hostNotFound],
  ['EAI_FAIL', hostNotFound],
  ['EPROTO', tlsFailed],
  ...CONNECTION_CODES.split(' ').map((code) => [code, connectionLost] as const),
]);

/** Returns all explanations with their messages: the source of docs/reference/errors.md (npm run docs). */
export function s3Explanations(destination: S3Destination, failure: S3Failure): RunFailure[] {
  return [
    accessDenied,
    noSuchBucket,
    badBucket,
    wrongRegion,
    redirected,
    credentialsRefused,
    credentialsExpired,
    credentialsMissing,
    credentialsUnavailable,
    clockSkew,
    aclNotSupported,
    notSupported,
    kmsKey,
    objectTooLarge,
    keyTooLong,
    busy,
    serverError,
    timedOut,
    conflict,
    damaged,
    connectionLost,
    hostNotFound,
    tlsFailed,
    badEndpoint,
    notS3,
    refused,
    unexpected,
  ].map(({ code, message, retryable }) => ({ code, message: message(destination, failure), retryable }));
}

/**
 * Converts a failure to the error that put() throws. Unknown S3 codes are classified by HTTP status: 408, 429 and 5xx are retryable
 * except 501 (the store lacks a feature); all others are not. Without a response, unknown causes are retryable.
 */
export function explainS3Failure(
  failure: S3Failure,
  destination: S3Destination,
  options?: ErrorOptions,
): ObjectStoreError {
  const explanation = explain(failure);
  return new ObjectStoreError(
    explanation.code,
    explanation.message(destination, failure),
    explanation.retryable,
    options,
  );
}

function explain({ s3Code, status, systemCode }: S3Failure): Explanation {
  // Checked before the name, because the SDK also names a reset connection TimeoutError.
  const bySystemCode = systemCode === undefined ? undefined : explainSystemCode(systemCode);
  if (status === undefined && bySystemCode !== undefined) return bySystemCode;
  const byS3Code = BY_S3_CODE.get(s3Code);
  if (byS3Code !== undefined) return byS3Code;
  if (s3Code.startsWith('KMS.')) return kmsKey;
  if (status !== undefined) return explainStatus(status, s3Code);
  return s3Code === 'TimeoutError' ? timedOut : unexpected;
}

function explainSystemCode(code: string): Explanation | undefined {
  const known = BY_SYSTEM_CODE.get(code);
  if (known !== undefined) return known;
  // CERT_HAS_EXPIRED, ERR_TLS_CERT_ALTNAME_INVALID, SELF_SIGNED_CERT_IN_CHAIN, UNABLE_TO_VERIFY_LEAF_SIGNATURE ...
  if (/CERT|^ERR_TLS_|^ERR_SSL_|^UNABLE_TO_VERIFY_/.test(code)) return tlsFailed;
  // The response is not HTTP: HPE_INVALID_CONSTANT, HPE_INVALID_HEADER_TOKEN.
  return code.startsWith('HPE_') ? notS3 : undefined;
}

function explainStatus(status: number, s3Code: string): Explanation {
  if (status === 408) return timedOut;
  if (status === 429 || status === 503) return busy;
  if (status === 501) return notSupported;
  if (status === 413) return objectTooLarge;
  // A 403 with an unknown code has another cause, such as Ceph's QuotaExceeded.
  if (status === 403 && s3Code === '') return accessDenied;
  if (status === 301 || status === 308) return wrongRegion;
  if (status === 302 || status === 307) return redirected;
  if (status >= 500) return serverError;
  return status >= 400 ? refused : notS3;
}

const inBrackets = (status: number | undefined): string => (status === undefined ? '' : ` (HTTP ${status})`);
