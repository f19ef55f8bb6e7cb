import { execute, type ExecutionArgs, executeRootSelectionSet, Kind, validateExecutionArgs } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { partVariables } from './fast-path-variables.ts';

/** What comes with a request beside its key. */
interface Signalled {
  /** Aborted where the request has taken too long: then no field is begun any more. */
  readonly signal?: AbortSignal | undefined;
}

/** Executes operations, lists of plain records past the coercion of variables. */
export const executeOperations: Plugin = {
  onExecute: ({ args, setExecuteFn }) => {
    const { signal } = args.contextValue as Signalled;
    setExecuteFn(() => executeOperation({ ...(args as ExecutionArgs), abortSignal: signal ?? null }));
  },
};

/** Each error of a variable prints the object that it is about: of long ones only one is reported. */
const maxErrorsOf = (variables: unknown): number => (isLong(variables) ? 1 : 50);
const MAX_PRINTED_CHARACTERS = 100_000;

const isLong = (variables: unknown): boolean => {
  let characters = 0;
  const left = [variables];
  while (left.length > 0 && characters <= MAX_PRINTED_CHARACTERS) {
    const value = left.pop();
    if (typeof value === 'string') characters += value.length;
    if (typeof value !== 'object' || value === null) continue;
    for (const one of Object.values(value)) left.push(one);
  }
  return characters > MAX_PRINTED_CHARACTERS;
};

const executeOperation = (args: ExecutionArgs) => {
  const { document, operationName, variableValues } = args;
  const operation = document.definitions.find(
    (one) => one.kind === Kind.OPERATION_DEFINITION && (operationName == null || one.name?.value === operationName),
  );
  const parted =
    operation?.kind === Kind.OPERATION_DEFINITION && variableValues ? partVariables(operation, variableValues) : null;
  const bounded = {
    ...args,
    options: { ...args.options, maxCoercionErrors: maxErrorsOf(parted?.rest ?? variableValues) },
  };
  if (!parted) return execute(bounded);
  const validated = validateExecutionArgs({ ...bounded, variableValues: parted.rest });
  if (!('variableValues' in validated)) return { errors: validated };
  for (const [name, records] of parted.records) {
    Object.assign(validated.variableValues.coerced[name] as object, { records });
  }
  return executeRootSelectionSet(validated);
};
