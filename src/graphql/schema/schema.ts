import type { GraphQLSchema } from 'graphql';
import { addAccounts } from './accounts.ts';
import type { JobRules } from '../../jobs/settings-schema.ts';
import { systemClock } from '../../lib/clock.ts';
import { type BuilderOptions, createBuilder } from './builder.ts';
import { addAllocations } from './allocations.ts';
import { addBackfills } from './backfills.ts';
import { addCorrectionPreview } from './correction-preview.ts';
import { addDeliveries } from './deliveries.ts';
import { addDestinationTest } from './destination-test.ts';
import { addJobs } from './jobs.ts';
import { addNode } from './node.ts';
import { addOverview } from './overview.ts';
import { declareRefs } from './refs.ts';
import { selectPublishedDirectives, removeDraftIntrospection } from './published-introspection.ts';
import { addRuns } from './runs.ts';
import { addScalars } from './scalars.ts';
import { addStreams } from './streams.ts';
import { addUsage } from './usage.ts';
import { addUserErrors } from './user-errors.ts';

export interface SchemaOptions extends BuilderOptions {
  /** Dependencies of the rules of inputs. Defaults to the system's clock, and to any region. */
  readonly rules?: JobRules;
}

const ANY_REGION: JobRules = { clock: systemClock, findRegionProblem: () => null };

/** Builds the schema. Resolvers take their dependencies from the context of the request. */
export function createSchema({ rules = ANY_REGION, ...options }: SchemaOptions = {}): GraphQLSchema {
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
  addCorrectionPreview(builder, refs, addAllocations(builder, refs));
  addUsage(builder, refs);
  addJobs(builder, refs, rules);
  addRuns(builder, refs, rules.clock);
  addDeliveries(builder, refs);
  addBackfills(builder, refs);
  addDestinationTest(builder, refs, rules);
  addOverview(builder, refs);
  addAccounts(builder, refs);
  removeDraftIntrospection();
  return builder.toSchema({ directives: selectPublishedDirectives() });
}
