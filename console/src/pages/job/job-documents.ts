import { graphql, type ResultOf } from '../../api/graphql.ts';
import { USER_ERROR } from '../../api/use-action.ts';
import { RUN_ROW } from './run-documents.ts';

export const READ_JOB = graphql(
  `
    query ReadJob($id: ID!) {
      job(id: $id) {
        id
        version
        jobName
        description
        enabled
        email
        cron
        scheduledTimeInSeconds
        timeZone
        range
        endTimeOffset
        aggregationBucket
        minimizeFresh
        completeWithin
        meterApiNames
        groupBy
        filter {
          dimension
          values
        }
        sparse
        rescaleFunction {
          function
          coefficient
        }
        s3Url
        region
        bucketOwner
        encryption
        kmsKeyId
        format
        compression
        csvDialect
        csvDelimiter
        restatement
        restateAfter
        restateWithin
        warnings
        createdAt
        updatedAt
        nextRuns(first: 1)
        runs(first: 3) {
          totalCount
          edges {
            node {
              ...JobRunRow
            }
          }
        }
        backfills(first: 1) {
          edges {
            node {
              id
              status
              windows
              delivered
              skipped
              failed
            }
          }
        }
      }
    }
  `,
  [RUN_ROW],
);

export const READ_COVERAGE = graphql(`
  query ReadCoverage($id: ID!, $from: DateTime!, $to: DateTime!) {
    job(id: $id) {
      id
      deliveries(first: 100, from: $from, to: $to) {
        edges {
          node {
            id
            windowStart
            windowEnd
            state
          }
        }
      }
      coverage(from: $from, to: $to) {
        from
        to
        delivered {
          from
          to
        }
        stale {
          from
          to
        }
        gaps {
          from
          to
        }
      }
    }
  }
`);

export const RUN_JOB = graphql(
  `
    mutation RunJob($input: RunJobInput!) {
      runJob(input: $input) {
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

/** The bucket policy is a part of its message. */
export const TEST_DESTINATION = graphql(
  `
    mutation TestDestinationOfJob($jobId: ID!) {
      testDestination(input: { jobId: $jobId }) {
        __typename
        ... on DestinationTest {
          key
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);

export type Job = NonNullable<ResultOf<typeof READ_JOB>['job']>;
