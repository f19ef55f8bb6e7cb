import { useState } from 'react';
import { type AnyVariables, type TypedDocumentNode, useMutation } from 'urql';
import { findProblem, type Problem } from './problem.ts';
import { graphql } from './graphql.ts';

/** Spread it into the result of each mutation. findProblem() and useAction() read it. */
export const USER_ERROR = graphql(`
  fragment UserErrorParts on UserError {
    __typename
    code
    message
    ... on ValidationError {
      issues {
        path
        code
        message
      }
    }
  }
`);

export interface Action<Data, Variables> {
  /** Returns the data of the mutation; null if it failed, and then `problem` says why. */
  readonly run: (variables: Variables) => Promise<Data | null>;
  readonly isRunning: boolean;
  /** Problem of the last run; null if there was none. */
  readonly problem: Problem | null;
  readonly clear: () => void;
}

/**
 * Runs a mutation. Failures of the network, errors of GraphQL and returned error types are all in `problem`. `onProblem` is called
 * with each, such as notifyProblem() for a button in a list.
 */
export function useAction<Data extends object, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
  onProblem?: (problem: Problem) => void,
): Action<Data, Variables> {
  const [{ fetching }, execute] = useMutation(document);
  const [problem, setProblem] = useState<Problem | null>(null);
  return {
    isRunning: fetching,
    problem,
    clear: () => setProblem(null),
    run: async (variables) => {
      const result = await execute(variables);
      const found = findProblem(result);
      setProblem(found);
      if (found !== null) onProblem?.(found);
      return found === null ? (result.data ?? null) : null;
    },
  };
}
