// Pure: the page on errors: the codes of refusals, of the issues of an input, and of runs.
import type { GraphQLEnumType } from 'graphql';
import { plainWords } from './plain-words.ts';

export interface ErrorSources {
  /** Of UserError, with its descriptions. */
  readonly errorCode: GraphQLEnumType;
  /** Codes of errors at the top of an answer. */
  readonly topLevelCodes: Readonly<Record<string, { readonly status: number; readonly meaning: string }>>;
  /** Codes of issues, and what they say. */
  readonly issueCodes: Readonly<Record<string, string>>;
  /** What the error of a run can be. */
  readonly runErrors: readonly { readonly code: string; readonly message: string; readonly retryable: boolean }[];
}

const line = (code: string, words: string): string => `- \`${code}\`: ${plainWords(words)}`;

export const errorsPage = ({ errorCode, topLevelCodes, issueCodes, runErrors }: ErrorSources): string =>
  [
    '## Refusals',
    'What is expected to go wrong is an answer of its own type, a [UserError](graphql.md#usererror) with one of these codes; the REST routes answer with the same codes.',
    errorCode
      .getValues()
      .map(({ name, description }) => line(name, description ?? ''))
      .join('\n'),
    '## Errors at the top of an answer',
    'What is wrong with a request as such (no key, no JSON, too large, the database away) stands in `errors`, with its code in `extensions.code`:',
    Object.entries(topLevelCodes)
      .map(([code, { status, meaning }]) => line(code, `${meaning} (${status})`))
      .join('\n'),
    '## Issues of an input',
    'A [ValidationError](graphql.md#validationerror) lists what is wrong, each with the path of its field and one of these codes:',
    Object.entries(issueCodes)
      .map(([code, words]) => line(code, words))
      .join('\n'),
    '## Errors of runs',
    'What stands in the [error](graphql.md#runerror) of a run that failed, or of its last attempt. Those that may pass are tried again by themselves, five attempts in all; the others end the run at once, and say what to change.',
    runErrors
      .toSorted((one, other) => (one.code < other.code ? -1 : 1))
      .map(({ code, message, retryable }) => `${line(code, message)}${retryable ? ' (may pass)' : ''}`)
      .join('\n'),
  ].join('\n\n');
