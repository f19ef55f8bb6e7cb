import type { Plugin } from 'graphql-yoga';
import { ERROR_CODES, type ErrorCodeInfo } from '../error-codes.ts';

/**
 * Gives a response without data the HTTP status of its error code, as GraphQL over HTTP requires for
 * application/graphql-response+json. Yoga itself does so for errors of the document only, not for those of variables, of
 * subscriptions that cannot start, and before execution.
 */
export function useHttpStatus(): Plugin {
  return {
    onResultProcess: ({ request, result }) => {
      if (Array.isArray(result) || Symbol.asyncIterator in result) return;
      if (result.data !== undefined || !acceptsJson(request.headers.get('accept'))) return;
      for (const error of result.errors ?? []) {
        const { code, http } = error.extensions;
        const known = (ERROR_CODES as Readonly<Record<string, ErrorCodeInfo>>)[String(code)];
        // With `spec`, yoga uses 200 for application/json, which is right unless the server is at fault.
        if (known && http === undefined) {
          Object.assign(error.extensions, { http: { status: known.status, spec: known.status < 500 } });
        }
      }
    },
  };
}

/** Whether the client accepts JSON. An event stream reports an error in an event instead. */
export const acceptsJson = (accept: string | null): boolean => /json|\*/.test(accept ?? '*');
