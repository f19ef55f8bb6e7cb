import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { causeOf, isConflict, isUnavailable, sqlState } from '../db/failures.ts';
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

/** Seconds after which a client may try again while the database is away. */
const RETRY_AFTER_SECONDS = 5;
/** The status that proxies log for requests whose client has gone. */
const CLIENT_GONE = 499;
/** query_canceled: the statement ran into its time limit. */
const STATEMENT_TIMEOUT = '57014';

/** What a caller is told of a failure, whatever language he asked in. */
export interface PublicError {
  readonly code: string;
  readonly message: string;
  /** The HTTP status that says the same. */
  readonly status: number;
  readonly retryAfterSeconds?: number;
  /** Stands in the log beside the cause. */
  readonly errorId?: string;
}

export type ToPublicError = (error: unknown) => PublicError;

const STATUS_OF: Readonly<Record<UserError['code'], number>> = {
  VALIDATION_FAILED: 400,
  NOT_FOUND: 404,
  CONFLICT: 409,
  IDEMPOTENCY_MISMATCH: 409,
  LIMIT_EXCEEDED: 413,
};

/**
 * Failures written for callers pass; the rest is masked, with an id that stands in the log beside the cause. It masks by
 * itself and not by NODE_ENV, which other parts unmask by where it says development.
 */
export const createPublicErrorMapper = (log: Logger): ToPublicError => {
  const toPublicError = createMapper(log);
  return (error) => {
    const publicError = toPublicError(error);
    recordOutcome(publicError.status >= 500 ? 'failed' : 'refused');
    return publicError;
  };
};

const createMapper =
  (log: Logger): ToPublicError =>
  (error) => {
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
    const busy = causeOf(error, AccountBusyError);
    if (busy) {
      return { code: 'UNAVAILABLE', message: busy.message, status: 503, retryAfterSeconds: RETRY_AFTER_SECONDS };
    }
    if (error instanceof UnavailableError || isUnavailable(error)) {
      log.warn({ err: error }, 'a request met a database that is away');
      return {
        code: 'UNAVAILABLE',
        message:
          'The service cannot reach its database right now; try again in a few seconds. Whether a change was stored is not known: with an idempotency key it is safe to send it again.',
        status: 503,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      };
    }
    if (isConflict(error)) {
      log.warn({ err: error }, 'the database rolled back a request: a deadlock or serialization failure');
      return {
        code: 'UNAVAILABLE',
        message: 'The database rolled this back because of a concurrent change; nothing was changed. Send it again.',
        status: 503,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      };
    }
    if (sqlState(error) === STATEMENT_TIMEOUT) {
      log.warn({ err: error }, 'a statement of a request ran into STATEMENT_TIMEOUT_MS');
      return {
        code: 'TIMEOUT',
        message: 'This took longer than the server allows; nothing was changed. Ask for less at a time.',
        status: 503,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      };
    }
    const errorId = randomUUID();
    log.error({ err: error, errorId }, 'unexpected error in a request');
    return {
      code: 'INTERNAL',
      message: `Something unexpected happened. The operator finds the cause in the log under ${errorId}.`,
      status: 500,
      errorId,
    };
  };
