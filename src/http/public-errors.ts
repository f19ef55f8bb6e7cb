import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { findCause, isConflict, isUnavailable, sqlState } from '../db/failures.ts';
import { recordOutcome } from './request-context.ts';
import {
  AccountBusyError,
  BadUserInputError,
  ClientGoneError,
  OverloadedError,
  RateLimitedError,
  RequestTimeoutError,
  StreamBusyError,
  UnavailableError,
  UserError,
} from '../errors/errors.ts';

/** Retry-After in seconds while the database is unavailable. */
const RETRY_AFTER_SECONDS = 5;
/** The status that proxies log if the client has disconnected. */
const CLIENT_GONE = 499;
/** query_canceled: the statement exceeded its time limit. */
const STATEMENT_TIMEOUT = '57014';

/** An error as clients may see it, in GraphQL and REST. */
export interface PublicError {
  readonly code: string;
  readonly message: string;
  /** The corresponding HTTP status. */
  readonly status: number;
  readonly retryAfterSeconds?: number;
  /** Identifies the log line that contains the cause. */
  readonly errorId?: string;
}

export type ToPublicError = (error: unknown) => PublicError;

const STATUS_OF: Readonly<Record<UserError['code'], number>> = {
  VALIDATION_FAILED: 400,
  NOT_FOUND: 404,
  CONFLICT: 409,
  IDEMPOTENCY_MISMATCH: 409,
  NOT_REVERTIBLE: 409,
  HISTORY_GONE: 409,
  TOO_RECENT: 409,
  BACKFILL_RUNNING: 409,
  BACKFILL_ENDED: 409,
  LIMIT_EXCEEDED: 413,
  DESTINATION_REFUSED: 409,
};

/**
 * Returns the mapper of errors to what clients may see. Errors that are not written for clients are masked, with an id that is
 * logged together with the cause. They are masked always: NODE_ENV=development, which unmasks errors elsewhere, has no effect.
 */
export function createPublicErrorMapper(log: Logger): ToPublicError {
  const toPublicError = createMapper(log);
  return (error) => {
    const publicError = toPublicError(error);
    recordOutcome(publicError.status >= 500 ? 'failed' : 'refused');
    return publicError;
  };
}

function createMapper(log: Logger): ToPublicError {
  return (error) => {
    if (error instanceof BadUserInputError) return { code: 'BAD_USER_INPUT', message: error.message, status: 400 };
    if (error instanceof UserError) return { code: error.code, message: error.message, status: STATUS_OF[error.code] };
    if (error instanceof RateLimitedError) {
      const { message, retryAfterSeconds } = error;
      return { code: 'RATE_LIMITED', message, status: 429, retryAfterSeconds };
    }
    if (error instanceof OverloadedError) {
      const { message, retryAfterSeconds } = error;
      return { code: 'OVERLOADED', message, status: 503, retryAfterSeconds };
    }
    if (error instanceof RequestTimeoutError) {
      return { code: 'TIMEOUT', message: error.message, status: 503, retryAfterSeconds: RETRY_AFTER_SECONDS };
    }
    if (error instanceof StreamBusyError) {
      return { code: 'STREAM_BUSY', message: error.message, status: 503, retryAfterSeconds: RETRY_AFTER_SECONDS };
    }
    if (error instanceof ClientGoneError) {
      return { code: 'UNAVAILABLE', message: error.message, status: CLIENT_GONE };
    }
    const busy = findCause(error, AccountBusyError);
    if (busy) {
      return { code: 'UNAVAILABLE', message: busy.message, status: 503, retryAfterSeconds: RETRY_AFTER_SECONDS };
    }
    if (error instanceof UnavailableError || isUnavailable(error)) {
      log.warn({ err: error }, 'request failed: database unavailable');
      return {
        code: 'UNAVAILABLE',
        message:
          'The database is temporarily unavailable. A change may or may not have been stored; retry it with the same idempotency key.',
        status: 503,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      };
    }
    if (isConflict(error)) {
      log.warn({ err: error }, 'request failed: the database rolled it back (deadlock or serialization failure)');
      return {
        code: 'UNAVAILABLE',
        message: 'The database rolled the request back because of a concurrent change. Nothing was changed; retry it.',
        status: 503,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      };
    }
    if (sqlState(error) === STATEMENT_TIMEOUT) {
      log.warn({ err: error }, 'request failed: a statement exceeded STATEMENT_TIMEOUT_MS');
      return {
        code: 'TIMEOUT',
        message: 'The request took longer than the server allows. Nothing was changed; request less at a time.',
        status: 503,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      };
    }
    const errorId = randomUUID();
    log.error({ err: error, errorId }, 'unexpected error in a request');
    return {
      code: 'INTERNAL',
      message: `Unexpected error. The log of the server contains the cause under the id ${errorId}.`,
      status: 500,
      errorId,
    };
  };
}
