// Pure: the body of an HTTP error that occurs before GraphQL, in the format of GraphQL errors.

const CODES: Readonly<Record<number, string>> = {
  400: 'BAD_REQUEST',
  406: 'NOT_ACCEPTABLE',
  408: 'REQUEST_TIMEOUT',
  413: 'BODY_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};

const MESSAGES: Readonly<Record<number, string>> = {
  406: 'Accept application/json, or text/event-stream for a subscription.',
};

export function errorBody(status: number, message = MESSAGES[status] ?? 'The request is not valid.'): string {
  return JSON.stringify({ errors: [{ message, extensions: { code: CODES[status] ?? 'BAD_REQUEST' } }] });
}
