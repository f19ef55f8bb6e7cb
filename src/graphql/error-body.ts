// Pure: what a request gets that never became an operation, in the form of GraphQL's errors.

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

export const refusal = (status: number, message = MESSAGES[status] ?? 'The request is not valid.'): string =>
  JSON.stringify({ errors: [{ message, extensions: { code: CODES[status] ?? 'BAD_REQUEST' } }] });
