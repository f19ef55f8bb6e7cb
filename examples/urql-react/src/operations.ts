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
  finishedAt: string | null;
  rowsWritten: number;
  bytesWritten: number;
  manifestKey: string | null;
  error: { code: string; message: string } | null;
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

/** A problem of the input with its path, such as `['input', 'groupBy', '0']`. */
export interface Issue {
  path: string[];
  code: string;
  message: string;
}

/** The error types of a mutation. */
export type ErrorResult =
  | { __typename: 'ValidationError'; message: string; issues: Issue[] }
  | { __typename: 'ConflictError' | 'NotFoundError' | 'LimitExceededError'; message: string };

export interface JobInput {
  jobName: string;
  s3Url: string;
  format: string;
  aggregationBucket: string;
  range: string;
  cron: string | null;
  timeZone: string;
  meterApiNames: string[] | null;
  groupBy: string[] | null;
  email: string | null;
}

export interface JobCheck {
  __typename: 'JobCheck';
  query: { windowStart: string; windowEnd: string; meterApiNames: string[]; groupBy: string[]; sql: string };
  nextRuns: string[];
  objectKeys: string[];
  sample: string[];
  warnings: string[];
}

const RUN_PARTS = gql`
  fragment RunParts on Run {
    id
    status
    attempt
    windowStart
    windowEnd
    finishedAt
    rowsWritten
    bytesWritten
    manifestKey
    error { code message }
    job { id }
  }
`;

const ERROR_PARTS = gql`
  fragment ErrorParts on UserError {
    __typename
    message
    ... on ValidationError {
      issues { path code message }
    }
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

export const LIST_STREAMS = gql<
  { streams: { edges: { node: { name: string; dimensions: string[] } }[] } },
  Record<string, never>
>`
  query ListStreams {
    streams(first: 100) {
      edges {
        node { id name dimensions }
      }
    }
  }
`;

/** All runs of the account: first the waiting and running ones, then each change. */
export const FOLLOW_RUNS = gql<{ runUpdated: Run }, Record<string, never>>`
  subscription FollowRuns {
    runUpdated { ...RunParts }
  }
  ${RUN_PARTS}
`;

export const CHECK_JOB = gql<{ checkJob: JobCheck | ErrorResult }, { input: JobInput }>`
  mutation CheckJob($input: CreateJobInput!) {
    checkJob(input: $input) {
      ... on JobCheck {
        query { windowStart windowEnd meterApiNames groupBy sql }
        nextRuns
        objectKeys
        sample
        warnings
      }
      ...ErrorParts
    }
  }
  ${ERROR_PARTS}
`;

export const CREATE_JOB = gql<
  { createJob: { __typename: 'Job'; id: string; jobName: string } | ErrorResult },
  { input: JobInput }
>`
  mutation CreateJob($input: CreateJobInput!) {
    createJob(input: $input) {
      ... on Job { id jobName }
      ...ErrorParts
    }
  }
  ${ERROR_PARTS}
`;

export const RUN_JOB = gql<{ runJob: { __typename: 'Run'; id: string } | ErrorResult }, { jobId: string }>`
  mutation RunJob($jobId: ID!) {
    runJob(input: { jobId: $jobId }) {
      ... on Run { id }
      ...ErrorParts
    }
  }
  ${ERROR_PARTS}
`;
