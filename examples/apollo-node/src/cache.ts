import { InMemoryCache } from '@apollo/client';
import { relayStylePagination } from '@apollo/client/utilities';
import { possibleTypes } from './possible-types.ts';

const ENDED: ReadonlySet<string> = new Set(['SUCCEEDED', 'FAILED', 'CANCELED']);
export const hasEnded = (status: string): boolean => ENDED.has(status);

/**
 * Every Node is kept once, by its id, whatever brings it: so an event of a subscription is what all queries read from then
 * on. Lists are those of Relay; keyArgs are the arguments that make another list, and not another page of it.
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
          // A run that a list or an event brought need not be fetched by its id.
          run: (existing, { args, toReference }) => existing ?? toReference({ __typename: 'Run', id: args?.['id'] }),
          job: (existing, { args, toReference }) => existing ?? toReference({ __typename: 'Job', id: args?.['id'] }),
        },
      },
      Job: { keyFields: ['id'], fields: { runs: relayStylePagination(['status']) } },
      Run: {
        keyFields: ['id'],
        fields: {
          // An answer that was on its way while the event of the end overtook it does not take the end back.
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
