import type { CombinedError } from 'urql';
import type { ErrorResult } from './operations.ts';

export const isErrorResult = (result: { __typename: string }): result is ErrorResult =>
  result.__typename.endsWith('Error');

/** Returns the message of a response without data. */
export const formatError = (error: CombinedError): string => {
  switch (error.graphQLErrors[0]?.extensions['code']) {
    case 'UNAUTHENTICATED':
      return 'This key is unknown or was revoked.';
    case 'FORBIDDEN':
      return 'This key lacks the required scope.';
    case 'UNAVAILABLE':
      return 'Sluice is unavailable. Try again later.';
    case undefined:
      return 'Cannot connect to Sluice. Is it running?';
    default:
      return error.graphQLErrors.map(({ message }) => message).join(' ');
  }
};

const NUMBER = new Intl.NumberFormat('en');
const TIME = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });

export const formatCount = (value: number): string => NUMBER.format(value);

/** `1.5 kB`; exact below 1,000 bytes. */
export const formatBytes = (value: number): string => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), units.length - 1);
  return `${NUMBER.format(Math.round((value / 1000 ** power) * 10) / 10)} ${units[power]}`;
};

export const formatTime = (iso: string): string => `${TIME.format(new Date(iso))} UTC`;

export const formatPeriod = (start: string, end: string): string =>
  `${TIME.format(new Date(start))} – ${TIME.format(new Date(end))} UTC`;
