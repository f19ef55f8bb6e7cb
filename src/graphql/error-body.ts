// Pure: the body of an HTTP error that occurs before GraphQL, in the format of GraphQL errors.
import { REJECTION_CODES } from '../http/rejection-codes.ts';

const MESSAGES: Readonly<Record<number, string>> = {
  406: 'Accept application/json, or text/event-stream for a subscription.',
};

const CODES: Readonly<Record<number, string | undefined>> = REJECTION_CODES;

export function errorBody(status: number, message = MESSAGES[status] ?? 'The request is not valid.'): string {
  return JSON.stringify({ errors: [{ message, extensions: { code: CODES[status] ?? CODES[400] } }] });
}
