import { createHash } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ObjectStore, ObjectStoreError } from '../../src/exports/object-store.ts';
import { openS3 } from '../../src/exports/s3.ts';
import { type Fault, startStrictS3, type StrictS3 } from '../support/strict-s3.ts';

// Refusals whose cause is only in the text of the store, as AWS and other stores write it.

let s3: StrictS3;
let store: ObjectStore;
beforeEach(async () => {
  s3 = await startStrictS3({ buckets: ['there'] });
  const { region, endpoint, credentials } = s3;
  store = openS3({ region, endpoint, credentials, forcePathStyle: true });
});
afterEach(async () => {
  store.close();
  await s3.close();
});

/** An error document with a text, as the store named in the test sends it. */
function refusal(status: number, code: string, text: string): Fault {
  return { status, text: `<Error><Code>${code}</Code><Message>${text}</Message></Error>` };
}

const refusals: [name: string, fault: Fault, code: string, retryable: boolean, message: RegExp][] = [
  [
    'the ACL refused by Backblaze B2',
    refusal(400, 'InvalidArgument', "Unsupported value for canned acl 'bucket-owner-full-control'"),
    'NOT_SUPPORTED',
    false,
    /every object: x-amz-acl .*S3_ACL=none\)\.$/,
  ],
  [
    'the checksum refused by Backblaze B2',
    refusal(400, 'InvalidArgument', "Unsupported header 'x-amz-checksum-sha256' received for this API call."),
    'NOT_SUPPORTED',
    false,
    /every object: x-amz-checksum-sha256 .*S3_CHECKSUM=none\)\.$/,
  ],
  [
    'the ACL refused by Cloudflare R2',
    refusal(501, 'NotImplemented', "Header 'x-amz-acl' with value 'bucket-owner-full-control' not implemented"),
    'NOT_SUPPORTED',
    false,
    /every object: x-amz-acl .*S3_ACL=none\)\.$/,
  ],
  [
    'the ACL refused by a uniform bucket of Google',
    refusal(
      400,
      'InvalidArgument',
      'Cannot insert legacy ACL for an object when uniform bucket-level access is enabled.',
    ),
    'NOT_SUPPORTED',
    false,
    /S3_ACL=none\)\.$/,
  ],
  ['400 without a document', { status: 400 }, 'S3_REFUSED', false, /x-amz-acl .*S3_ACL=none.*S3_CHECKSUM=none/],
  [
    'a policy that requires encryption',
    refusal(
      403,
      'AccessDenied',
      'arn:aws:iam::1:user/x is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::there/requester-pays/kms:a" with an explicit deny in a resource-based policy',
    ),
    'ACCESS_DENIED',
    false,
    /^A policy explicitly denies s3:PutObject to the bucket there.*server-side encryption, set encryption of this job/,
  ],
  [
    'a KMS key without permission',
    refusal(
      403,
      'AccessDenied',
      'User: arn:aws:iam::1:user/x is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:us-east-1:1:key/LEAK',
    ),
    'ACCESS_DENIED',
    false,
    /not allowed to use the KMS key.*kms:GenerateDataKey/,
  ],
  [
    'a bucket of Google that makes the requester pay',
    refusal(400, 'UserProjectMissing', 'Bucket is a requester pays bucket but no user project provided.'),
    'REQUESTER_PAYS',
    false,
    /Requester Pays off/,
  ],
  [
    'a bucket that makes the requester pay',
    refusal(403, 'AccessDenied', 'The bucket is a Requester Pays bucket.'),
    'REQUESTER_PAYS',
    false,
    /Requester Pays off/,
  ],
  [
    'a required encryption',
    refusal(400, 'InvalidRequest', 'The bucket requires server side encryption.'),
    'ENCRYPTION_REQUIRED',
    false,
    /Set encryption of this job/,
  ],
];

test.each(refusals)(
  '%s > is explained without the text of the store',
  async (_name, fault, code, retryable, message) => {
    s3.setFault(() => fault);
    const body = Buffer.from('value\n');
    const error: unknown = await store
      .put({
        bucket: 'there',
        key: 'a.csv',
        body,
        contentType: 'text/csv',
        bucketOwner: null,
        sha256Hex: createHash('sha256').update(body).digest('hex'),
        signal: new AbortController().signal,
      })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ObjectStoreError);
    expect(error).toMatchObject({ code, retryable, message: expect.stringMatching(message) });
    expect(String(error)).not.toContain('LEAK');
  },
);
