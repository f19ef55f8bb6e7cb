import { describe, expect, it } from 'vitest';
import { bucketPolicy, isPrincipalArn } from '../../src/exports/bucket-policy.ts';

const principalArn = 'arn:aws:iam::123456789012:role/sluice';

function resourceOf(path: string, arn = principalArn): string {
  const policy: { Statement: { Resource: string }[] } = JSON.parse(
    bucketPolicy({ bucket: 'my.bucket', path, principalArn: arn }),
  );
  return policy.Statement[0]?.Resource ?? '';
}

describe('bucketPolicy', () => {
  it('allows the principal to write below the path with the ACL, and nothing else', () => {
    expect(JSON.parse(bucketPolicy({ bucket: 'my-bucket', path: 'exports/eu', principalArn }))).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'SluiceWritesExports',
          Effect: 'Allow',
          Principal: { AWS: principalArn },
          Action: 's3:PutObject',
          Resource: 'arn:aws:s3:::my-bucket/exports/eu/*',
          Condition: { StringEquals: { 's3:x-amz-acl': 'bucket-owner-full-control' } },
        },
      ],
    });
  });

  it('has no condition without the ACL', () => {
    const policy = bucketPolicy({ bucket: 'b', path: '', principalArn, sendsAcl: false });
    expect(policy).not.toContain('Condition');
    expect(policy).not.toContain('x-amz-acl');
  });

  it('with KMS > mentions the permission of the key outside of the statements', () => {
    const [plain, withKms] = ([null, 'KMS'] as const).map((encryption) =>
      JSON.parse(bucketPolicy({ bucket: 'b', path: 'p', principalArn, encryption })),
    );
    expect(withKms.Id).toContain('kms:GenerateDataKey');
    expect({ ...withKms, Id: undefined }).toEqual(plain);
  });

  it('is indented', () => {
    expect(bucketPolicy({ bucket: 'b', path: '', principalArn })).toContain('\n  "Statement": [');
  });

  it.each([
    ['', 'arn:aws:s3:::my.bucket/*'],
    ['a', 'arn:aws:s3:::my.bucket/a/*'],
    ['a*b', 'arn:aws:s3:::my.bucket/a${*}b/*'],
    ['what?', 'arn:aws:s3:::my.bucket/what${?}/*'],
    ['${aws:username}', 'arn:aws:s3:::my.bucket/${$}{aws:username}/*'],
    ['$', 'arn:aws:s3:::my.bucket/${$}/*'],
    ['${*}', 'arn:aws:s3:::my.bucket/${$}{${*}}/*'],
    ['usage/{job}/year={yyyy}/month={MM}/day={dd}-{HH}', 'arn:aws:s3:::my.bucket/usage/*/year=*/month=*/day=*-*/*'],
    ['{yyyy}${yyyy}{other}', 'arn:aws:s3:::my.bucket/*${$}*{other}/*'],
    ['quote"back\\slash', 'arn:aws:s3:::my.bucket/quote"back\\slash/*'],
    ['Ünïcode 😀', 'arn:aws:s3:::my.bucket/Ünïcode 😀/*'],
  ])('for the path %j > has the resource %j, with wildcards for placeholders and the object only', (path, resource) => {
    expect(resourceOf(path)).toBe(resource);
  });

  it.each([
    ['usage/{job}/year={yyyy}/month={MM}/day={dd}', 'usage/%/year=%/month=%/day=%/%'],
    ['{HH}', '%/%'],
    ['a*${yyyy}', 'a${*}${$}%/%'],
    ['{}{x}{yyyy', '{}{x}{yyyy/%'],
  ])('for the path %j > has the resource %j, with a wildcard (here %%) for each placeholder', (path, resource) => {
    expect(resourceOf(path)).toBe(`arn:aws:s3:::my.bucket/${resource.replaceAll('%', '*')}`);
  });

  it('is ASCII for any path', () => {
    expect(bucketPolicy({ bucket: 'b', path: 'Ünïcode 😀', principalArn })).toMatch(/^[\x20-\x7e\n]+$/);
  });

  it.each([
    ['arn:aws:iam::123456789012:user/x', 'aws'],
    ['arn:aws-cn:iam::123456789012:role/path/x', 'aws-cn'],
    ['arn:aws-us-gov:sts::123456789012:assumed-role/x/session@y', 'aws-us-gov'],
  ])('for %s > has the partition %s', (arn, partition) => {
    expect(resourceOf('p', arn)).toBe(`arn:${partition}:s3:::my.bucket/p/*`);
  });

  it.each([
    'arn:aws:iam:::user/sluice',
    'arn:aws:iam::tenant_1:user/sluice',
    'arn:aws:iam::95390887230002558202:user/sluice',
    'arn:aws-cn:iam::123456789012:role/a/b/sluice',
    'arn:aws:sts::123456789012:assumed-role/sluice/x@example.com',
    'arn:aws:iam::123456789012:root',
  ])('accepts the principal %s', (arn) => {
    expect(isPrincipalArn(arn)).toBe(true);
    const policy = JSON.parse(bucketPolicy({ bucket: 'b', path: '', principalArn: arn })) as {
      Statement: { Principal: { AWS: string } }[];
    };
    expect(policy.Statement[0]?.Principal.AWS).toBe(arn);
  });

  it.each([
    '',
    '*',
    '123456789012',
    'arn:aws:s3:::bucket',
    'arn:aws:iam::1234:role/x',
    'arn:aws:iam::',
    'arn:aws:iam:::',
    'arn:aws:iam::a:b:user/x',
    `${principalArn}\n`,
  ])('rejects %j, which is not the ARN of a principal', (arn) => {
    expect(isPrincipalArn(arn)).toBe(false);
    expect(() => bucketPolicy({ bucket: 'b', path: '', principalArn: arn })).toThrow(TypeError);
  });
});
