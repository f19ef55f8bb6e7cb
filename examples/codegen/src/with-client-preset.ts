import { graphql } from './generated/index.ts';
import { send } from './send.ts';

export const ADD_USAGE = graphql(`
  mutation AddUsage($input: AllocationInput!) {
    allocationSum(input: $input) {
      __typename
      ... on AllocationReceipt {
        replayed
        operation {
          insertedRecords
          receivedAt
        }
      }
      ... on UserError {
        message
      }
    }
  }
`);

export const addUsage = async (): Promise<string> => {
  const { allocationSum } = await send(ADD_USAGE, {
    input: {
      stream: 'codegen-example',
      idempotencyKey: 'codegen-example-1',
      records: [
        // A Decimal is a string, so 0.1 + 0.2 is exact.
        { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'hooli', filter: [], value: '0.1' },
        {
          timestamp: '2026-01-25T00:00:00Z',
          granularity: 'DAILY',
          elementName: 'hooli',
          filter: [],
          value: '12345678901234567890.2',
        },
      ],
    },
  });
  if (allocationSum.__typename !== 'AllocationReceipt') throw new Error(allocationSum.message);
  return `${allocationSum.operation.insertedRecords} records${allocationSum.replayed ? ', replayed' : ''}`;
};
