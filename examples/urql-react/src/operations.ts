import { gql } from 'urql';

// The operations of the page with the types of their results. With more operations, generate the types with GraphQL Code
// Generator.

export type RunStatus = 'QUEUED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';

export interface Run {
  id: string;
  status: RunStatus;
  attempt: number;
  windowStart: string;
  windowEnd: string;
  rowsWritten: number;
  bytesWritten: number;
  error: { message: string } | null;
  job: { id: string } | null;
}

export interface Job {
  id: string;
  jobName: string;
  s3Url: string;
  format: string;
  cron: string | null;
  timeZone: string;
  enabled: boolean;
  nextRuns: string[];
  runs: { edges: { node: Run }[] };
}

/** The error types of a mutation. */
export interface ErrorResult {
  __typename: 'ValidationError' | 'ConflictError' | 'NotFoundError' | 'LimitExceededError';
  message: string;
}

const RUN_PARTS = gql`
  fragment RunParts on Run {
    id
    status
    attempt
    windowStart
    windowEnd
    rowsWritten
    bytesWritten
    error { message }
    job { id }
  }
`;

export const WHO_AM_I = gql<{ viewer: { accountName: string; key: { name: string } } }, Record<string, never>>`
  query WhoAmI {
    viewer {
      accountName
      key { name }
    }
  }
`;

export const LIST_JOBS = gql<{ jobs: { totalCount: number; edges: { node: Job }[] } }, Record<string, never>>`
  query ListJobs {
    jobs(first: 50) {
      totalCount
      edges {
        node {
          id
          jobName
          s3Url
          format
          cron
          timeZone
          enabled
          nextRuns(first: 1)
          runs(first: 1) {
            edges {
              node { ...RunParts }
            }
          }
        }
      }
    }
  }
  ${RUN_PARTS}
`;

/** All runs of the account: first the waiting and running ones, then each change. */
export const FOLLOW_RUNS = gql<{ runUpdated: Run }, Record<string, never>>`
  subscription FollowRuns {
    runUpdated { ...RunParts }
  }
  ${RUN_PARTS}
`;

export const RUN_JOB = gql<{ runJob: { __typename: 'Run'; id: string } | ErrorResult }, { jobId: string }>`
  mutation RunJob($jobId: ID!) {
    runJob(input: { jobId: $jobId }) {
      ... on Run { id }
      ... on UserError { __typename message }
    }
  }
`;
