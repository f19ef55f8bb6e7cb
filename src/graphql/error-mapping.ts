import { GraphQLError, type GraphQLErrorExtensions } from 'graphql';
import type { ToPublicError } from '../http/public-errors.ts';
import { truncate } from '../lib/truncate.ts';

/** Codes whose HTTP status and Retry-After apply to the whole response. */
const REQUEST_CODES: ReadonlySet<string> = new Set(['UNAVAILABLE', 'OVERLOADED', 'RATE_LIMITED', 'STREAM_BUSY']);

/** Errors of variables print the value that they are about, those of a body that is not JSON print the body. */
const MAX_MESSAGE = 1000;

export type ErrorMapper = (error: unknown) => GraphQLError;

/** Maps an error that is not a typed result to the top-level error that the client receives. */
export function createErrorMapper(toPublicError: ToPublicError): ErrorMapper {
  return (error) => {
    const original = findOriginal(error);
    const toPublic = (message: string, extensions: Readonly<Record<string, unknown>>): GraphQLError =>
      new GraphQLError(truncate(message, MAX_MESSAGE), { ...readLocation(error), extensions });
    if (original instanceof GraphQLError) {
      if (original.extensions['code'] !== undefined) {
        const extensions = truncateQuoted(original.extensions);
        return original === error && extensions === original.extensions
          ? original
          : toPublic(original.message, extensions);
      }
      if (isRequestError(error, original)) {
        return toPublic(original.message, { ...original.extensions, code: 'BAD_USER_INPUT' });
      }
    }
    const { code, message, status, retryAfterSeconds, errorId } = toPublicError(original);
    return toPublic(message, {
      code,
      ...(errorId !== undefined && { errorId }),
      ...(REQUEST_CODES.has(code) && { http: { status, headers: { 'Retry-After': String(retryAfterSeconds) } } }),
    });
  };
}

/** Yoga quotes a body that is not JSON, whole, in the extension `originalError`: 5 MB of quotes became a response of 10 MB. */
function truncateQuoted(extensions: GraphQLErrorExtensions): GraphQLErrorExtensions {
  const quoted = extensions['originalError'];
  if (typeof quoted !== 'object' || quoted === null || !('message' in quoted)) return extensions;
  return { ...extensions, originalError: { ...quoted, message: truncate(String(quoted.message), MAX_MESSAGE) } };
}

/** Unwraps an error of a resolver, which executors wrap once or twice. */
function findOriginal(error: unknown): unknown {
  let at = error;
  while (at instanceof GraphQLError && at.originalError) at = at.originalError;
  return at;
}

function readLocation(error: unknown) {
  return error instanceof GraphQLError
    ? { nodes: error.nodes, source: error.source, positions: error.positions, path: error.path }
    : {};
}

/**
 * Whether an error without a code is caused by the request. Errors of variables and operation names occur before execution and
 * have no path. Errors of arguments have one. All other errors with a path are faults of the server, and quote values.
 */
function isRequestError(error: unknown, original: GraphQLError): boolean {
  return (error instanceof GraphQLError && error.path === undefined) || original.message.startsWith('Argument "');
}
