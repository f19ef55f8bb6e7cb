import { InMemoryCache } from '@apollo/client';
import { relayStylePagination } from '@apollo/client/utilities';
import { possibleTypes } from './possible-types.ts';

const ENDED: ReadonlySet<string> = new Set(['SUCCEEDED', 'FAILED', 'CANCELED']);
export const hasEnded = (status: string): boolean => ENDED.has(status);

/**
 * Creates a cache with one entry per id, so all queries read what an event of a subscription wrote. Lists are Relay connections:
 * keyArgs are the arguments that identify a list, as opposed to a page of it.
 */
export const createCache = (): InMemoryCache =>
  new InMemoryCache({
    possibleTypes,
    typePolicies: {
      Query: {
        fields: {
          jobs: relayStylePagination(['enabled', 'search']),
          runs: relayStylePagination(['jobId', 'status']),
          streams: relayStylePagination(['search']),
          // A run that is in the cache from a list or an event is not fetched by its id.
          run: (existing, { args, toReference }) => existing ?? toReference({ __typename: 'Run', id: args?.['id'] }),
          job: (existing, { args, toReference }) => existing ?? toReference({ __typename: 'Job', id: args?.['id'] }),
        },
      },
      Job: { keyFields: ['id'], fields: { runs: relayStylePagination(['status']) } },
      Run: {
        keyFields: ['id'],
        fields: {
          // A late response must not overwrite the final status that an event has written.
          status: {
            merge: (existing: string | undefined, incoming: string) =>
              existing !== undefined && hasEnded(existing) ? existing : incoming,
          },
        },
      },
      Stream: {
        keyFields: ['id'],
        fields: {
          records: relayStylePagination(['from', 'to', 'elementName']),
          operations: relayStylePagination(),
        },
      },
    },
  });
