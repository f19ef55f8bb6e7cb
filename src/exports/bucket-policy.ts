// Pure: the bucket policy that allows a principal to write below one path of an S3 bucket, and nothing else.
import { replacePlaceholders } from '../jobs/placeholders.ts';
import type { Encryption } from './object-store.ts';

/** As whom a server writes objects, and with which ACL. */
export interface BucketWriter {
  /** The ARN of the service's IAM user or role. */
  readonly principalArn: string;
  /** Whether objects are written with the ACL bucket-owner-full-control (S3_ACL), which the policy then requires. Defaults to true. */
  readonly sendsAcl?: boolean;
}

export interface BucketPolicyInput extends BucketWriter {
  readonly bucket: string;
  /** Without slashes at either end; empty for the whole bucket. Each placeholder becomes a wildcard. */
  readonly path: string;
  /** Encryption of the objects. The policy mentions the permission that KMS requires. */
  readonly encryption?: Encryption | null | undefined;
}

/** Used if PRINCIPAL_ARN is not set. AWS rejects a policy with it, so no access is granted to another AWS account by mistake. */
export const UNKNOWN_PRINCIPAL = 'arn:aws:iam::000000000000:role/set-PRINCIPAL_ARN-of-the-server';

/** Longer than any ARN of IAM, whose path has up to 512 characters and whose name has up to 64. */
const MAX_ARN = 1000;

/**
 * Returns whether a text is the ARN of a principal, such as `arn:aws:iam::123456789012:role/sluice`, in any partition.
 * S3-compatible stores leave the account empty (`arn:aws:iam:::user/sluice`), or use 20 digits or the name of a tenant.
 */
export function isPrincipalArn(value: string): boolean {
  return (
    value.length <= MAX_ARN &&
    /^arn:aws[a-z-]*:(?:iam|sts)::(?:|\d{12}|\d{20}|[A-Za-z][\w-]*):[\w+=,.@/-]+$/.test(value)
  );
}

/** A bucket policy cannot allow actions of KMS, so its Id, which AWS does not evaluate, says what else is needed. */
const KMS_NOTE = 'Sluice. Also allow kms:GenerateDataKey to this principal in the policy of the KMS key';

/**
 * Returns the JSON text of the policy that the owner of the S3 bucket attaches. Its condition requires the ACL
 * bucket-owner-full-control, if Sluice writes with it, so that the owner has access to all objects. Placeholders of the path
 * become wildcards. Throws TypeError if principalArn is not the ARN of a principal.
 */
export function bucketPolicy(input: BucketPolicyInput): string {
  if (!isPrincipalArn(input.principalArn)) {
    throw new TypeError('principalArn is not the ARN of an IAM user or role.');
  }
  // aws, aws-cn or aws-us-gov: only principals of the same partition can access a bucket.
  const partition = input.principalArn.split(':')[1];
  const below = input.path === '' ? '' : `${replacePlaceholders(input.path, '*', escapeResource)}/`;
  const policy = {
    Version: '2012-10-17',
    ...(input.encryption === 'KMS' && { Id: KMS_NOTE }),
    Statement: [
      {
        Sid: 'SluiceWritesExports',
        Effect: 'Allow',
        Principal: { AWS: input.principalArn },
        Action: 's3:PutObject',
        Resource: `arn:${partition}:s3:::${input.bucket}/${below}*`,
        ...(input.sendsAcl !== false && {
          Condition: { StringEquals: { 's3:x-amz-acl': 'bucket-owner-full-control' } },
        }),
      },
    ],
  };
  return JSON.stringify(policy, null, 2).replace(/[^\x20-\x7e\n]/g, jsonEscape);
}

/** In a Resource, `*` and `?` are wildcards and `${` begins a variable; `${*}`, `${?}` and `${$}` are the characters themselves. */
const escapeResource = (path: string): string => path.replace(/[*?$]/g, (character) => `\${${character}}`);

/** Escapes a character, because policies are pasted through consoles and shells: the text is ASCII and the JSON means the same. */
const jsonEscape = (codeUnit: string): string => `\\u${codeUnit.charCodeAt(0).toString(16).padStart(4, '0')}`;
