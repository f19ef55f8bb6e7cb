// Pure: every code that `extensions.code` of a top-level error can have. docs/reference/errors.md is made from it (npm run docs).

export interface ErrorCodeInfo {
  /** HTTP status of a response that has no data. */
  readonly status: number;
  readonly meaning: string;
}

/** In the order of processing: body, document, authorization, execution. */
export const ERROR_CODES = {
  BAD_REQUEST: {
    status: 400,
    meaning:
      'The request is not valid: no JSON, no document, an unknown parameter, or a list of operations. The status is 405 for a mutation sent with GET.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    meaning: 'The body is not `application/json` in UTF-8, or its Content-Encoding is not supported.',
  },
  NOT_ACCEPTABLE: {
    status: 406,
    meaning: 'The client accepts none of the response formats. Subscriptions are sent as `text/event-stream`.',
  },
  BODY_TOO_LARGE: { status: 413, meaning: 'The body exceeds `MAX_BODY_BYTES`. Split the request.' },
  REQUEST_TIMEOUT: { status: 408, meaning: 'The body arrived too slowly or took too long. Nothing was stored.' },
  PERSISTED_QUERY_NOT_FOUND: {
    status: 404,
    meaning: 'Persisted query not found. Send the full document together with its hash.',
  },
  PERSISTED_QUERY_NOT_SUPPORTED: {
    status: 400,
    meaning: 'The server does not store persisted queries. Send full documents.',
  },
  DOCUMENT_NOT_TRUSTED: {
    status: 400,
    meaning: 'The server runs only the documents of `TRUSTED_DOCUMENTS`, and those of its console.',
  },
  GRAPHQL_PARSE_FAILED: { status: 400, meaning: 'Syntax error in the GraphQL document.' },
  DOCUMENT_TOO_LARGE: {
    status: 400,
    meaning: 'The document exceeds a limit, named by `setting` and `limit` beside the code. Request less at a time.',
  },
  GRAPHQL_VALIDATION_FAILED: { status: 400, meaning: 'The document does not match the schema.' },
  OPERATION_RESOLUTION_FAILURE: {
    status: 400,
    meaning: 'The document has no operation with this name, or has several and the request names none.',
  },
  BAD_USER_INPUT: {
    status: 400,
    meaning: 'A variable has the wrong type, or an argument is out of range. The message says what is allowed.',
  },
  UNAUTHENTICATED: { status: 401, meaning: 'The API key is missing, invalid or revoked.' },
  FORBIDDEN: { status: 403, meaning: 'The API key lacks a scope. The message names it.' },
  NOT_FOUND: {
    status: 404,
    meaning:
      'The account does not have the run or job to subscribe to, or the operation or run of the argument `asOf` of `Stream.records`.',
  },
  CONFLICT: { status: 409, meaning: 'The run of the argument `asOf` of `Stream.records` has not started.' },
  HISTORY_GONE: {
    status: 409,
    meaning:
      'The state of the argument `asOf` of `Stream.records` cannot be read: it was purged or never recorded, or the database was restored.',
  },
  TOO_RECENT: {
    status: 409,
    meaning:
      'A transaction that began before that of the operation in the argument `asOf` of `Stream.records` is still open. Retry after a second.',
  },
  LIMIT_EXCEEDED: {
    status: 429,
    meaning:
      'The API key has too many open subscriptions, or the WebSocket too many active operations. End one and retry.',
  },
  RATE_LIMITED: {
    status: 429,
    meaning:
      'The API key sent more records than `INTAKE_RECORDS_PER_SECOND` allows. Retry after the time in Retry-After.',
  },
  STREAM_BUSY: {
    status: 503,
    meaning:
      'Other writes to the stream took longer than `STREAM_WAIT_MS`. Nothing was written. Retry after the time in Retry-After.',
  },
  TIMEOUT: {
    status: 503,
    meaning: 'The request took longer than the server allows. Request less, or retry with the same idempotency key.',
  },
  UNAVAILABLE: {
    status: 503,
    meaning:
      'The database is unavailable or the server is shutting down. Retry, a mutation with the same idempotency key.',
  },
  OVERLOADED: {
    status: 503,
    meaning:
      'The server is at its limit of request bodies (`REQUEST_MEMORY`, `MAX_ANONYMOUS_BODIES`) or of look-ups of unknown keys. Nothing was done. Retry after the time in Retry-After.',
  },
  SLOW_READER: {
    status: 429,
    meaning: 'The client reads a subscription more slowly than runs change. Subscribe to fewer runs.',
  },
  INTERNAL: {
    status: 500,
    meaning: 'Internal server error. The log of the server contains the cause beside the same `errorId`.',
  },
} as const satisfies Readonly<Record<string, ErrorCodeInfo>>;

export type TopLevelCode = keyof typeof ERROR_CODES;
