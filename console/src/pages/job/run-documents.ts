import { graphql, type ResultOf } from '../../api/graphql.ts';
import { USER_ERROR } from '../../api/use-action.ts';

export const RUN_ROW = graphql(`
  fragment JobRunRow on Run {
    id
    status
    trigger
    scheduledFor
    windowStart
    windowEnd
    startedAt
    finishedAt
    attempt
    rowsWritten
    bytesWritten
    revision
    waitsUntil
    nextAttemptAt
    error {
      code
      message
      retryable
    }
  }
`);

const RUN_CHANGES = graphql(`
  fragment JobRunChanges on RunChanges {
    rowsAdded
    rowsChanged
    rowsRemoved
    meters {
      meterApiName
      rowsAdded
      rowsChanged
      rowsRemoved
      valueBefore
      valueAfter
    }
  }
`);

export const LIST_RUNS = graphql(
  `
    query ListRunsOfJob($id: ID!, $status: [RunStatus!], $first: Int, $after: String) {
      job(id: $id) {
        id
        runs(status: $status, first: $first, after: $after) {
          totalCount
          edges {
            node {
              ...JobRunRow
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
  [RUN_ROW],
);

export const READ_RUN = graphql(
  `
    query ReadRun($id: ID!) {
      run(id: $id) {
        ...JobRunRow
        jobName
        job {
          id
          jobName
          timeZone
          s3Url
        }
        complete
        manifestKey
        warnings
        objects {
          key
          rows
          bytes
          sha256
        }
        changes {
          ...JobRunChanges
        }
        delivery {
          id
          state
          revision
        }
        backfill {
          id
        }
      }
    }
  `,
  [RUN_ROW, RUN_CHANGES],
);

export const FOLLOW_RUN = graphql(
  `
    subscription FollowRun($runId: ID!) {
      runUpdated(runId: $runId) {
        ...JobRunRow
      }
    }
  `,
  [RUN_ROW],
);

export const FOLLOW_RUNS = graphql(
  `
    subscription FollowRunsOfJob($jobId: ID!) {
      runUpdated(jobId: $jobId) {
        ...JobRunRow
      }
    }
  `,
  [RUN_ROW],
);

export const CANCEL_RUN = graphql(
  `
    mutation CancelRun($id: ID!) {
      cancelRun(id: $id) {
        __typename
        ... on Run {
          id
          status
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

const DELIVERY_ROW = graphql(`
  fragment JobDeliveryRow on Delivery {
    id
    windowStart
    windowEnd
    state
    revision
    deliveredAt
    complete
    staleSince
    currentRun {
      id
      rowsWritten
    }
  }
`);

export const LIST_DELIVERIES = graphql(
  `
    query ListDeliveriesOfJob(
      $id: ID!
      $state: [DeliveryState!]
      $from: DateTime
      $to: DateTime
      $first: Int
      $after: String
    ) {
      job(id: $id) {
        id
        deliveries(state: $state, from: $from, to: $to, first: $first, after: $after) {
          edges {
            node {
              ...JobDeliveryRow
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
  [DELIVERY_ROW],
);

export const READ_DELIVERY = graphql(
  `
    query ReadDelivery($id: ID!) {
      node(id: $id) {
        __typename
        ... on Delivery {
          ...JobDeliveryRow
          owedUntil
          manifestKey
          job {
            id
            jobName
            timeZone
          }
          pendingOperations {
            id
            kind
            receivedAt
            insertedRecords
            hiddenRecords
            stream {
              name
            }
          }
          runs(first: 50) {
            edges {
              node {
                ...JobRunRow
                changes {
                  ...JobRunChanges
                }
              }
            }
            pageInfo {
              hasNextPage
            }
          }
        }
      }
    }
  `,
  [DELIVERY_ROW, RUN_ROW, RUN_CHANGES],
);

export const REDELIVER = graphql(
  `
    mutation Redeliver($id: ID!) {
      redeliver(deliveryId: $id) {
        __typename
        ... on Run {
          id
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export type RunRow = ResultOf<typeof RUN_ROW>;
export type RunDetails = NonNullable<ResultOf<typeof READ_RUN>['run']>;
export type RunChanges = NonNullable<RunDetails['changes']>;
export type DeliveryRow = ResultOf<typeof DELIVERY_ROW>;
export type DeliveryDetails = Extract<NonNullable<ResultOf<typeof READ_DELIVERY>['node']>, { __typename: 'Delivery' }>;
