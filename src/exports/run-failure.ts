// Pure: by whose fault an attempt failed, and what the job's owner is told of it.
import type { RunFailure } from '../db/json-columns.ts';
import { isConflict, isUnavailable } from '../db/failures.ts';
import { ConflictError, LimitExceededError, MovedError } from '../errors/errors.ts';
import { bucketPolicy, type BucketPolicyInput } from './bucket-policy.ts';
import { ObjectStoreError } from './object-store.ts';

/** @param place where the run writes, and as whom: who is denied there is told the policy to attach */
export const toRunFailure = (error: unknown, place: BucketPolicyInput): RunFailure => {
  if (error instanceof ObjectStoreError) {
    const { code, retryable } = error;
    return { code, message: code === 'ACCESS_DENIED' ? withPolicy(error.message, place) : error.message, retryable };
  }
  if (error instanceof LimitExceededError || error instanceof ConflictError) {
    return { code: error.code, message: error.message, retryable: false };
  }
  if (error instanceof MovedError) return { code: 'DATABASE_UNAVAILABLE', message: error.message, retryable: true };
  if (isUnavailable(error) || isConflict(error)) {
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

/** In one line: mails and lists show messages so, and it stays the same JSON. */
const withPolicy = (message: string, place: BucketPolicyInput): string =>
  `${message} The policy to attach: ${bucketPolicy(place).replace(/\n */g, ' ')}`;
