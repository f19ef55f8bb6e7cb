import type { EnumRef } from '@pothos/core';
import { apiKeyFields, apiKeyInput } from '../../accounts/key-input.ts';
import { type ApiKeyRow, createApiKey, listApiKeys, type Principal, revokeApiKey } from '../../accounts/keys.ts';
import { isScope, type Scope } from '../../accounts/scopes.ts';
import { BadUserInputError, ConflictError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { bucketPolicy, UNKNOWN_PRINCIPAL } from '../../exports/bucket-policy.ts';
import { isDestinationProblem, parseS3Url } from '../../jobs/destination.ts';
import { descriptionOf } from '../../validation/zod-issues.ts';
import type { Builder } from './builder.ts';
import { type ExtendedTypes, forwardArgs, toConnection } from './connections.ts';
import { accountOf, paged } from './context.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import type { Refs } from './refs.ts';

const ADMIN = { anyOf: ['ADMIN'] } as const;

export const addAccounts = (builder: Builder, refs: Refs): void => {
  const scope = builder.enumType('ApiKeyScope', {
    description: 'What a key may do.',
    values: {
      READ: { description: 'Everything that shows records, usage, jobs or runs.' },
      INGEST: { description: 'The allocation mutations and their receipts.' },
      JOBS: { description: 'Job and run mutations and checkJob; implies READ.' },
      ADMIN: { description: 'Keys and deleteStream; implies the others.' },
    } as const,
  });
  builder.objectType(refs.apiKey, {
    description: 'A key of the account. Its secret is stored as a hash only.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'secretSha256' in value,
    // Any key may see itself; the others are ADMIN's.
    authScopes: (key, context) => (context.principal?.key.id === key.id ? { anyKey: true } : ADMIN),
    fields: (t) => ({
      id: t.id({ description: 'Opaque, stable, safe in a URL.', resolve: (key) => encodeGlobalId('ApiKey', key.id) }),
      name: t.exposeString('name', { description: 'Given by whoever made it.' }),
      prefix: t.exposeString('prefix', {
        description: 'The first characters, to tell keys apart; the rest is stored only as a hash.',
      }),
      scopes: t.field({
        type: [scope],
        description: 'What it was made for, without what that implies.',
        resolve: (key) => key.scopes.filter(isScope),
      }),
      createdAt: t.field({ type: 'DateTime', description: 'When it was made.', resolve: (key) => key.createdAt }),
      lastUsedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'To the minute; null where it was never used.',
        resolve: (key) => key.lastUsedAt,
      }),
      revokedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When it was revoked; null while it works.',
        resolve: (key) => key.revokedAt,
      }),
    }),
  });
  const viewer = builder.objectRef<Principal>('Viewer').implement({
    description: 'Who is calling.',
    fields: (t) => ({
      accountName: t.exposeString('accountName', { description: 'The account that the key belongs to.' }),
      key: t.field({
        type: refs.apiKey,
        description: 'The key of this request.',
        resolve: (principal) => principal.key,
      }),
    }),
  });
  builder.queryFields((t) => ({
    viewer: t.field({
      type: viewer,
      authScopes: { anyKey: true },
      description: 'Who is calling; any key may ask.',
      resolve: (_, __, { principal }) => {
        if (!principal) throw new Error('viewer without a principal.');
        return principal;
      },
    }),
    apiKeys: t.field({
      type: refs.apiKeyConnection,
      authScopes: ADMIN,
      description: 'The keys of the account, newest first, revoked ones too.',
      args: forwardArgs(t.arg),
      resolve: async (_, args, context) =>
        toConnection(await listApiKeys(context.services.db, accountOf(context), paged(context, args)), (key) => [
          key.createdAt.toISOString(),
          key.id,
        ]),
    }),
    bucketPolicy: t.string({
      authScopes: { anyOf: ['READ'] },
      description:
        'The bucket policy that the owner of the bucket has to attach, as JSON text: it lets the service write below the path, and nothing else.',
      args: { s3Url: t.arg.string({ required: true, description: 'As in a job.' }) },
      resolve: (_, { s3Url }, { services }) => {
        const destination = parseS3Url(s3Url);
        if (isDestinationProblem(destination)) throw new BadUserInputError(destination.message);
        return bucketPolicy({ ...destination, principalArn: services.principalArn ?? UNKNOWN_PRINCIPAL });
      },
    }),
  }));
  addMutations(builder, refs, scope);
};

const addMutations = (builder: Builder, refs: Refs, scope: EnumRef<ExtendedTypes, Scope>): void => {
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
    description: 'The only time that the secret is shown.',
    fields: (t) => ({
      key: t.field({ type: refs.apiKey, description: 'The key.', resolve: (made) => made.key }),
      secret: t.exposeString('secret', { description: 'Keep it: it is stored as a hash only.' }),
    }),
  });
  builder.mutationFields((t) => ({
    createApiKey: t.field({
      type: newKey,
      authScopes: ADMIN,
      description: 'Makes a key.',
      args: { input: t.arg({ type: input, required: true, description: 'Its name and scopes.' }) },
      errors: {
        types: [ValidationError],
        union: { name: 'CreateApiKeyResult', description: 'The key with its secret, or why there is none.' },
      },
      resolve: (_, args, context) => createApiKey(context.services, accountOf(context), args.input),
    }),
    revokeApiKey: t.field({
      type: refs.apiKey,
      authScopes: ADMIN,
      description:
        'Revokes a key: within a second it works on no server, and its open subscriptions end. The last ADMIN key of an account stays.',
      args: { id: t.arg.id({ required: true, description: 'The id of a key.' }) },
      errors: {
        types: [NotFoundError, ConflictError],
        union: { name: 'RevokeApiKeyResult', description: 'The key, revoked, or why it was not.' },
      },
      resolve: (_, { id }, context) => revokeApiKey(context.services, accountOf(context), parseGlobalId('ApiKey', id)),
    }),
  }));
};
