// Pure: what each kind of failed PutObject means: code, whether to retry, and what the owner of the job or the operator must change.
import type { RunFailure } from '../db/json-columns.ts';
import type { Encryption } from './object-store.ts';

/** Cause that the store's text names. The text itself is never copied into a message. */
export type RefusalCause =
  | 'ACL'
  | 'CHECKSUM'
  | 'ENCRYPTION'
  | 'BUCKET_OWNER'
  | 'KMS'
  | 'REQUESTER_PAYS'
  | 'EXPLICIT_DENY';

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
  readonly cause?: RefusalCause | undefined;
}

/** The S3 bucket that the object was written to, for messages. */
export interface S3Destination {
  readonly bucket: string;
  /** AWS account of the bucket according to the job. */
  readonly bucketOwner: string | null;
  /** Region that the request was sent to. */
  readonly region: string;
  readonly encryption?: Encryption | null | undefined;
  /** Whether the header x-amz-acl was sent. Defaults to true. */
  readonly sendsAcl?: boolean;
  /** Whether the header x-amz-checksum-sha256 was sent. Defaults to true. */
  readonly sendsChecksum?: boolean;
}

export interface Explanation {
  readonly code: string;
  readonly retryable: boolean;
  readonly message: (destination: S3Destination, failure: S3Failure) => string;
}

export const accessDenied: Explanation = {
  code: 'ACCESS_DENIED',
  retryable: false,
  message: ({ bucket, bucketOwner, encryption, sendsAcl = true }, { cause }) => {
    const owner =
      bucketOwner === null
        ? ''
        : `, or the bucket does not belong to AWS account ${bucketOwner} (bucketOwner of this job)`;
    const denied =
      cause === 'EXPLICIT_DENY'
        ? `A policy explicitly denies s3:PutObject to the bucket ${bucket}`
        : `Sluice is not allowed to write to the bucket ${bucket}`;
    const current = encryption ?? 'not set';
    return (
      `${denied}${owner}. Attach the bucket policy that the query bucketPolicy returns for the s3Url of this job, and check ` +
      'for a statement that denies s3:PutObject: if it requires another server-side encryption, set encryption of this ' +
      `job (now ${current})${sendsAcl ? '' : '; if it requires the header x-amz-acl, the operator must remove S3_ACL=none'}. ` +
      'If the bucket is encrypted with a KMS key, the key must allow kms:GenerateDataKey to the same principal. ' +
      'Sluice cannot write to a bucket that makes the requester pay.'
    );
  },
};
export const kmsDenied: Explanation = {
  code: 'ACCESS_DENIED',
  retryable: false,
  message: ({ bucket }) =>
    `Sluice is not allowed to use the KMS key that encrypts the objects of the bucket ${bucket}. Allow kms:GenerateDataKey ` +
    'to the principal of the bucket policy, in the policy of the key and, for a principal of another AWS account, in its ' +
    'own policy.',
};
export const requesterPays: Explanation = {
  code: 'REQUESTER_PAYS',
  retryable: false,
  message: ({ bucket }) =>
    `The bucket ${bucket} makes the requester pay, which Sluice does not support. Turn Requester Pays off, or use another bucket.`,
};
export const noSuchBucket: Explanation = {
  code: 'NO_SUCH_BUCKET',
  retryable: false,
  message: ({ bucket }) => `The bucket ${bucket} does not exist. Create it, or correct the s3Url of this job.`,
};
export const badBucket: Explanation = {
  code: 'BAD_BUCKET',
  retryable: false,
  message: ({ bucket }) => `The store does not accept the bucket name ${bucket}. Correct the s3Url of this job.`,
};
export const wrongRegion: Explanation = {
  code: 'WRONG_REGION',
  retryable: false,
  message: ({ bucket, region }, { bucketRegion }) =>
    bucketRegion === undefined || bucketRegion === region
      ? `The bucket ${bucket} is not in the region ${region}. Set the field region of this job to the region of the bucket, ` +
        'or ask the operator to set AWS_REGION (and the S3 endpoint) to it.'
      : `The bucket ${bucket} is in the region ${bucketRegion}, but this job writes to ${region}. ` +
        `Set the field region of this job to ${bucketRegion}, or ask the operator to set AWS_REGION=${bucketRegion}.`,
};
export const redirected: Explanation = {
  code: 'REDIRECTED',
  retryable: true,
  message: ({ bucket }) =>
    `S3 still redirects requests for the bucket ${bucket}. This can last some hours after a bucket was created.`,
};
export const credentialsRefused: Explanation = {
  code: 'CREDENTIALS_REFUSED',
  retryable: false,
  message: () =>
    'The store does not accept the credentials of this server. The operator must correct AWS_ACCESS_KEY_ID, ' +
    'AWS_SECRET_ACCESS_KEY or the role, or the S3 endpoint.',
};
export const credentialsExpired: Explanation = {
  code: 'CREDENTIALS_EXPIRED',
  retryable: true,
  message: () =>
    'The temporary credentials of this server have expired. Credentials of a role are renewed automatically; otherwise ' +
    'the operator must set new ones.',
};
export const credentialsMissing: Explanation = {
  code: 'CREDENTIALS_MISSING',
  retryable: false,
  message: () =>
    'This server has no AWS credentials. The operator must set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ' +
    'AWS_PROFILE, or give the server a role; then run the job again. A profile or token file that is configured must exist.',
};
export const credentialsUnavailable: Explanation = {
  code: 'CREDENTIALS_UNAVAILABLE',
  retryable: true,
  message: () =>
    'This server cannot obtain its AWS credentials at the moment. If this persists, the operator must check the role, the ' +
    'profile or the web identity that provides them.',
};
// The SDK reads the store's clock from the error response and signs with it from then on, so the next attempt succeeds.
export const clockSkew: Explanation = {
  code: 'CLOCK_SKEW',
  retryable: true,
  message: () => 'The clock of this server differs from the clock of the store. The operator must correct it.',
};
export const aclNotSupported: Explanation = {
  code: 'ACL_NOT_SUPPORTED',
  retryable: false,
  message: ({ bucket }) =>
    `The bucket ${bucket} does not accept the header x-amz-acl: bucket-owner-full-control, which Sluice sends with every ` +
    'object. Set its Object Ownership to "Bucket owner enforced" or "Bucket owner preferred", or ask the operator to set ' +
    'S3_ACL=none.',
};
/** The headers that stores may refuse, and what to change. */
const ACL_HEADER = 'x-amz-acl (the operator can set S3_ACL=none)';
const CHECKSUM_HEADER = 'x-amz-checksum-sha256 (the operator can set S3_CHECKSUM=none)';
const ENCRYPTION_HEADER = 'x-amz-server-side-encryption (remove or change encryption of this job)';
const OWNER_HEADER = 'x-amz-expected-bucket-owner (remove bucketOwner of this job)';

