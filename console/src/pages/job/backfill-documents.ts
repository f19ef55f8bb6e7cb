import { graphql, type ResultOf } from '../../api/graphql.ts';
import { USER_ERROR } from '../../api/use-action.ts';

const BACKFILL = graphql(`
  fragment JobBackfill on Backfill {
    id
    status
    from
    to
    order
    reprocess
    windows
    delivered
    skipped
    failed
    rowsWritten
    bytesWritten
    createdAt
    finishedAt
    error {
      code
      message
      retryable
    }
  }
`);

export const LIST_BACKFILLS = graphql(
  `
    query ListBackfillsOfJob($id: ID!, $first: Int, $after: String) {
      job(id: $id) {
        id
        backfills(first: $first, after: $after) {
          edges {
            node {
              ...JobBackfill
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
  [BACKFILL],
);

export const LIST_FAILED_RUNS = graphql(`
  query ListFailedRunsOfBackfill($id: ID!) {
    node(id: $id) {
      __typename
      ... on Backfill {
        id
        runs(first: 100, status: [FAILED, CANCELED]) {
          edges {
            node {
              id
              windowStart
              windowEnd
              error {
                code
              }
            }
          }
        }
      }
    }
  }
`);

export const FOLLOW_BACKFILL = graphql(
  `
    subscription FollowBackfill($id: ID!) {
      backfillUpdated(id: $id) {
        ...JobBackfill
      }
    }
  `,
  [BACKFILL],
);

export const PREVIEW_BACKFILL = graphql(
  `
    query PreviewBackfill($input: BackfillInput!) {
      previewBackfill(input: $input) {
        __typename
        ... on BackfillPreview {
          windows
          current
          missing
          stale
          estimatedRows
          estimatedBytes
          firstWindows {
            scheduledFor
            windowStart
            windowEnd
            state
          }
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export const CREATE_BACKFILL = graphql(
  `
    mutation CreateBackfill($input: BackfillInput!) {
      createBackfill(input: $input) {
        __typename
        ... on Backfill {
          id
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export const PAUSE_BACKFILL = graphql(
  `
    mutation PauseBackfill($id: ID!) {
      pauseBackfill(id: $id) {
        __typename
        ...JobBackfill
        ...UserErrorParts
      }
    }
  `,
  [BACKFILL, USER_ERROR],
);

export const RESUME_BACKFILL = graphql(
  `
    mutation ResumeBackfill($id: ID!) {
      resumeBackfill(id: $id) {
        __typename
        ...JobBackfill
        ...UserErrorParts
      }
    }
  `,
  [BACKFILL, USER_ERROR],
);

export const RETRY_BACKFILL = graphql(
  `
    mutation RetryBackfill($id: ID!) {
      retryBackfill(id: $id) {
        __typename
        ...JobBackfill
        ...UserErrorParts
      }
    }
  `,
  [BACKFILL, USER_ERROR],
);

export const CANCEL_BACKFILL = graphql(
  `
    mutation CancelBackfill($id: ID!) {
      cancelBackfill(id: $id) {
        __typename
        ...JobBackfill
        ...UserErrorParts
      }
    }
  `,
  [BACKFILL, USER_ERROR],
);

export type Backfill = ResultOf<typeof BACKFILL>;
export type BackfillPreview = Extract<
  ResultOf<typeof PREVIEW_BACKFILL>['previewBackfill'],
  { __typename: 'BackfillPreview' }
>;
