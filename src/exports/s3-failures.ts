// Pure: whose fault a failed PutObject is, and what the owner of the job or the operator should change.
import type { RunFailure } from '../db/json-columns.ts';
import { ObjectStoreError } from './object-store.ts';

/** What is known of a failure. Nothing of it but `s3Code`, `status` and `bucketRegion` ever reaches a message. */
export interface S3Failure {
  /** The code of S3's error document or the name of the SDK's error, one word; empty where there was none. */
  readonly s3Code: string;
  /** HTTP status; undefined where no answer came. */
  readonly status: number | undefined;
  /** Node's code of a failed connection: ECONNRESET, ENOTFOUND, CERT_HAS_EXPIRED. */
  readonly systemCode: string | undefined;
  /** From x-amz-bucket-region or the error document: where S3 says the bucket is. */
  readonly bucketRegion: string | undefined;
}

/** The place that was written to. */
export interface S3Place {
  readonly bucket: string;
  /** Of which AWS account the job says that it is. */
  readonly bucketOwner: string | null;
  readonly region: string;
}

interface Explanation {
  readonly code: string;
  readonly retryable: boolean;
  readonly message: (place: S3Place, failure: S3Failure) => string;
}

const accessDenied: Explanation = {
  code: 'ACCESS_DENIED',
  retryable: false,
  message: ({ bucket, bucketOwner }) =>
    `The bucket ${bucket} does not let Sluice write${bucketOwner === null ? '' : `, or is not of the AWS account ${bucketOwner}, which bucketOwner of this job names`}. Attach the bucket policy that the query bucketPolicy gives for ` +
    'the s3Url of this job, and look for a statement that denies. Where the bucket encrypts with a KMS key of its ' +
    'own, that key has to allow kms:GenerateDataKey to the same principal.',
};
const noSuchBucket: Explanation = {
  code: 'NO_SUCH_BUCKET',
  retryable: false,
  message: ({ bucket }) => `There is no bucket ${bucket}. Create it, or correct the s3Url of this job.`,
};
const badBucket: Explanation = {
  code: 'BAD_BUCKET',
  retryable: false,
  message: ({ bucket }) => `The store does not take ${bucket} as a name of a bucket. Correct the s3Url of this job.`,
};
const wrongRegion: Explanation = {
  code: 'WRONG_REGION',
  retryable: false,
  message: ({ bucket, region }, { bucketRegion }) =>
    bucketRegion === undefined || bucketRegion === region
      ? `The bucket ${bucket} is not in the region ${region}, where this server writes. ` +
        `Use a bucket in ${region}, or have the operator set AWS_REGION (and the S3 endpoint) to the bucket's region.`
      : `The bucket ${bucket} is in the region ${bucketRegion}, but this server writes to ${region}. ` +
        `Use a bucket in ${region}, or have the operator set AWS_REGION=${bucketRegion}.`,
};
const redirected: Explanation = {
  code: 'REDIRECTED',
  retryable: true,
  message: ({ bucket }) =>
    `S3 still redirects requests for the bucket ${bucket}, as it does for some hours after a bucket was created.`,
};
const credentialsRefused: Explanation = {
  code: 'CREDENTIALS_REFUSED',
  retryable: false,
  message: () =>
    'The store does not accept the credentials of this server. The operator has to correct AWS_ACCESS_KEY_ID, ' +
    'AWS_SECRET_ACCESS_KEY or the role, and the S3 endpoint.',
};
const credentialsExpired: Explanation = {
  code: 'CREDENTIALS_EXPIRED',
  retryable: true,
  message: () =>
    'The temporary credentials of this server have expired. They are renewed by themselves where a role gives them; ' +
    'otherwise the operator has to set new ones.',
};
const credentialsMissing: Explanation = {
  code: 'CREDENTIALS_MISSING',
  retryable: false,
  message: () =>
    'This server has no AWS credentials. The operator has to set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ' +
    'AWS_PROFILE, or give the server a role. Then run the job again.',
};
const credentialsUnavailable: Explanation = {
  code: 'CREDENTIALS_UNAVAILABLE',
  retryable: true,
  message: () =>
    'This server cannot obtain its AWS credentials at present. If this lasts, the operator has to check the role, the ' +
    'profile or the web identity that they come from.',
};
// The SDK reads the store's clock from the refusal and signs by it from then on, so the next attempt passes.
const clockSkew: Explanation = {
  code: 'CLOCK_SKEW',
  retryable: true,
  message: () => 'The clock of this server differs from the clock of the store. The operator has to correct it.',
};
const aclNotSupported: Explanation = {
  code: 'ACL_NOT_SUPPORTED',
  retryable: false,
  message: ({ bucket }) =>
    `The bucket ${bucket} refuses the ACL bucket-owner-full-control, which every object of Sluice carries. Set its ` +
    'Object Ownership to "Bucket owner enforced" or "Bucket owner preferred"; both take this ACL.',
};
const notSupported: Explanation = {
  code: 'NOT_SUPPORTED',
  retryable: false,
  message: () =>
    'The store does not know a header that Sluice sends with every object (x-amz-acl, x-amz-checksum-sha256). ' +
    'Use a store that supports them.',
};
const kmsKey: Explanation = {
  code: 'KMS_KEY',
  retryable: false,
  message: ({ bucket }, { s3Code }) =>
    `The KMS key that encrypts the bucket ${bucket} cannot be used (${s3Code}). ` +
    'Enable the key, or set another one in the default encryption of the bucket.',
};
const objectTooLarge: Explanation = {
  code: 'OBJECT_TOO_LARGE',
  retryable: false,
  message: () => 'The store does not take objects of this size. The operator has to lower the size of a part.',
};
const keyTooLong: Explanation = {
  code: 'KEY_TOO_LONG',
  retryable: false,
  message: () => 'The store does not take object keys of this length. Make the path in s3Url or the name shorter.',
};
const busy: Explanation = {
  code: 'S3_BUSY',
  retryable: true,
  message: ({ bucket }) => `The store asked to slow down while the bucket ${bucket} was written to.`,
};
const serverError: Explanation = {
  code: 'S3_ERROR',
  retryable: true,
  message: (_place, { status }) => `The store failed with an error of its own${inBrackets(status)}.`,
};
const timedOut: Explanation = {
  code: 'S3_TIMEOUT',
  retryable: true,
  message: () => 'The store did not take the object within the time limit.',
};
const conflict: Explanation = {
  code: 'S3_CONFLICT',
  retryable: true,
  message: ({ bucket }) => `Another operation on the bucket ${bucket} stood in the way.`,
};
const damaged: Explanation = {
  code: 'BODY_DAMAGED',
  retryable: true,
  message: () => 'The object did not arrive as it was sent: its length or its SHA-256 differed.',
};
const connectionLost: Explanation = {
  code: 'CONNECTION_LOST',
  retryable: true,
  message: () => 'The connection to the store could not be made or was lost.',
};
const hostNotFound: Explanation = {
  code: 'HOST_NOT_FOUND',
  retryable: true,
  message: () =>
    "The store's host name was not found. If this lasts, the operator has to correct AWS_REGION or the S3 endpoint.",
};
const tlsFailed: Explanation = {
  code: 'TLS_FAILED',
  retryable: false,
  message: () =>
    "The store's TLS certificate or protocol is not accepted. The operator has to correct the S3 endpoint or its " +
    'certificate.',
};
const badEndpoint: Explanation = {
  code: 'BAD_ENDPOINT',
  retryable: false,
  message: () =>
    'No address follows from the region and the S3 endpoint. The operator has to correct AWS_REGION or it.',
};
const notS3: Explanation = {
  code: 'NOT_S3',
  retryable: false,
  message: (_place, { status }) =>
    `What answered at the S3 endpoint is not an S3 store${inBrackets(status)}. The operator has to correct the endpoint.`,
};
const refused: Explanation = {
  code: 'S3_REFUSED',
  retryable: false,
  message: ({ bucket }, { s3Code, status }) =>
    `The store refused an object for the bucket ${bucket}: ${s3Code || 'no reason given'}${inBrackets(status)}.`,
};
// No answer came, and nobody knows why: what may pass is tried again.
const unexpected: Explanation = {
  code: 'S3_UNEXPECTED',
  retryable: true,
  message: () => 'The object could not be sent, for a reason that Sluice does not know. The log has the cause.',
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

/** All of them, with what each says of a place: docs/reference/errors.md is made of it (npm run docs). */
export const s3Explanations = (place: S3Place, failure: S3Failure): RunFailure[] =>
  [
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
  ].map(({ code, message, retryable }) => ({ code, message: message(place, failure), retryable }));

/**
 * The error that a put ends with. Unknown answers go by their status: 408, 429 and 5xx may pass, others will not
 * (501 neither: the store lacks a feature). Where no answer came, whatever is not known for good may pass.
 */
export function explainS3Failure(failure: S3Failure, place: S3Place, options?: ErrorOptions): ObjectStoreError {
  const explanation = explain(failure);
  return new ObjectStoreError(explanation.code, explanation.message(place, failure), explanation.retryable, options);
}

function explain({ s3Code, status, systemCode }: S3Failure): Explanation {
  // Before the name: the SDK names a reset connection TimeoutError too.
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
  // An answer that is not HTTP: HPE_INVALID_CONSTANT, HPE_INVALID_HEADER_TOKEN.
  return code.startsWith('HPE_') ? notS3 : undefined;
}

function explainStatus(status: number, s3Code: string): Explanation {
  if (status === 408) return timedOut;
  if (status === 429 || status === 503) return busy;
  if (status === 501) return notSupported;
  if (status === 413) return objectTooLarge;
  // With a code of its own it is something else, such as Ceph's QuotaExceeded.
  if (status === 403 && s3Code === '') return accessDenied;
  if (status === 301 || status === 308) return wrongRegion;
  if (status === 302 || status === 307) return redirected;
  if (status >= 500) return serverError;
  return status >= 400 ? refused : notS3;
}

function inBrackets(status: number | undefined): string {
  return status === undefined ? '' : ` (HTTP ${status})`;
}
