import { graphql } from 'react-relay';

// A page of jobs: a paginated connection, and each job with its runs by id.

export const jobsQuery = graphql`
  query jobsQuery($count: Int!, $search: String) {
    viewer {
      accountName
      key {
        id
        scopes
      }
    }
    ...jobs_list @arguments(count: $count, search: $search)
  }
`;

/** Continues after the last page. */
export const list = graphql`
  fragment jobs_list on Query
  @argumentDefinitions(
    count: { type: "Int", defaultValue: 20 }
    after: { type: "String" }
    search: { type: "String" }
  )
  @refetchable(queryName: "jobsPageQuery") {
    jobs(first: $count, after: $after, search: $search) @connection(key: "jobs_list_jobs", filters: ["search"]) {
      totalCount
      edges {
        cursor
        node {
          id
          ...jobs_row
        }
      }
      pageInfo {
        hasNextPage
        hasPreviousPage
        startCursor
        endCursor
      }
    }
  }
`;

/** Refetched by node(id). */
export const row = graphql`
  fragment jobs_row on Job @refetchable(queryName: "jobsRefetchQuery") {
    jobName
    enabled
    version
    ...jobs_config
    ...jobs_runs
  }
`;

/** On an interface: a job and the draft that checkJob returns are shown in the same way. */
export const config = graphql`
  fragment jobs_config on JobConfig {
    s3Url
    format
    range
    cron
    scheduledTimeInSeconds
    rescaleFunction {
      function
      coefficient
    }
  }
`;

/** A connection of a node is paginated by node(id). */
export const runs = graphql`
  fragment jobs_runs on Job
  @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, after: { type: "String" })
  @refetchable(queryName: "jobsRunsPageQuery") {
    runs(first: $count, after: $after) @connection(key: "jobs_runs_runs") {
      edges {
        node {
          id
          status
          scheduledFor
          rowsWritten
        }
      }
    }
  }
`;

/** Adds the new job to the list. */
export const createMutation = graphql`
  mutation jobsCreateMutation($input: CreateJobInput!, $connections: [ID!]!) {
    createJob(input: $input) @prependNode(connections: $connections, edgeTypeName: "JobEdge") {
      __typename
      ... on Job {
        id
        ...jobs_row @alias
      }
      ... on ValidationError {
        issueCount
        issues {
          path
          code
          message
        }
      }
      ... on UserError {
        code
        message
      }
    }
  }
`;

/** Removes the record from the store and from all lists. */
export const deleteMutation = graphql`
  mutation jobsDeleteMutation($id: ID!, $connections: [ID!]!) {
    deleteJob(id: $id) {
      __typename
      ... on DeletedJob {
        deletedId @deleteRecord @deleteEdge(connections: $connections)
      }
      ... on UserError {
        code
        message
      }
    }
  }
`;

/** Updates the run in the store by its id. */
export const runSubscription = graphql`
  subscription jobsRunSubscription($runId: ID!) {
    runUpdated(runId: $runId) {
      id
      status
      rowsWritten
      finishedAt
      error {
        code
        message
        retryable
      }
    }
  }
`;
