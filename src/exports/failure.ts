// Pure: by whose fault an attempt failed, and what the job's owner is told of it.
import type { RunFailure } from '../db/json-columns.ts';
import { isUnavailable } from '../db/failures.ts';
import { ConflictError, LimitExceededError } from '../errors.ts';
import { ObjectStoreError } from './object-store.ts';

export const failureOf = (error: unknown): RunFailure => {
  if (error instanceof ObjectStoreError) {
    return { code: error.code, message: error.message, retryable: error.retryable };
  }
  if (error instanceof LimitExceededError || error instanceof ConflictError) {
    return { code: error.code, message: error.message, retryable: false };
  }
  if (isUnavailable(error)) {
    return {
      code: 'DATABASE_UNAVAILABLE',
      message: 'The database of the service was away for a while.',
      retryable: true,
    };
  }
  // Unknown causes may pass; what they are stands in the log with the run's id, and not in a message to customers.
  return {
    code: 'INTERNAL',
    message:
      'Something unexpected happened in the service; its operator finds the cause in the log by the id of the run.',
    retryable: true,
  };
};
