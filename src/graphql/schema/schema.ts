import type { GraphQLSchema } from 'graphql';
import { addAccounts } from './accounts.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { type BuilderOptions, createBuilder } from './builder.ts';
import { addAllocations } from './allocations.ts';
import { addJobs } from './jobs.ts';
import { addNode } from './node.ts';
import { declareRefs } from './refs.ts';
import { selectPublishedDirectives, removeDraftIntrospection } from './published-introspection.ts';
import { addRuns } from './runs.ts';
import { addScalars } from './scalars.ts';
import { addStreams } from './streams.ts';
import { addUsage } from './usage.ts';
import { addUserErrors } from './user-errors.ts';

export interface SchemaOptions extends BuilderOptions {
  /** Clock of the rules that inputs are validated by. Defaults to the system's. */
  readonly clock?: Clock;
}

/** Builds the schema. Resolvers take their dependencies from the context of the request. */
export function createSchema({ clock = systemClock, ...options }: SchemaOptions = {}): GraphQLSchema {
  const builder = createBuilder(options);
  builder.queryType({ description: 'Queries. They read the data of the account of the API key.' });
  builder.mutationType({
    description: 'Mutations. They return expected failures as typed results. Unexpected failures are top-level errors.',
  });
  builder.subscriptionType({ description: 'Subscriptions, over SSE or WebSocket (protocol graphql-transport-ws).' });
  addScalars(builder);
  addUserErrors(builder);
  const refs = declareRefs(builder);
  addNode(builder, refs);
  addStreams(builder, refs);
  addAllocations(builder, refs);
  addUsage(builder, refs);
  addJobs(builder, refs, clock);
  addRuns(builder, refs, clock);
  addAccounts(builder, refs);
  removeDraftIntrospection();
  return builder.toSchema({ directives: selectPublishedDirectives() });
}
