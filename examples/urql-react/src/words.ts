import type { CombinedError } from 'urql';
import type { Issue, Refusal } from './operations.ts';

/** Issues by the field of the form that they are about: `['input', 'groupBy', '0']` is about groupBy. */
export const issuesByField = (issues: readonly Issue[]): ReadonlyMap<string, readonly Issue[]> =>
  Map.groupBy(issues, ({ path }) => path[1] ?? '');

export const isRefusal = (answer: { __typename: string }): answer is Refusal => answer.__typename.endsWith('Error');

/** What a refusal says beside the issues, which stand at their fields. */
export const wordsOfRefusal = (refusal: Refusal): string => {
  switch (refusal.__typename) {
    case 'ValidationError':
      return refusal.issues.length === 1
        ? 'One thing has to change.'
        : `${refusal.issues.length} things have to change.`;
    case 'ConflictError':
      return `That is taken: ${refusal.message}`;
    case 'NotFoundError':
      return `That is not there any more: ${refusal.message}`;
    case 'LimitExceededError':
      return `That is too much at once: ${refusal.message}`;
  }
};

/** What went wrong where there is no data at all. */
export const wordsOfError = (error: CombinedError): string => {
  switch (error.graphQLErrors[0]?.extensions['code']) {
    case 'UNAUTHENTICATED':
      return 'This key is not known, or was revoked.';
    case 'FORBIDDEN':
      return 'This key may not do that.';
    case 'UNAVAILABLE':
      return 'Sluice is not ready just now. Try again in a moment.';
    case undefined:
      return 'Sluice cannot be reached. Is it running?';
    default:
      return error.graphQLErrors.map(({ message }) => message).join(' ');
  }
};

const NUMBER = new Intl.NumberFormat('en');
const MOMENT = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });

export const count = (value: number): string => NUMBER.format(value);

/** `1.5 kB`; exact below a thousand. */
export const bytes = (value: number): string => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), units.length - 1);
  return `${NUMBER.format(Math.round((value / 1000 ** power) * 10) / 10)} ${units[power]}`;
};

export const moment = (iso: string): string => `${MOMENT.format(new Date(iso))} UTC`;

export const period = (start: string, end: string): string =>
  `${MOMENT.format(new Date(start))} – ${MOMENT.format(new Date(end))} UTC`;
