// Pure: converts the error of an attempt to the failure that the owner of the job sees.
import type { RunFailure } from '../db/json-columns.ts';
import { isConflict, isUnavailable } from '../db/failures.ts';
import { ConflictError, LimitExceededError, MovedError } from '../errors/errors.ts';
import { bucketPolicy, type BucketPolicyInput } from './bucket-policy.ts';
import { ObjectStoreError } from './object-store.ts';
import { ValueTooLargeError } from './parquet-values.ts';

/** @param destination where the run writes, and as which principal: the message of ACCESS_DENIED contains the bucket policy to attach */
export function toRunFailure(error: unknown, destination: BucketPolicyInput): RunFailure {
  if (error instanceof ObjectStoreError) {
    const { code, retryable } = error;
    return {
      code,
      message: code === 'ACCESS_DENIED' ? withPolicy(error.message, destination) : error.message,
      retryable,
    };
  }
  if (error instanceof LimitExceededError || error instanceof ConflictError) {
    return { code: error.code, message: error.message, retryable: false };
  }
  if (error instanceof ValueTooLargeError) return { code: 'VALUE_TOO_LARGE', message: error.message, retryable: false };
  if (error instanceof MovedError) return { code: 'DATABASE_UNAVAILABLE', message: error.message, retryable: true };
  if (isUnavailable(error) || isConflict(error)) {
    return {
      code: 'DATABASE_UNAVAILABLE',
      message: 'The database was temporarily unavailable.',
      retryable: true,
    };
  }
  // Assumed to be transient. The cause is logged with the run's id and not shown to the owner of the job.
  return {
    code: 'INTERNAL',
    message: 'An unexpected error occurred. The operator can find the cause in the log by the id of the run.',
    retryable: true,
  };
}

/** Appends the policy on one line, because mails and lists show a message as one line. */
function withPolicy(message: string, destination: BucketPolicyInput): string {
  return `${message} The policy to attach: ${bucketPolicy(destination).replace(/\n */g, ' ')}`;
}
