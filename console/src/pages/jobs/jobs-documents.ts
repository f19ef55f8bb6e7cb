import { graphql, type ResultOf, type VariablesOf } from '../../api/graphql.ts';
import { USER_ERROR } from '../../api/use-action.ts';

const LAST_RUN = graphql(`
  fragment LastRunParts on Run {
    id
    status
    attempt
    rowsWritten
    bytesWritten
    scheduledFor
    finishedAt
    waitsUntil
    nextAttemptAt
    error {
      code
      message
    }
  }
`);

const LISTED_JOB = graphql(
  `
    fragment ListedJobParts on Job {
      id
      jobName
      enabled
      s3Url
      cron
      scheduledTimeInSeconds
      timeZone
      warnings
      nextRuns(first: 1)
      runs(first: 1) {
        edges {
          node {
            ...LastRunParts
          }
        }
      }
    }
  `,
  [LAST_RUN],
);

export const LIST_JOBS = graphql(
  `
    query ListJobs($first: Int, $after: String, $search: String, $enabled: Boolean) {
      jobs(first: $first, after: $after, search: $search, enabled: $enabled) {
        edges {
          node {
            ...ListedJobParts
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `,
  [LISTED_JOB],
);

/** Up to 20 jobs. */
export const LIST_FAILING_JOBS = graphql(
  `
    query ListFailingJobs {
      overview {
        failingJobCount
        failingRuns {
          id
          job {
            ...ListedJobParts
          }
        }
      }
    }
  `,
  [LISTED_JOB],
);

/** One subscription for all jobs of the account. */
export const FOLLOW_RUNS = graphql(
  `
    subscription FollowRuns {
      runUpdated {
        ...LastRunParts
        job {
          id
        }
      }
    }
  `,
  [LAST_RUN],
);

export const RUN_JOB = graphql(
  `
    mutation RunListedJob($jobId: ID!) {
      runJob(input: { jobId: $jobId }) {
        __typename
        ... on Run {
          ...LastRunParts
        }
        ...UserErrorParts
      }
    }
  `,
  [LAST_RUN, USER_ERROR],
);

export const ENABLE_JOB = graphql(
  `
    mutation EnableJob($id: ID!, $enabled: Boolean!) {
      updateJob(input: { id: $id, enabled: $enabled }) {
        __typename
        ... on Job {
          id
          enabled
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

/** What deleteJob cancels. */
const SETTINGS = graphql(`
  fragment JobSettings on JobConfig {
    aggregationBucket
    bucketOwner
    completeWithin
    compression
    cron
    csvDelimiter
    csvDialect
    description
    email
    enabled
    encryption
    endTimeOffset
    filter {
      dimension
      values
    }
    format
    groupBy
    jobName
    kmsKeyId
    meterApiNames
    minimizeFresh
    range
    region
    rescaleFunction {
      function
      coefficient
    }
    restateAfter
    restateWithin
    restatement
    s3Url
    scheduledTimeInSeconds
    sparse
    timeZone
  }
`);

export const READ_JOB = graphql(
  `
    query ReadJobSettings($id: ID!) {
      job(id: $id) {
        id
        version
        updatedAt
        ...JobSettings
      }
    }
  `,
  [SETTINGS],
);

export const CREATE_JOB = graphql(
  `
    mutation CreateJob($input: CreateJobInput!) {
      createJob(input: $input) {
        __typename
        ... on Job {
          id
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export const UPDATE_JOB = graphql(
  `
    mutation UpdateJob($input: UpdateJobInput!) {
      updateJob(input: $input) {
        __typename
        ... on Job {
          id
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export const CHECK_JOB = graphql(
  `
    mutation CheckJob($id: ID, $input: CreateJobInput!) {
      checkJob(id: $id, input: $input) {
        __typename
        ... on JobCheck {
          job {
            cron
            csvDelimiter
            enabled
            format
            scheduledTimeInSeconds
            timeZone
          }
          nextWindows {
            scheduledFor
            windowStart
            windowEnd
            objectKeys
          }
          objectKeys
          sample
          warnings
          query {
            sql
            groupBy
            meterApiNames
            windowStart
            windowEnd
          }
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export const TEST_DESTINATION = graphql(
  `
    mutation TestDestination($input: TestDestinationInput!) {
      testDestination(input: $input) {
        __typename
        ... on DestinationTest {
          key
        }
        ... on DestinationError {
          reason
          bucketPolicy
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export const SUGGEST_STREAMS = graphql(`
  query SuggestStreams($search: String) {
    streams(first: 100, search: $search) {
      edges {
        node {
          id
          name
          dimensions
        }
      }
    }
  }
`);

export const READ_DIMENSIONS = graphql(`
  query ReadDimensions($name: String!) {
    stream(name: $name) {
      id
      name
      dimensions
    }
  }
`);

export type ListedJob = ResultOf<typeof LIST_JOBS>['jobs']['edges'][number]['node'];
export type LastRun = ListedJob['runs']['edges'][number]['node'];
export type StoredJob = NonNullable<ResultOf<typeof READ_JOB>['job']>;
export type CreateInput = VariablesOf<typeof CREATE_JOB>['input'];
export type CheckResult = ResultOf<typeof CHECK_JOB>['checkJob'];
export type JobCheck = Extract<CheckResult, { __typename: 'JobCheck' }>;
export type NamedStream = NonNullable<ResultOf<typeof READ_DIMENSIONS>['stream']>;
