import { randomUUID } from 'node:crypto';
import { GraphQLError } from 'graphql';
import type { Logger } from 'pino';
import { isUnavailable, sqlState } from '../db/failures.ts';
import { BadUserInputError, UnavailableError, UserError } from '../errors.ts';

/** Seconds after which a client may try again while the database is away. */
const RETRY_AFTER_SECONDS = 5;
/** query_canceled: the statement ran into its time limit. */
const STATEMENT_TIMEOUT = '57014';

export type ErrorMapper = (error: unknown) => GraphQLError;

/**
 * What a client sees of an error that is no typed result. Errors written for clients pass; the rest is masked, with an id
 * that stands in the log beside the cause. It masks by itself and not by NODE_ENV, which unmasks where it says development.
 */
export const createErrorMapper =
  (log: Logger): ErrorMapper =>
  (error) => {
    const original = originalOf(error);
    const answer = (message: string, extensions: Readonly<Record<string, unknown>>): GraphQLError =>
      new GraphQLError(message, { ...placeOf(error), extensions });
    if (original instanceof GraphQLError) {
      if (original.extensions['code'] !== undefined) {
        return original === error ? original : answer(original.message, original.extensions);
      }
      if (isOfTheRequest(error, original)) {
        return answer(original.message, { ...original.extensions, code: 'BAD_USER_INPUT' });
      }
    }
    if (original instanceof BadUserInputError) return answer(original.message, { code: 'BAD_USER_INPUT' });
    // Of a field whose result has no place for it. Its message is for the caller all the same.
    if (original instanceof UserError) return answer(original.message, { code: original.code });
    if (original instanceof UnavailableError || isUnavailable(original)) {
      log.warn({ err: original }, 'a request met a database that is away');
      return answer(
        'The service cannot reach its database right now; try again in a few seconds. Whether a change was stored is not known: with an idempotency key it is safe to send it again.',
        { code: 'UNAVAILABLE', http: { status: 503, headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) } } },
      );
    }
    if (sqlState(original) === STATEMENT_TIMEOUT) {
      log.warn({ err: original }, 'a statement of a request ran into STATEMENT_TIMEOUT_MS');
      return answer('This took longer than the server allows; nothing was changed. Ask for less at a time.', {
        code: 'TIMEOUT',
      });
    }
    const errorId = randomUUID();
    log.error({ err: original, errorId }, 'unexpected error in a request');
    return answer(`Something unexpected happened. The operator finds the cause in the log under ${errorId}.`, {
      code: 'INTERNAL',
      errorId,
    });
  };

/** Executors wrap what a resolver threw, some of them twice. */
const originalOf = (error: unknown): unknown => {
  let at = error;
  while (at instanceof GraphQLError && at.originalError) at = at.originalError;
  return at;
};

const placeOf = (error: unknown) =>
  error instanceof GraphQLError
    ? { nodes: error.nodes, source: error.source, positions: error.positions, path: error.path }
    : {};

/**
 * Whether an error without a code speaks of the request. Those of variables and operation names come before anything
 * runs, so without a path; of those with one only those of arguments do. The others are the server's own faults, and
 * quote the values that they stumbled over.
 */
const isOfTheRequest = (error: unknown, original: GraphQLError): boolean =>
  (error instanceof GraphQLError && error.path === undefined) || original.message.startsWith('Argument "');
