import type { Plugin } from 'graphql-yoga';
import { ERROR_CODES, type ErrorCodeInfo } from '../error-codes.ts';

/**
 * GraphQL over HTTP: an answer as application/graphql-response+json that has no data does not say 200. Yoga knows that of
 * documents alone, and not of variables, of subscriptions that cannot begin, and of failures before anything runs.
 */
export const tellStatuses: Plugin = {
  onResultProcess: ({ request, result }) => {
    if (Array.isArray(result) || Symbol.asyncIterator in result) return;
    if (result.data !== undefined || !takesJson(request.headers.get('accept'))) return;
    for (const error of result.errors ?? []) {
      const { code, http } = error.extensions;
      const known = (ERROR_CODES as Readonly<Record<string, ErrorCodeInfo>>)[String(code)];
      // `spec`: application/json says 200 all the same, but where the fault is the server's.
      if (known && http === undefined) {
        Object.assign(error.extensions, { http: { status: known.status, spec: known.status < 500 } });
      }
    }
  },
};

/** A stream of events tells of it in an event. */
export const takesJson = (accept: string | null): boolean => /json|\*/.test(accept ?? '*');
