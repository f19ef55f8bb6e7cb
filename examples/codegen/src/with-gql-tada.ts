import { initGraphQLTada } from 'gql.tada';
import type { introspection } from './generated/tada.d.ts';
import { send } from './send.ts';

export const graphql = initGraphQLTada<{
  introspection: introspection;
  // Without these types, each scalar is unknown.
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

export const USAGE = graphql(`
  query Usage($input: UsageInput!) {
    usage(input: $input) {
      __typename
      ... on Usage {
        series {
          meterApiName
          total
          points {
            bucketStart
            value
          }
        }
      }
      ... on UserError {
        message
      }
    }
  }
`);

export const readUsage = async (): Promise<string[]> => {
  const { usage } = await send(USAGE, {
    input: {
      meterApiNames: ['codegen-example'],
      from: '2026-01-25T00:00:00Z',
      to: '2026-01-26T00:00:00Z',
      aggregationBucket: 'DAY',
    },
  });
  if (usage.__typename !== 'Usage') throw new Error(usage.message);
  return usage.series.flatMap(({ meterApiName, points }) =>
    points.map(({ bucketStart, value }) => `${meterApiName} ${bucketStart} ${value}`),
  );
};
