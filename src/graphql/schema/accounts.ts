import type { EnumRef } from '@pothos/core';
import { apiKeyFields, apiKeyInput } from '../../accounts/key-input.ts';
import { type ApiKeyRow, createApiKey, listApiKeys, type Principal, revokeApiKey } from '../../accounts/keys.ts';
import { isScope, type Scope } from '../../accounts/scopes.ts';
import { BadUserInputError, ConflictError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { bucketPolicy } from '../../exports/bucket-policy.ts';
import { isDestinationProblem, parseS3Url } from '../../jobs/destination.ts';
import { hasKmsJob } from '../../jobs/jobs.ts';
import { descriptionOf } from '../../validation/zod-issues.ts';
import type { Builder } from './builder.ts';
import { type ExtendedTypes, defineForwardArgs, toConnection } from './connections.ts';
import { accountOf, limitPage } from './context.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import { GLOBAL_ID, SEARCH } from './descriptions.ts';
import { ONE_STATEMENT } from './field-costs.ts';
import type { Refs } from './refs.ts';

const ADMIN = { anyOf: ['ADMIN'] } as const;

export function addAccounts(builder: Builder, refs: Refs): void {
  const scope = builder.enumType('ApiKeyScope', {
    description: 'Permission of an API key.',
    values: {
      READ: { description: 'Read records, usage, jobs and runs.' },
      INGEST: { description: 'Write records, and read the receipts of the writes.' },
      JOBS: { description: 'Create, change, check and run jobs. Includes READ.' },
      ADMIN: { description: 'Manage API keys and delete streams. Includes all other scopes.' },
    } as const,
  });
  builder.objectType(refs.apiKey, {
    description: 'API key of the account. Only a hash of its secret is stored.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'secretSha256' in value,
    // Every key may read itself. The others require ADMIN.
    authScopes: (key, context) => (context.principal?.key.id === key.id ? { anyKey: true } : ADMIN),
    fields: (t) => ({
      id: t.id({ description: GLOBAL_ID, resolve: (key) => encodeGlobalId('ApiKey', key.id) }),
      name: t.exposeString('name', { description: 'Name that was chosen when the key was created.' }),
      prefix: t.exposeString('prefix', {
        description: 'First characters of the secret, which identify the key in lists.',
      }),
      scopes: t.field({
        type: [scope],
        description: 'Scopes that the key was created with, without those that they include.',
        resolve: (key) => key.scopes.filter(isScope),
      }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the key was created.' }),
      lastUsedAt: t.expose('lastUsedAt', {
        type: 'DateTime',
        nullable: true,
        description: 'Time of the last use, accurate to one minute. Null if the key was never used.',
      }),
      revokedAt: t.expose('revokedAt', {
        type: 'DateTime',
        nullable: true,
        description: 'Time at which the key was revoked. Null if the key is valid.',
      }),
    }),
  });
  const viewer = builder.objectRef<Principal>('Viewer').implement({
    description: 'Account and API key of the request.',
    fields: (t) => ({
      accountName: t.exposeString('accountName', { description: 'Name of the account that the key belongs to.' }),
      key: t.expose('key', { type: refs.apiKey, description: 'API key of the request.' }),
    }),
  });
  builder.queryFields((t) => ({
    viewer: t.field({
      type: viewer,
      authScopes: { anyKey: true },
      description: 'Account and API key of the request. Available to every key.',
      resolve: (_, __, { principal }) => {
        if (!principal) throw new Error('The field viewer was resolved without a principal.');
        return principal;
      },
    }),
    apiKeys: t.field({
      type: refs.apiKeyConnection,
      authScopes: ADMIN,
      description: 'API keys of the account, including revoked ones, newest first.',
      args: { ...defineForwardArgs(t.arg), search: t.arg.string({ description: SEARCH }) },
      resolve: async (_, args, context) =>
        toConnection(await listApiKeys(context.services.db, accountOf(context), limitPage(context, args)), (key) => [
          key.createdAt.toISOString(),
          key.id,
        ]),
    }),
    bucketPolicy: t.string({
      ...ONE_STATEMENT,
      authScopes: { anyOf: ['READ'] },
      description:
        'S3 bucket policy, as JSON text, which the owner of the bucket attaches. It allows Sluice to write objects below the path, and nothing else.',
      args: {
        s3Url: t.arg.string({ required: true, description: 'Destination, in the form that a job has.' }),
        encryption: t.arg({
          type: refs.serverSideEncryption,
          description:
            'Encryption of the job. With KMS, the policy mentions the permission of the KMS key. Defaults to KMS if a job of the account writes to this s3Url with it.',
        }),
      },
      resolve: async (_, { s3Url, encryption }, context) => {
        const { db, writer } = context.services;
        const destination = parseS3Url(s3Url);
        if (isDestinationProblem(destination)) throw new BadUserInputError(destination.message);
        const isKms = encryption == null ? await hasKmsJob(db, accountOf(context), destination) : encryption === 'KMS';
        return bucketPolicy({ ...destination, ...writer, encryption: isKms ? 'KMS' : null });
      },
    }),
  }));
  addMutations(builder, refs, scope);
}

function addMutations(builder: Builder, refs: Refs, scope: EnumRef<ExtendedTypes, Scope>): void {
  const input = builder
    .inputType('CreateApiKeyInput', {
      description: 'A new API key of the account.',
      fields: (t) => ({
        name: t.string({ required: true, description: descriptionOf(apiKeyFields.name) }),
        scopes: t.field({ type: [scope], required: true, description: descriptionOf(apiKeyFields.scopes) }),
      }),
    })
    .validate(apiKeyInput);
  const newKey = builder.objectRef<{ readonly key: ApiKeyRow; readonly secret: string }>('NewApiKey').implement({
    description: 'New API key with its secret, which is shown only once.',
    fields: (t) => ({
      key: t.expose('key', { type: refs.apiKey, description: 'API key that was created.' }),
      secret: t.exposeString('secret', { description: 'Secret of the key. Store it: Sluice keeps only its hash.' }),
    }),
  });
  builder.mutationFields((t) => ({
    createApiKey: t.field({
      type: newKey,
      authScopes: ADMIN,
      description: 'Creates an API key of the account.',
      args: { input: t.arg({ type: input, required: true, description: 'Name and scopes of the new key.' }) },
      errors: {
        types: [ValidationError],
        union: {
          name: 'CreateApiKeyResult',
          description: 'New key with its secret, or the reason why none was created.',
        },
      },
      resolve: (_, args, context) => createApiKey(context.services, accountOf(context), args.input),
    }),
    revokeApiKey: t.field({
      type: refs.apiKey,
      authScopes: ADMIN,
      description:
        'Revokes an API key. Within one second, every server rejects it and ends its subscriptions. The last ADMIN key of an account cannot be revoked.',
      args: { id: t.arg.id({ required: true, description: 'Id of an API key.' }) },
      errors: {
        types: [NotFoundError, ConflictError],
        union: { name: 'RevokeApiKeyResult', description: 'Revoked key, or the reason why it was not revoked.' },
      },
      resolve: (_, { id }, context) => revokeApiKey(context.services, accountOf(context), parseGlobalId('ApiKey', id)),
    }),
  }));
}
