import SchemaBuilder from '@pothos/core';
import ErrorsPlugin from '@pothos/plugin-errors';
import ScopeAuthPlugin from '@pothos/plugin-scope-auth';
import ValidationPlugin from '@pothos/plugin-validation';
import type { z } from 'zod';
import type { Scope } from '../../accounts/scopes.ts';
import type { DecimalInput } from '../../lib/decimal.ts';
import { toValidationError } from '../../validation/zod-issues.ts';
import type { GraphQLContext } from './context.ts';
import { refuseCaller } from './refused-callers.ts';
import { SCOPES_BEFORE_INPUT } from './scopes-before-input.ts';

export interface SchemaTypes {
  Context: GraphQLContext;
  DefaultFieldNullability: false;
  AuthScopes: {
    /** The API key has one of these scopes. */
    anyOf: readonly Scope[];
    /** The API key has each of these scopes. */
    allOf: readonly Scope[];
    /** The API key is valid. */
    anyKey: boolean;
  };
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: string; Output: Date };
    Decimal: { Input: DecimalInput; Output: string };
    SafeInt: { Input: number; Output: number };
    AgoDuration: { Input: string; Output: string };
    CronExpression: { Input: string; Output: string };
    TimeZone: { Input: string; Output: string };
    EmailAddress: { Input: string; Output: string };
  };
}

export interface BuilderOptions {
  /** Called when a field returns a typed error. */
  readonly onUserError?: () => void;
}

export function createBuilder({ onUserError = () => undefined }: BuilderOptions = {}) {
  return new SchemaBuilder<SchemaTypes>({
    plugins: [ErrorsPlugin, SCOPES_BEFORE_INPUT, ValidationPlugin, ScopeAuthPlugin],
    defaultFieldNullability: false,
    errors: {
      directResult: true,
      defaultTypes: [],
      // Safe because scopes are checked before input: see scopes-before-input.ts.
      unsafelyHandleInputErrors: true,
      onResolvedError: onUserError,
    },
    validation: {
      // All schemas are zod's, so the issues are as well.
      validationError: ({ issues }) => toValidationError(issues as readonly z.core.$ZodIssue[]),
    },
    scopeAuth: {
      authorizeOnSubscribe: true,
      authScopes: (context) => ({
        anyOf: (scopes: readonly Scope[]) => scopes.some((scope) => context.scopes.has(scope)),
        allOf: (scopes: readonly Scope[]) => scopes.every((scope) => context.scopes.has(scope)),
        anyKey: context.principal !== null,
      }),
      unauthorizedError: (_parent, context, _info, result) => refuseCaller(context, collectScopes(result.failure)),
    },
  });
}

export type Builder = ReturnType<typeof createBuilder>;

/** The scopes named by a failure of the plugin, or by the failures that it consists of. */
function collectScopes(failure: unknown): string[] {
  if (typeof failure !== 'object' || failure === null) return [];
  if ('failures' in failure && Array.isArray(failure.failures)) {
    return [...new Set(failure.failures.flatMap(collectScopes))];
  }
  return 'parameter' in failure && Array.isArray(failure.parameter) ? failure.parameter.map(String) : [];
}
