import { type DocumentNode, getOperationAST, Kind } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { recordOperation } from '../../http/request-context.ts';

/** Records for logs and metrics which operation a valid request executes. */
export function useOperationNames(): Plugin {
  return {
    onExecute: ({ args }) => recordOperation('graphql', formatOperation(args.document, args.operationName)),
    onSubscribe: ({ args }) => recordOperation('graphql', formatOperation(args.document, args.operationName), true),
  };
}

/**
 * Returns the type of the operation and its root field, such as `mutation allocationSum`, or `several` for more than one
 * field. The document is valid, so the schema bounds the number of results. Clients choose the names of operations, which
 * would make the number of metrics unbounded.
 */
function formatOperation(document: DocumentNode, operationName?: string | null): string {
  const operation = getOperationAST(document, operationName);
  if (!operation) return 'other';
  const [first, ...rest] = operation.selectionSet.selections;
  const isSingle =
    first?.kind === Kind.FIELD && rest.every((one) => one.kind === Kind.FIELD && one.name.value === first.name.value);
  return `${operation.operation} ${isSingle ? first.name.value : 'several'}`;
}
