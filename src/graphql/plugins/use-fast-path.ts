import { execute, type ExecutionArgs, executeRootSelectionSet, getOperationAST, validateExecutionArgs } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { extractRecords } from './fast-path-variables.ts';

// Gain: see fast-path-variables.ts.
// Depends on: graphql 17, whose execute() is composed here from its exported parts.
// Guarded by: test/graphql/plain-variables.test.ts and test/graphql/arguments.test.ts.

interface SignalContext {
  /** Aborted if the request exceeds its time limit. Then no further field is resolved. */
  readonly signal?: AbortSignal | undefined;
}

/** Executes operations within the time limit of the request. Lists of plain records bypass the coercion of variables. */
export function useFastPath(): Plugin {
  return {
    onExecute: ({ args, setExecuteFn }) => {
      const { signal } = args.contextValue as SignalContext;
      setExecuteFn(() => executeOperation({ ...(args as ExecutionArgs), abortSignal: signal ?? null }));
    },
  };
}

function executeOperation(args: ExecutionArgs) {
  const { document, operationName, variableValues } = args;
  const operation = getOperationAST(document, operationName);
  const extracted = operation && variableValues ? extractRecords(operation, variableValues) : null;
  const maxCoercionErrors = isLong(extracted?.rest ?? variableValues) ? 1 : 50;
  const bounded = { ...args, options: { ...args.options, maxCoercionErrors } };
  if (!extracted) return execute(bounded);
  const validated = validateExecutionArgs({ ...bounded, variableValues: extracted.rest });
  if (!('variableValues' in validated)) return { errors: validated };
  for (const [name, records] of extracted.records) {
    Object.assign(validated.variableValues.coerced[name] as object, { records });
  }
  return executeRootSelectionSet(validated);
}

/** An error of a variable prints the object that it is about, so only one error is reported for variables beyond this size. */
const MAX_PRINTED_CHARACTERS = 100_000;

function isLong(variables: unknown): boolean {
  let characters = 0;
  const left = [variables];
  while (left.length > 0 && characters <= MAX_PRINTED_CHARACTERS) {
    const value = left.pop();
    if (typeof value === 'string') characters += value.length;
    if (typeof value !== 'object' || value === null) continue;
    for (const one of Object.values(value)) left.push(one);
  }
  return characters > MAX_PRINTED_CHARACTERS;
}
