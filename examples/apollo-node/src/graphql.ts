import { initGraphQLTada } from 'gql.tada';
import type { introspection } from './generated/schema.d.ts';

/** Infers the types of documents from schema.graphql. Nothing generated is needed at run time. */
export const graphql = initGraphQLTada<{
  introspection: introspection;
  // Fragments are not masked, because this is one small program.
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
