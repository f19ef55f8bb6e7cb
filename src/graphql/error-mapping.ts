import { GraphQLError } from 'graphql';
import type { TellFailure } from '../http/failures.ts';
import { brief } from '../lib/brief.ts';

/** What the status of the answer says, too, with the time to wait. */
const OF_THE_WHOLE_REQUEST = new Set(['UNAVAILABLE', 'OVERLOADED', 'RATE_LIMITED', 'STREAM_BUSY']);

/** Errors of variables print the value that they are about. */
const MAX_MESSAGE = 1000;

export type ErrorMapper = (error: unknown) => GraphQLError;

/** What a client sees of an error that is no typed result. */
export const createErrorMapper =
  (tell: TellFailure): ErrorMapper =>
  (error) => {
    const original = originalOf(error);
    const answer = (message: string, extensions: Readonly<Record<string, unknown>>): GraphQLError =>
      new GraphQLError(brief(message, MAX_MESSAGE), { ...placeOf(error), extensions });
    if (original instanceof GraphQLError) {
      if (original.extensions['code'] !== undefined) {
        return original === error ? original : answer(original.message, original.extensions);
      }
      if (isOfTheRequest(error, original)) {
        return answer(original.message, { ...original.extensions, code: 'BAD_USER_INPUT' });
      }
    }
    const { code, message, status, retryAfterSeconds, errorId } = tell(original);
    return answer(message, {
      code,
      ...(errorId !== undefined && { errorId }),
      ...(OF_THE_WHOLE_REQUEST.has(code) && {
        http: { status, headers: { 'Retry-After': String(retryAfterSeconds) } },
      }),
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
