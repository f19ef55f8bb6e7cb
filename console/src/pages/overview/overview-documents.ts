import { graphql, type ResultOf } from '../../api/graphql.ts';

export const READ_OVERVIEW = graphql(`
  query ReadOverview {
    overview {
      at
      failingRuns {
        id
        jobName
        windowStart
        windowEnd
        finishedAt
        job {
          id
          timeZone
        }
        error {
          code
          message
        }
      }
      failingJobCount
      attentionDeliveries {
        id
        state
        windowStart
        windowEnd
        staleSince
        job {
          id
          jobName
          timeZone
        }
      }
      staleDeliveryCount
      missingDeliveryCount
      jobsWithWarnings {
        id
        jobName
        warnings
      }
      jobWithWarningsCount
      queueLagSeconds
      runsLast24Hours {
        status
        count
      }
      intake {
        date
        operations
        insertedRecords
        hiddenRecords
      }
      nextSlots {
        scheduledFor
        windowStart
        windowEnd
        job {
          id
          jobName
          timeZone
        }
      }
    }
    runs(first: 5) {
      edges {
        node {
          id
          status
          jobName
          windowStart
          windowEnd
          finishedAt
          rowsWritten
          job {
            id
            timeZone
          }
        }
      }
    }
    jobs(first: 1) {
      edges {
        node {
          id
        }
      }
    }
    streams(first: 6) {
      totalCount
      edges {
        node {
          id
          name
        }
      }
    }
  }
`);

/** All runs of the account: first those that have not ended, then each change. */
export const FOLLOW_STATUSES = graphql(`
  subscription FollowStatuses {
    runUpdated {
      id
      status
    }
  }
`);

export type OverviewData = ResultOf<typeof READ_OVERVIEW>;
export type Overview = OverviewData['overview'];
export type IntakeDay = Overview['intake'][number];
