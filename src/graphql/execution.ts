import { execute, type ExecutionArgs, executeRootSelectionSet, Kind, validateExecutionArgs } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { partVariables } from './plain-variables.ts';

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

const executeOperation = (args: ExecutionArgs) => {
  const { document, operationName, variableValues } = args;
  const operation = document.definitions.find(
    (one) => one.kind === Kind.OPERATION_DEFINITION && (operationName == null || one.name?.value === operationName),
  );
  const parted =
    operation?.kind === Kind.OPERATION_DEFINITION && variableValues ? partVariables(operation, variableValues) : null;
  if (!parted) return execute(args);
  const validated = validateExecutionArgs({ ...args, variableValues: parted.rest });
  if (!('variableValues' in validated)) return { errors: validated };
  for (const [name, records] of parted.records) {
    Object.assign(validated.variableValues.coerced[name] as object, { records });
  }
  return executeRootSelectionSet(validated);
};
