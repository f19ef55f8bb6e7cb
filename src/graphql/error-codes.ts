// Pure: every code that `extensions.code` of a top-level error can have. docs/reference/errors.md is made from it (npm run docs).

export interface ErrorCodeWords {
  /** Of an answer without data, where it has a status of its own. */
  readonly status: number;
  readonly meaning: string;
}

/** In the order in which a request meets them: as a body, as a document, as somebody's question, while it runs. */
export const ERROR_CODES = {
  BAD_REQUEST: {
    status: 400,
    meaning: 'No JSON, no document, an unknown parameter, several operations; 405 for a mutation sent with GET.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    meaning: 'The body is not application/json in UTF-8, or its Content-Encoding is unknown.',
  },
  NOT_ACCEPTABLE: {
    status: 406,
    meaning: 'The client accepts no form of the answer; a subscription takes text/event-stream.',
  },
  BODY_TOO_LARGE: { status: 413, meaning: 'Send it in parts; `MAX_BODY_BYTES` is the limit.' },
  REQUEST_TIMEOUT: { status: 408, meaning: 'The body came too slowly, or took too long. Nothing was stored.' },
  PERSISTED_QUERY_NOT_FOUND: {
    status: 404,
    meaning: 'The id or SHA-256 stands for no document here: send the document with its SHA-256.',
  },
  PERSISTED_QUERY_NOT_SUPPORTED: { status: 400, meaning: 'This server keeps no documents: send them from now on.' },
  DOCUMENT_NOT_TRUSTED: { status: 400, meaning: 'The server runs the documents of `TRUSTED_DOCUMENTS` alone.' },
  GRAPHQL_PARSE_FAILED: { status: 400, meaning: 'The document is no GraphQL.' },
  DOCUMENT_TOO_LARGE: {
    status: 400,
    meaning: 'Ask for less at a time: `setting` names the limit beside the code, `limit` says what it is.',
  },
  GRAPHQL_VALIDATION_FAILED: { status: 400, meaning: 'The document does not fit the schema.' },
  OPERATION_RESOLUTION_FAILURE: {
    status: 400,
    meaning: 'The document has no operation of that name; or several, and no name was given.',
  },
  BAD_USER_INPUT: {
    status: 400,
    meaning: 'A variable is of the wrong type, or an argument out of its range; the message says what it may be.',
  },
  UNAUTHENTICATED: { status: 401, meaning: 'No key, or one that is wrong or revoked.' },
  FORBIDDEN: { status: 403, meaning: 'The key lacks a scope; the message names it.' },
  NOT_FOUND: { status: 404, meaning: 'A subscription to a run or job that the account does not have.' },
  LIMIT_EXCEEDED: {
    status: 429,
    meaning: 'Too many subscriptions of the key, or operations of the socket, are open: end one first.',
  },
  RATE_LIMITED: {
    status: 429,
    meaning: 'More records than `INTAKE_RECORDS_PER_SECOND` allow; Retry-After says when to send it again.',
  },
  STREAM_BUSY: {
    status: 503,
    meaning:
      'Other writes to the stream took longer than `STREAM_WAIT_MS`. Nothing was written: send it again after Retry-After.',
  },
  TIMEOUT: {
    status: 503,
    meaning: 'It took longer than the server allows: ask for less, or send it again with its idempotency key.',
  },
  UNAVAILABLE: {
    status: 503,
    meaning: 'The database is away, or the server stops: send it again, a change with its idempotency key.',
  },
  OVERLOADED: {
    status: 503,
    meaning:
      'The server holds as many request bodies as `REQUEST_MEMORY`, `MAX_ANONYMOUS_BODIES` or its look-ups of unknown keys allow. Nothing was done; Retry-After says when to send it again.',
  },
  SLOW_READER: { status: 429, meaning: 'A subscription was read more slowly than runs change: follow fewer of them.' },
  INTERNAL: { status: 500, meaning: "A fault of the server: `errorId` stands beside the cause in the server's log." },
} as const satisfies Readonly<Record<string, ErrorCodeWords>>;

export type TopLevelCode = keyof typeof ERROR_CODES;
