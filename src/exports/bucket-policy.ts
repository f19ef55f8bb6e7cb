// Pure: the bucket policy that lets the service write, and do nothing else, below one path of a bucket.

export interface BucketPolicyInput {
  readonly bucket: string;
  /** Without slashes at either end; empty for the whole bucket. */
  readonly path: string;
  /** The ARN of the service's IAM user or role. */
  readonly principalArn: string;
}

/** Stands where the operator has not set PRINCIPAL_ARN; AWS refuses it, so nobody grants anything to a stranger by mistake. */
export const UNKNOWN_PRINCIPAL = 'arn:aws:iam::000000000000:role/set-PRINCIPAL_ARN-of-the-server';

/** The longest that IAM knows: a path of 512 characters and a name of 64. */
const MAX_ARN = 1000;

/**
 * True for an ARN such as `arn:aws:iam::123456789012:role/sluice`, in any partition. S3-compatible stores have no account in
 * it (`arn:aws:iam:::user/sluice`), one of 20 digits, or the name of a tenant.
 */
export function isPrincipalArn(value: string): boolean {
  return (
    value.length <= MAX_ARN &&
    /^arn:aws[a-z-]*:(?:iam|sts)::(?:|\d{12}|\d{20}|[A-Za-z][\w-]*):[\w+=,.@/-]+$/.test(value)
  );
}

/**
 * JSON text of the policy that the owner of the bucket attaches. Every object is written with the ACL
 * bucket-owner-full-control; the condition makes it impossible that the service keeps objects to itself.
 * Errors: TypeError where principalArn is no ARN of a principal.
 */
export function bucketPolicy(input: BucketPolicyInput): string {
  if (!isPrincipalArn(input.principalArn)) {
    throw new TypeError('principalArn is not the ARN of an IAM user or role.');
  }
  // aws, aws-cn, aws-us-gov: a bucket is reached from principals of its own partition only.
  const partition = input.principalArn.split(':')[1];
  const below = input.path === '' ? '' : `${escapeResource(input.path)}/`;
  const policy = {
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'SluiceWritesExports',
        Effect: 'Allow',
        Principal: { AWS: input.principalArn },
        Action: 's3:PutObject',
        Resource: `arn:${partition}:s3:::${input.bucket}/${below}*`,
        Condition: { StringEquals: { 's3:x-amz-acl': 'bucket-owner-full-control' } },
      },
    ],
  };
  return JSON.stringify(policy, null, 2).replace(/[^\x20-\x7e\n]/g, jsonEscape);
}

/** In a Resource `*` and `?` are wildcards and `${` begins a variable; `${*}`, `${?}` and `${$}` stand for themselves. */
function escapeResource(path: string): string {
  return path.replace(/[*?$]/g, (character) => `\${${character}}`);
}

/** Policies are pasted through consoles and shells: only ASCII leaves, the JSON means the same. */
function jsonEscape(codeUnit: string): string {
  return `\\u${codeUnit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
