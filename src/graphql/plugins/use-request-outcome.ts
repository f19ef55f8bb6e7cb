import type { Plugin } from 'graphql-yoga';
import { recordOutcome } from '../../http/request-context.ts';

/** Records for logs and metrics that an operation was refused with top-level errors. Typed errors: `onUserError` of the schema. */
export function useRequestOutcome(): Plugin {
  return {
    onExecute: () => ({ onExecuteDone: ({ result }) => recordErrors(result) }),
    onSubscribe: () => ({ onSubscribeResult: ({ result }) => recordErrors(result) }),
  };
}

function recordErrors(result: unknown): void {
  if (typeof result !== 'object' || result === null || !('errors' in result) || !Array.isArray(result.errors)) return;
  if (result.errors.length > 0) recordOutcome('refused');
}
