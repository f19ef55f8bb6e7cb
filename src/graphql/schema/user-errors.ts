import {
  ConflictError,
  type Issue,
  LimitExceededError,
  NotFoundError,
  UserError,
  ValidationError,
} from '../../errors/errors.ts';
import type { Builder } from './builder.ts';

/** The expected failures, as types. The classes are what domain functions throw; the errors plugin makes them results. */
export const addUserErrors = (builder: Builder): void => {
  const code = builder.enumType('ErrorCode', {
    description: 'What kind of expected failure it is.',
    values: {
      VALIDATION_FAILED: { description: 'The input breaks rules; each is listed.' },
      NOT_FOUND: { description: 'There is no such thing in the account.' },
      CONFLICT: { description: 'It contradicts what is stored: a name taken, a stale version, a run that has ended.' },
      IDEMPOTENCY_MISMATCH: { description: 'The idempotency key belongs to an earlier request with other content.' },
      LIMIT_EXCEEDED: { description: 'It is more than a limit allows.' },
    },
  });
  const userError = builder.interfaceRef<UserError>('UserError').implement({
    description:
      'An expected failure, returned as data. Named so since Error would shadow the global of that name in generated code.',
    fields: (t) => ({
      code: t.field({ type: code, description: 'For programs.', resolve: (error) => error.code }),
      message: t.exposeString('message', { description: 'For people: what is wrong and what to change.' }),
    }),
  });
  const issue = builder.objectRef<Issue>('ValidationIssue').implement({
    description: 'One thing that is wrong with the input.',
    fields: (t) => ({
      path: t.stringList({
        description: 'Where, from the argument down, e.g. `["input", "records", "3", "value"]`.',
        resolve: (one) => [...one.path],
      }),
      message: t.exposeString('message', { description: 'What is wrong, for people.' }),
      code: t.exposeString('code', {
        description:
          'For programs, e.g. TOO_MANY_VALUES, DUPLICATE_DIMENSION, DIMENSIONS_DIFFER, PRECISION_LOST, BAD_CRON.',
      }),
    }),
  });
  builder.objectType(ValidationError, {
    name: 'ValidationError',
    description: 'The input breaks rules. Nothing was stored.',
    interfaces: [userError],
    fields: (t) => ({
      issues: t.field({ type: [issue], description: 'The first 100.', resolve: (error) => [...error.issues] }),
      issueCount: t.field({
        type: 'SafeInt',
        description: 'How many there are in all.',
        resolve: (error) => error.issueCount,
      }),
    }),
  });
  builder.objectType(NotFoundError, {
    name: 'NotFoundError',
    description: 'There is no such thing in the account.',
    interfaces: [userError],
  });
  builder.objectType(ConflictError, {
    name: 'ConflictError',
    description: 'It contradicts what is stored. Nothing was changed.',
    interfaces: [userError],
  });
  builder.objectType(LimitExceededError, {
    name: 'LimitExceededError',
    description: 'It is more than a limit allows. Nothing was stored.',
    interfaces: [userError],
    fields: (t) => ({
      limit: t.field({ type: 'SafeInt', description: 'The limit.', resolve: (error) => error.limit }),
      actual: t.field({ type: 'SafeInt', description: 'What it was held against.', resolve: (error) => error.actual }),
    }),
  });
};
