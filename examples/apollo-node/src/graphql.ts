import { initGraphQLTada } from 'gql.tada';
import type { introspection } from './generated/schema.d.ts';

/** Documents whose types come out of schema.graphql as they are typed; at run time nothing generated is needed. */
export const graphql = initGraphQLTada<{
  introspection: introspection;
  // Fragments are read where they are spread: this is one small program.
  disableMasking: true;
  scalars: {
    AgoDuration: string;
    CronExpression: string;
    DateTime: string;
    Decimal: string;
    EmailAddress: string;
    SafeInt: number;
    TimeZone: string;
  };
}>();
