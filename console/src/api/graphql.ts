import { initGraphQLTada } from 'gql.tada';
import type { introspection } from './schema.generated.ts';

/** Parses a document. The types of its data and variables come from schema.graphql. Fragments are not masked. */
export const graphql = initGraphQLTada<{
  introspection: introspection;
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

export type { FragmentOf, ResultOf, VariablesOf } from 'gql.tada';
