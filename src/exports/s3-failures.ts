// Pure: which explanation belongs to a failed PutObject, by S3's code, the HTTP status or the error of the connection.
import { ObjectStoreError } from './object-store.ts';
import {
  accessDenied,
  aclNotSupported,
  badBucket,
  badEndpoint,
  busy,
  checksumRequired,
  clockSkew,
  conflict,
  connectionLost,
  credentialsExpired,
  credentialsMissing,
  credentialsRefused,
  credentialsUnavailable,
  damaged,
  encryptionRequired,
  hostNotFound,
  keyTooLong,
  kmsDenied,
  kmsKey,
  noSuchBucket,
  notS3,
  notSupported,
  objectTooLarge,
  redirected,
  refused,
  requesterPays,
  serverError,
  timedOut,
  tlsFailed,
  unexpected,
  wrongRegion,
  type Explanation,
  type RefusalCause,
  type S3Destination,
  type S3Failure,
} from './s3-explanations.ts';

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
  ['UserProjectMissing', requesterPays],
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

/**
 * Converts a failure to the error that put() throws. Unknown S3 codes are classified by HTTP status: 408, 429 and 5xx are retryable
 * except 501 (the store lacks a feature); all others are not. Without a response, unknown causes are retryable.
 */
export function explainS3Failure(
  failure: S3Failure,
  destination: S3Destination,
  options?: ErrorOptions,
): ObjectStoreError {
  const explanation = explain(failure, destination);
  return new ObjectStoreError(
    explanation.code,
    explanation.message(destination, failure),
    explanation.retryable,
    options,
  );
}

function explain({ s3Code, status, systemCode, cause }: S3Failure, destination: S3Destination): Explanation {
  // Checked before the name, because the SDK also names a reset connection TimeoutError.
  const bySystemCode = systemCode === undefined ? undefined : explainSystemCode(systemCode);
  if (status === undefined && bySystemCode !== undefined) return bySystemCode;
  const byS3Code = BY_S3_CODE.get(s3Code);
  if (byS3Code === accessDenied) return explainDenial(cause);
  if (byS3Code !== undefined) return byS3Code;
  if (s3Code.startsWith('KMS.')) return kmsKey;
  if (status === 400 || status === 501) return explainRefusal(status, cause, destination);
  if (status !== undefined) return explainStatus(status, s3Code);
  return s3Code === 'TimeoutError' ? timedOut : unexpected;
}

function explainDenial(cause: RefusalCause | undefined): Explanation {
  if (cause === 'KMS') return kmsDenied;
  return cause === 'REQUESTER_PAYS' ? requesterPays : accessDenied;
}

/** Backblaze B2 refuses a header with 400 InvalidArgument, Cloudflare R2 with 501 NotImplemented, AWS with 400 InvalidRequest. */
function explainRefusal(
  status: 400 | 501,
  cause: RefusalCause | undefined,
  { bucketOwner, encryption = null, sendsAcl = true, sendsChecksum = true }: S3Destination,
): Explanation {
  if (cause === 'REQUESTER_PAYS') return requesterPays;
  if (cause === 'CHECKSUM' && !sendsChecksum) return checksumRequired;
  if (cause === 'ENCRYPTION' && encryption === null) return encryptionRequired;
  const isOfSentHeader =
    (cause === 'ACL' && sendsAcl) ||
    cause === 'CHECKSUM' ||
    cause === 'ENCRYPTION' ||
    (cause === 'BUCKET_OWNER' && bucketOwner !== null);
  return isOfSentHeader || status === 501 ? notSupported : refused;
}

const CAUSES: readonly (readonly [pattern: RegExp, cause: RefusalCause])[] = [
  [/requester[ -]?pays/i, 'REQUESTER_PAYS'],
  [/\bkms:[a-z]/i, 'KMS'],
  [/server[ -]?side[ -]?encryption|\bsse\b/i, 'ENCRYPTION'],
  [/expected[ -]?bucket[ -]?owner/i, 'BUCKET_OWNER'],
  [/\bacls?\b/i, 'ACL'],
  [/checksum/i, 'CHECKSUM'],
  [/explicit deny/i, 'EXPLICIT_DENY'],
];
/** Longer than any message of a store that was seen; the rest of a longer one is not read. */
const MAX_READ_TEXT = 4096;

/** Finds what a store's text is about, such as "Unsupported value for canned acl" or "with an explicit deny". */
export function findRefusalCause(text: string): RefusalCause | undefined {
  // Without ARNs, because the name of a bucket or a key can contain any of these words.
  const start = text.slice(0, MAX_READ_TEXT).replace(/arn:\S+/g, '');
  return CAUSES.find(([pattern]) => pattern.test(start))?.[1];
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
  if (status === 413) return objectTooLarge;
  // A 403 with an unknown code has another cause, such as Ceph's QuotaExceeded.
  if (status === 403 && s3Code === '') return accessDenied;
  if (status === 301 || status === 308) return wrongRegion;
  if (status === 302 || status === 307) return redirected;
  if (status >= 500) return serverError;
  return status >= 400 ? refused : notS3;
}
