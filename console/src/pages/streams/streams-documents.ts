import { graphql, type ResultOf } from '../../api/graphql.ts';
import { USER_ERROR } from '../../api/use-action.ts';

const STREAM = graphql(`
  fragment StreamParts on Stream {
    id
    name
    granularity
    dimensions
    firstTimestamp
    lastTimestamp
    completeThrough
    createdAt
    lastOperationAt
  }
`);

export const LIST_STREAMS = graphql(
  `
    query ListStreams($first: Int, $after: String, $search: String) {
      streams(first: $first, after: $after, search: $search) {
        totalCount
        edges {
          node {
            ...StreamParts
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `,
  [STREAM],
);

export const READ_STREAM = graphql(
  `
    query ReadStream($name: String!) {
      stream(name: $name) {
        ...StreamParts
      }
    }
  `,
  [STREAM],
);

export const READ_USAGE = graphql(
  `
    query ReadUsage($input: UsageInput!) {
      usage(input: $input) {
        __typename
        ... on Usage {
          from
          to
          series {
            group {
              dimension
              values
            }
            groupCount
            others
            total
            points {
              bucketStart
              bucketEnd
              value
            }
          }
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export const LIST_RECORDS = graphql(`
  query ListRecords($stream: String!, $first: Int, $after: String, $elementName: String, $from: DateTime, $to: DateTime) {
    stream(name: $stream) {
      id
      records(first: $first, after: $after, elementName: $elementName, from: $from, to: $to) {
        edges {
          node {
            timestamp
            elementName
            filter {
              dimension
              values
            }
            value
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

const OPERATION = graphql(`
  fragment OperationParts on AllocationOperation {
    id
    kind
    receivedAt
    insertedRecords
    hiddenRecords
    firstTimestamp
    lastTimestamp
    completeThrough
    idempotencyKey
    scope {
      from
      to
      elementName
      filter {
        dimension
        values
      }
    }
    reverts {
      id
      kind
      receivedAt
    }
  }
`);

export const LIST_OPERATIONS = graphql(
  `
    query ListOperations($stream: String!, $first: Int, $after: String) {
      stream(name: $stream) {
        id
        operations(first: $first, after: $after) {
          edges {
            node {
              ...OperationParts
            }
          }
          pageInfo {
            hasNextPage
            endCursor
          }
        }
      }
    }
  `,
  [OPERATION],
);

export const READ_OPERATION = graphql(
  `
    query ReadOperation($id: ID!) {
      node(id: $id) {
        __typename
        ... on AllocationOperation {
          ...OperationParts
          stream {
            id
          }
        }
      }
    }
  `,
  [OPERATION],
);

export const PREVIEW_CORRECTION = graphql(
  `
    query PreviewCorrection($input: CorrectionPreviewInput!) {
      previewCorrection(input: $input) {
        __typename
        ... on CorrectionPreview {
          insertedRecords
          hiddenRecords
          changedKeys
          valueBefore
          valueAfter
          staleDeliveries
          keys {
            timestamp
            elementName
            filter {
              dimension
              values
            }
            valueBefore
            valueAfter
          }
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

/** It selects the stream, so that urql reads the facts of its page again. */
export const REVERT_OPERATION = graphql(
  `
    mutation RevertOperation($id: ID!) {
      revertOperation(input: { operationId: $id }) {
        __typename
        ... on AllocationReceipt {
          operation {
            id
            stream {
              id
            }
          }
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

/** It selects the stream, as REVERT_OPERATION does. */
export const REPLACE_VALUE = graphql(
  `
    mutation ReplaceValue($input: AllocationInput!) {
      allocationReplace(input: $input) {
        __typename
        ... on AllocationReceipt {
          operation {
            id
            stream {
              id
            }
          }
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export const DELETE_STREAM = graphql(
  `
    mutation DeleteStream($name: String!) {
      deleteStream(name: $name) {
        __typename
        ... on DeletedStream {
          deletedId
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export type Stream = ResultOf<typeof LIST_STREAMS>['streams']['edges'][number]['node'];
export type Operation = NonNullable<ResultOf<typeof LIST_OPERATIONS>['stream']>['operations']['edges'][number]['node'];
export type LiveRecord = NonNullable<ResultOf<typeof LIST_RECORDS>['stream']>['records']['edges'][number]['node'];
export type CorrectionPreview = Extract<
  ResultOf<typeof PREVIEW_CORRECTION>['previewCorrection'],
  { __typename: 'CorrectionPreview' }
>;
