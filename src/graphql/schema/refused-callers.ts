import { GraphQLError } from 'graphql';
import { formatChallenge, describeProblem, type KeyProblem } from '../../http/callers.ts';
import type { GraphQLContext } from './context.ts';

/** The error for a caller without a valid key, or whose key has none of the scopes. */
export function refuseCaller({ keyProblem }: GraphQLContext, scopes: readonly string[]): GraphQLError {
  return keyProblem === null ? forbidden(scopes) : unauthenticated(keyProblem);
}

function unauthenticated(problem: KeyProblem): GraphQLError {
  return new GraphQLError(describeProblem(problem), {
    extensions: {
      code: 'UNAUTHENTICATED',
      http: { status: 401, headers: { 'WWW-Authenticate': formatChallenge(problem) } },
    },
  });
}

export function forbidden(scopes: readonly string[]): GraphQLError {
  return new GraphQLError(`The API key lacks the required scope: ${scopes.join(' or ')}.`, {
    extensions: { code: 'FORBIDDEN' },
  });
}
