import type { Issue } from '../errors/errors.ts';

/** Parts of an error response that only some errors have. */
interface ApiErrorDetails {
  /** The first 100 issues. */
  readonly issues?: readonly Issue[];
  readonly issueCount?: number;
  /** From the header Retry-After. */
  readonly retryAfterMs?: number;
}

/** The server responded with an error. Its message is written for users. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** `extensions.code` of the first GraphQL error, or `code` of a REST error. */
  readonly code: string | null;
  readonly status: number;
  readonly details: ApiErrorDetails;

  constructor(message: string, code: string | null, status: number, details: ApiErrorDetails = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.details = details;
  }
}

/** No response arrived, or only part of one. Its message is written for users. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';

  constructor(url: string, cause: unknown) {
    super(`The server at ${url} cannot be reached (${findReason(cause)}).`, { cause });
  }
}

/** The error for a response that Sluice would not send. */
export function unexpectedResponse(url: string, status: number): ApiError {
  return new ApiError(`Unexpected response from ${url} (HTTP ${status}). Is this a Sluice server?`, null, status);
}

/** Returns the system's code, such as ECONNREFUSED, which fetch puts into a cause of its error; otherwise a message. */
function findReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error.cause === undefined ? error.message : findReason(error.cause);
}
