import {
  ConflictError,
  DestinationError,
  type Issue,
  LimitExceededError,
  NotFoundError,
  UserError,
  ValidationError,
} from '../../errors/errors.ts';
import type { Builder } from './builder.ts';

const MESSAGE = 'Human-readable message: what is wrong, and what to change.';

/** Adds the types of expected failures. Domain functions throw these classes, and the errors plugin returns them as results. */
export function addUserErrors(builder: Builder): void {
  const code = builder.enumType('ErrorCode', {
    description: 'Machine-readable kind of an expected failure.',
    values: {
      VALIDATION_FAILED: { description: 'The input is not valid. ValidationError lists each issue.' },
      NOT_FOUND: { description: 'The account has no object with this id or name.' },
      CONFLICT: {
        description:
          'The request conflicts with stored data, such as a name in use, an outdated version or a run that has ended.',
      },
      IDEMPOTENCY_MISMATCH: { description: 'The idempotency key was used by an earlier request with other content.' },
      NOT_REVERTIBLE: {
        description: 'The operation cannot be reverted, because a later write depends on it or its stream is deleted.',
      },
      HISTORY_GONE: {
        description:
          'The earlier state of the ledger cannot be read: it was purged or never recorded, or the database was restored.',
      },
      TOO_RECENT: {
        description: 'A transaction that began before that of the operation is still open. Retry after a second.',
      },
      BACKFILL_RUNNING: { description: 'The job has a backfill that has not ended. The message names its id.' },
      BACKFILL_ENDED: { description: 'The backfill has ended, so it cannot be paused, resumed or canceled.' },
      LIMIT_EXCEEDED: { description: 'The request exceeds a limit.' },
      DESTINATION_REFUSED: { description: 'The store refused an object for the destination.' },
    },
  });
  const userError = builder.interfaceRef<UserError>('UserError').implement({
    description:
      'Expected failure, returned as data. Not named Error, because that would shadow the global class in generated code.',
    fields: (t) => ({
      code: t.expose('code', { type: code, description: 'Machine-readable error code.' }),
      message: t.exposeString('message', { description: MESSAGE }),
    }),
  });
  const issue = builder.objectRef<Issue>('ValidationIssue').implement({
    description: 'One problem in an input.',
    fields: (t) => ({
      path: t.exposeStringList('path', {
        description: 'Path of the problem, starting at the argument, such as `["input", "records", "3", "value"]`.',
      }),
      message: t.exposeString('message', { description: MESSAGE }),
      code: t.exposeString('code', {
        description:
          'Machine-readable issue code, such as TOO_MANY_VALUES, DUPLICATE_DIMENSION, DIMENSIONS_DIFFER, PRECISION_LOST or BAD_CRON.',
      }),
    }),
  });
  builder.objectType(ValidationError, {
    name: 'ValidationError',
    description: 'The input is not valid. Nothing was stored.',
    interfaces: [userError],
    fields: (t) => ({
      issues: t.expose('issues', { type: [issue], description: 'First 100 issues.' }),
      issueCount: t.expose('issueCount', { type: 'SafeInt', description: 'Total number of issues.' }),
    }),
  });
  builder.objectType(NotFoundError, {
    name: 'NotFoundError',
    description: 'The account has no object with this id or name.',
    interfaces: [userError],
  });
  builder.objectType(ConflictError, {
    name: 'ConflictError',
    description: 'The request conflicts with stored data. Nothing was changed.',
    interfaces: [userError],
  });
  builder.objectType(DestinationError, {
    name: 'DestinationError',
    description: 'The store refused the object that tests a destination, or could not be reached.',
    interfaces: [userError],
    fields: (t) => ({
      reason: t.exposeString('reason', {
        description: 'Error code that a run would have, such as ACCESS_DENIED, NO_SUCH_BUCKET or WRONG_REGION.',
      }),
      bucketPolicy: t.exposeString('bucketPolicy', {
        description: 'Bucket policy that the owner of the bucket attaches, as JSON text.',
      }),
    }),
  });
  builder.objectType(LimitExceededError, {
    name: 'LimitExceededError',
    description: 'The request exceeds a limit. Nothing was stored.',
    interfaces: [userError],
    fields: (t) => ({
      limit: t.expose('limit', { type: 'SafeInt', description: 'Limit that the request exceeds.' }),
      actual: t.expose('actual', { type: 'SafeInt', description: 'Submitted value that exceeds the limit.' }),
    }),
  });
}
