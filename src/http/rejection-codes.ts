// Pure: the error codes of requests that are rejected because of their headers or body, in both APIs.

export const REJECTION_CODES: Readonly<Record<400 | 406 | 408 | 413 | 415, string>> = {
  400: 'BAD_REQUEST',
  406: 'NOT_ACCEPTABLE',
  408: 'REQUEST_TIMEOUT',
  413: 'BODY_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};
