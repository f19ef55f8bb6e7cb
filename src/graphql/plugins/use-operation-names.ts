import { type DocumentNode, Kind, type OperationDefinitionNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { noteOperation, noteOutcome } from '../../http/request-context.ts';

/** Notes what a request asks for and whether that went well, once it is known to be valid. */
export const noteOperations: Plugin = {
  onExecute: ({ args }) => {
    noteOperation('graphql', nameOf(args.document, args.operationName));
    return { onExecuteDone: ({ result }) => noteErrors(result) };
  },
  onSubscribe: ({ args }) => {
    noteOperation('graphql', nameOf(args.document, args.operationName), true);
    return { onSubscribeResult: ({ result }) => noteErrors(result) };
  },
};

/**
 * The type and the first field of the root, such as `mutation allocationSum`: the document is valid, so it is one that the
 * schema has. Not the operation's own name, of which a client can make up as many as it likes.
 */
const nameOf = ({ definitions }: DocumentNode, wanted: unknown): string => {
  const operation = definitions.find(
    (one): one is OperationDefinitionNode =>
      one.kind === Kind.OPERATION_DEFINITION && (wanted == null || one.name?.value === wanted),
  );
  if (!operation) return 'other';
  const [first, ...rest] = operation.selectionSet.selections;
  const isAlone = first?.kind === Kind.FIELD && rest.every((one) => one.kind === Kind.FIELD && sameField(one, first));
  return `${operation.operation} ${isAlone ? first.name.value : 'several'}`;
};

const sameField = (one: { name: { value: string } }, other: { name: { value: string } }): boolean =>
  one.name.value === other.name.value;

const noteErrors = (result: unknown): void => {
  if (typeof result === 'object' && result !== null && 'errors' in result && Array.isArray(result.errors)) {
    if (result.errors.length > 0) noteOutcome('refused');
  }
};
