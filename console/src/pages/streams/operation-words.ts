// Pure: operations of the ledger in words.
import type { Operation } from './streams-documents.ts';

type Kind = Operation['kind'];

export const KIND_NAMES: Readonly<Record<Kind, string>> = {
  SUM: 'Sum',
  REPLACE: 'Replace',
  DELETE: 'Delete',
  DELETE_STREAM: 'Delete stream',
  REVERT: 'Revert',
  COMPLETE: 'Complete',
};

/** Whether operations of the kind can be reverted, unless a later write depends on them. */
export function isRevertible(kind: Kind): boolean {
  return kind !== 'COMPLETE' && kind !== 'DELETE_STREAM';
}

/** Returns the id of the operation that the message of NOT_REVERTIBLE names; null if it names none. */
export function findNamedOperation(message: string): string | null {
  return /\boperation ([A-Za-z0-9_=-]{8,})/.exec(message)?.[1] ?? null;
}
