import { randomUUID } from 'node:crypto';
import { GraphQLError } from 'graphql';
import type { Logger } from 'pino';
import { isUnavailable } from '../db/failures.ts';
import { BadUserInputError, UnavailableError } from '../errors.ts';

/** Seconds after which a client may try again while the database is away. */
export const RETRY_AFTER_SECONDS = 5;

/**
 * What a client sees of an error that is no typed result. Errors written for clients pass; the rest is masked, with an id
 * that stands in the log beside the cause. It masks by itself and not by NODE_ENV, which unmasks where it says development.
 */
export const createErrorMapper =
  (log: Logger) =>
  (error: unknown): GraphQLError => {
    const original = error instanceof GraphQLError ? (error.originalError ?? null) : error;
    const where =
      error instanceof GraphQLError
        ? { nodes: error.nodes, source: error.source, positions: error.positions, path: error.path }
        : {};
    if (error instanceof GraphQLError && (original === null || original instanceof GraphQLError)) {
      return error.extensions['code'] === undefined
        ? new GraphQLError(error.message, { ...where, extensions: { ...error.extensions, code: 'BAD_USER_INPUT' } })
        : error;
    }
    if (original instanceof BadUserInputError) {
      return new GraphQLError(original.message, { ...where, extensions: { code: 'BAD_USER_INPUT' } });
    }
    if (original instanceof UnavailableError || isUnavailable(original)) {
      log.warn({ err: original }, 'a request met a database that is away');
      return new GraphQLError(
        'The service cannot reach its database right now. Nothing was changed; try again in a few seconds.',
        {
          ...where,
          extensions: {
            code: 'UNAVAILABLE',
            http: { status: 503, headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) } },
          },
        },
      );
    }
    const errorId = randomUUID();
    log.error({ err: original, errorId }, 'unexpected error in a request');
    return new GraphQLError(
      `Something unexpected happened. The operator finds the cause in the log under ${errorId}.`,
      {
        ...where,
        extensions: { code: 'INTERNAL', errorId },
      },
    );
  };
