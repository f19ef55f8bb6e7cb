// Pure: what the log shows of an error. Messages of database drivers carry the SQL and the values, which are customers'
// records; so of those only the server's own words and codes are kept, and of those no detail that quotes a row.

export interface ScrubbedError {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: ScrubbedError;
}

export function scrubError(error: unknown): ScrubbedError {
  if (!(error instanceof Error)) return { type: typeof error, message: 'not an Error' };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return {
    type: error.constructor.name,
    message: scrubbedMessage(error, code),
    ...(code !== undefined && { code }),
    stack: extractFrames(error),
    ...(error.cause instanceof Error && { cause: scrubError(error.cause) }),
  };
}

function scrubbedMessage(error: Error, code: string | undefined): string {
  if ('query' in error && 'params' in error) return 'a query failed';
  // The server's words for a value that it could not take quote it: value "..." is out of range for type bigint. Up to
  // the last quotation mark, since the value may have some of its own.
  if (code?.startsWith('22')) return error.message.replace(/".*"/s, '"..."');
  // JSON.parse and BigInt show what they were given, and so do the scalars and enums of GraphQL.
  if (error instanceof SyntaxError) return 'a text could not be read';
  return error.name === 'GraphQLError' ? error.message.replace(/:.*/s, ': ...') : error.message;
}

/** Without the message, which the stack begins with: one of several lines may look like frames. */
function extractFrames({ message, stack = '' }: Error): string {
  const end = message === '' ? -1 : stack.indexOf(message);
  return (end === -1 ? stack : stack.slice(end + message.length))
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .join('\n');
}
