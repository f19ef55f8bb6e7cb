// Pure: the reference page of errors: error results, top-level errors, issues and errors of runs.
import type { GraphQLEnumType } from 'graphql';
import { escapeMarkdown } from './escape-markdown.ts';

export interface ErrorSources {
  /** The codes of UserError, with their descriptions. */
  readonly errorCode: GraphQLEnumType;
  /** Codes of top-level errors. */
  readonly topLevelCodes: Readonly<Record<string, { readonly status: number; readonly meaning: string }>>;
  /** Codes of issues, with their meanings. */
  readonly issueCodes: Readonly<Record<string, string>>;
  /** Every error that a run can have. */
  readonly runErrors: readonly { readonly code: string; readonly message: string; readonly retryable: boolean }[];
}

function line(code: string, words: string): string {
  return `- \`${code}\`: ${escapeMarkdown(words)}`;
}

const STATUSES = `The status in parentheses is that of a response without \`data\` to a client that accepts \`application/graphql-response+json\`. Clients that accept only \`application/json\` get 200, except for 401, 429, 5xx and requests that contain no operation. A response with \`data\`, including \`null\`, always has 200.

A WebSocket is closed with 4401 if the key is missing or wrong, 4403 after it was revoked, and 1001 when the server shuts down. Messages are in English, regardless of \`Accept-Language\`.`;

export function errorsPage({ errorCode, topLevelCodes, issueCodes, runErrors }: ErrorSources): string {
  return [
    '## Error results',
    'Expected failures are part of the schema: a mutation or a usage query returns a union of its result and typed errors. Each of them implements [UserError](graphql.md#usererror) and has one of these codes. REST routes return the same codes.',
    errorCode
      .getValues()
      .map(({ name, description }) => line(name, description ?? ''))
      .join('\n'),
    '## Top-level errors',
    'Failures of a whole request (no key, invalid JSON, too large, database unavailable) are in `errors`, with one of these codes in `extensions.code`, over HTTP, SSE and WebSocket:',
    Object.entries(topLevelCodes)
      .map(([code, { status, meaning }]) => line(code, `${meaning} (${status})`))
      .join('\n'),
    STATUSES,
    '## Issues',
    'A [ValidationError](graphql.md#validationerror) lists all problems of an input, each with the path of its field and one of these codes:',
    Object.entries(issueCodes)
      .map(([code, words]) => line(code, words))
      .join('\n'),
    '## Errors of runs',
    'The [error](graphql.md#runerror) of a failed run, or of its last attempt, has one of these codes. A run retries errors marked as retryable automatically, with up to five attempts. Every other error ends the run immediately, and its message says what to change.',
    runErrors
      .toSorted((one, other) => (one.code < other.code ? -1 : 1))
      .map(({ code, message, retryable }) => `${line(code, message)}${retryable ? ' (retryable)' : ''}`)
      .join('\n'),
  ].join('\n\n');
}
