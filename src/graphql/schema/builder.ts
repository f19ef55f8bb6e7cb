import SchemaBuilder from '@pothos/core';
import ErrorsPlugin from '@pothos/plugin-errors';
import ScopeAuthPlugin from '@pothos/plugin-scope-auth';
import { GraphQLError } from 'graphql';
import type { Scope } from '../../accounts/scopes.ts';
import { challengeOf, describeProblem, type KeyProblem } from '../../http/callers.ts';
import type { DecimalInput } from '../../streams/pipeline/inputs.ts';
import type { GraphQLContext } from './context.ts';

export interface SchemaTypes {
  Context: GraphQLContext;
  DefaultFieldNullability: false;
  AuthScopes: {
    /** The key has one of these scopes. */
    anyOf: readonly Scope[];
    /** Any valid key. */
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

const unauthenticated = (problem: KeyProblem): GraphQLError =>
  new GraphQLError(describeProblem(problem), {
    extensions: {
      code: 'UNAUTHENTICATED',
      http: { status: 401, headers: { 'WWW-Authenticate': challengeOf(problem) } },
    },
  });

export const forbidden = (scopes: readonly string[]): GraphQLError =>
  new GraphQLError(`The API key lacks the required scope: ${scopes.join(' or ')}.`, {
    extensions: { code: 'FORBIDDEN' },
  });

export interface BuilderOptions {
  /** Called when a field returns a typed error. */
  readonly onUserError?: () => void;
}

export const createBuilder = ({ onUserError = () => undefined }: BuilderOptions = {}) =>
  new SchemaBuilder<SchemaTypes>({
    plugins: [ErrorsPlugin, ScopeAuthPlugin],
    defaultFieldNullability: false,
    errors: { directResult: true, defaultTypes: [], onResolvedError: onUserError },
    scopeAuth: {
      authorizeOnSubscribe: true,
      authScopes: (context) => ({
        anyOf: (scopes: readonly Scope[]) => scopes.some((scope) => context.scopes.has(scope)),
        anyKey: context.principal !== null,
      }),
      unauthorizedError: (_parent, context, _info, result) =>
        context.keyProblem === null ? forbidden(neededScopes(result.failure)) : unauthenticated(context.keyProblem),
    },
  });

export type Builder = ReturnType<typeof createBuilder>;

/** The scopes that stand in a failure of the plugin, or in those that it is made of. */
const neededScopes = (failure: unknown): string[] => {
  if (typeof failure !== 'object' || failure === null) return [];
  if ('failures' in failure && Array.isArray(failure.failures)) {
    return [...new Set(failure.failures.flatMap(neededScopes))];
  }
  return 'parameter' in failure && Array.isArray(failure.parameter) ? failure.parameter.map(String) : [];
};
