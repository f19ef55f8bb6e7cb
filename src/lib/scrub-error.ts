// Pure: what the log shows of an error. Messages of database drivers carry the SQL and the values, which are customers'
// records; so of those only the server's own words and codes are kept, and of those no detail that quotes a row.

export interface ScrubbedError {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: ScrubbedError;
}

export const scrubError = (error: unknown): ScrubbedError => {
  if (!(error instanceof Error)) return { type: typeof error, message: 'not an Error' };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const isQuery = 'query' in error && 'params' in error;
  return {
    type: error.constructor.name,
    message: isQuery ? 'a query failed' : error.message,
    ...code,
    // The frames only: the first lines of a stack repeat the message.
    stack: (error.stack ?? '')
      .split('\n')
      .filter((line) => line.startsWith('    at '))
      .join('\n'),
    ...(error.cause instanceof Error && { cause: scrubError(error.cause) }),
  };
};
