import type { ResultOf } from 'gql.tada';
import { graphql } from './graphql.ts';

/** All documents select the same fields of a run, so each can be read from the cache. */
const runState = graphql(`
  fragment RunState on Run {
    id
    status
    scheduledFor
    rowsWritten
    manifestKey
    error {
      message
    }
  }
`);
export type RunState = ResultOf<typeof runState>;

export const CREATE_JOB = graphql(`
  mutation CreateJob($input: CreateJobInput!) {
    createJob(input: $input) {
      __typename
      ... on Job {
        id
      }
      ... on UserError {
        message
      }
      ... on ValidationError {
        issues {
          path
          message
        }
      }
    }
  }
`);

export const FIND_JOBS = graphql(`
  query FindJobs($search: String!) {
    jobs(search: $search, first: 100) {
      edges {
        node {
          id
          jobName
        }
      }
    }
  }
`);

export const RUN_JOB = graphql(
  `
    mutation RunJob($jobId: ID!) {
      runJob(input: { jobId: $jobId }) {
        __typename
        ... on Run {
          ...RunState
        }
        ... on UserError {
          message
        }
      }
    }
  `,
  [runState],
);

export const RUNS = graphql(
  `
    query Runs($jobId: ID!, $first: Int!, $after: String) {
      runs(jobId: $jobId, first: $first, after: $after) {
        totalCount
        edges {
          node {
            ...RunState
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `,
  [runState],
);

export const RUN = graphql(
  `
    query Run($id: ID!) {
      run(id: $id) {
        ...RunState
      }
    }
  `,
  [runState],
);

export const NODES = graphql(
  `
    query Nodes($ids: [ID!]!) {
      nodes(ids: $ids) {
        id
        ...RunState
      }
    }
  `,
  [runState],
);

export const RUN_UPDATED = graphql(
  `
    subscription RunUpdated($jobId: ID!) {
      runUpdated(jobId: $jobId) {
        ...RunState
      }
    }
  `,
  [runState],
);