/** Names the header that the store refused, or all headers that were sent and that not all stores support. */
function listRefusedHeaders(
  { sendsAcl = true, sendsChecksum = true, encryption = null, bucketOwner }: S3Destination,
  { cause }: S3Failure,
): string {
  if (cause === 'ACL') return ACL_HEADER;
  if (cause === 'CHECKSUM') return CHECKSUM_HEADER;
  if (cause === 'ENCRYPTION') return ENCRYPTION_HEADER;
  if (cause === 'BUCKET_OWNER') return OWNER_HEADER;
  const sent = [
    ...(sendsAcl ? [ACL_HEADER] : []),
    ...(sendsChecksum ? [CHECKSUM_HEADER] : []),
    ...(encryption === null ? [] : [ENCRYPTION_HEADER]),
    ...(bucketOwner === null ? [] : [OWNER_HEADER]),
  ];
  return sent.join(' or ');
}

export const notSupported: Explanation = {
  code: 'NOT_SUPPORTED',
  retryable: false,
  message: (destination, failure) => {
    const headers = listRefusedHeaders(destination, failure);
    return headers === ''
      ? `The store does not support PutObject as Sluice sends it${inBrackets(failure.status)}. Use another store.`
      : `The store does not support a header that Sluice sends with every object: ${headers}.`;
  },
};
export const checksumRequired: Explanation = {
  code: 'CHECKSUM_REQUIRED',
  retryable: false,
  message: ({ bucket }) =>
    `The bucket ${bucket} requires a checksum, as buckets with Object Lock do. The operator must remove S3_CHECKSUM=none.`,
};
export const encryptionRequired: Explanation = {
  code: 'ENCRYPTION_REQUIRED',
  retryable: false,
  message: ({ bucket }) =>
    `The bucket ${bucket} requires the header x-amz-server-side-encryption. Set encryption of this job to AES256 or KMS.`,
};
export const kmsKey: Explanation = {
  code: 'KMS_KEY',
  retryable: false,
  message: ({ bucket }, { s3Code }) =>
    `The KMS key that encrypts the bucket ${bucket} cannot be used (${s3Code}). ` +
    'Enable the key, or set another one: kmsKeyId of this job, or the default encryption of the bucket.',
};
export const objectTooLarge: Explanation = {
  code: 'OBJECT_TOO_LARGE',
  retryable: false,
  message: () => 'The store does not accept objects of this size. The operator must lower EXPORT_PART_BYTES.',
};
export const keyTooLong: Explanation = {
  code: 'KEY_TOO_LONG',
  retryable: false,
  message: () =>
    'The store does not accept object keys of this length. Shorten the path in s3Url or the name of this job.',
};
export const busy: Explanation = {
  code: 'S3_BUSY',
  retryable: true,
  message: ({ bucket }) => `The store throttled requests to the bucket ${bucket}.`,
};
export const serverError: Explanation = {
  code: 'S3_ERROR',
  retryable: true,
  message: (_destination, { status }) => `The store failed with an internal error${inBrackets(status)}.`,
};
export const timedOut: Explanation = {
  code: 'S3_TIMEOUT',
  retryable: true,
  message: () => 'The store did not accept the object within the time limit.',
};
export const conflict: Explanation = {
  code: 'S3_CONFLICT',
  retryable: true,
  message: ({ bucket }) => `The write conflicted with another operation on the bucket ${bucket}.`,
};
export const damaged: Explanation = {
  code: 'BODY_DAMAGED',
  retryable: true,
  message: () => 'The object was damaged during the upload: its length or its SHA-256 differed.',
};
export const connectionLost: Explanation = {
  code: 'CONNECTION_LOST',
  retryable: true,
  message: () => 'The connection to the store failed or was lost.',
};
export const hostNotFound: Explanation = {
  code: 'HOST_NOT_FOUND',
  retryable: true,
  message: () =>
    "The store's host name was not found. If this persists, correct the region of this job, AWS_REGION or the S3 endpoint.",
};
export const tlsFailed: Explanation = {
  code: 'TLS_FAILED',
  retryable: false,
  message: () =>
    "The store's TLS certificate or protocol is not accepted. The operator must correct the S3 endpoint or its " +
    'certificate.',
};
export const badEndpoint: Explanation = {
  code: 'BAD_ENDPOINT',
  retryable: false,
  message: () =>
    'The region and the S3 endpoint do not form a valid address. Correct the region of this job, AWS_REGION or the endpoint.',
};
export const notS3: Explanation = {
  code: 'NOT_S3',
  retryable: false,
  message: (_destination, { status }) =>
    `The S3 endpoint does not respond like an S3 store${inBrackets(status)}. The operator must correct the endpoint.`,
};
export const refused: Explanation = {
  code: 'S3_REFUSED',
  retryable: false,
  message: (destination, failure) => {
    const { s3Code, status } = failure;
    const headers = status === 400 ? listRefusedHeaders(destination, failure) : '';
    return (
      `The store rejected an object for the bucket ${destination.bucket}: ${s3Code || 'no reason given'}${inBrackets(status)}.` +
      (headers === '' ? '' : ` It may not support a header that Sluice sends: ${headers}.`)
    );
  },
};
// No response and an unknown cause: assumed to be transient, and retried.
export const unexpected: Explanation = {
  code: 'S3_UNEXPECTED',
  retryable: true,
  message: () => 'The object could not be sent for an unknown reason. The operator can find the cause in the log.',
};

const inBrackets = (status: number | undefined): string => (status === undefined ? '' : ` (HTTP ${status})`);

/** Returns all explanations with their messages: the source of docs/reference/errors.md (npm run docs). */
export function s3Explanations(destination: S3Destination, failure: S3Failure): RunFailure[] {
  return [
    accessDenied,
    kmsDenied,
    requesterPays,
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
    checksumRequired,
    encryptionRequired,
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
