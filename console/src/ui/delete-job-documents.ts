import { graphql } from '../api/graphql.ts';
import { USER_ERROR } from '../api/use-action.ts';

export const COUNT_ACTIVE_RUNS = graphql(`
  query CountActiveRuns($id: ID!) {
    job(id: $id) {
      runs(first: 1, status: [QUEUED, RUNNING]) {
        totalCount
      }
    }
  }
`);

export const DELETE_JOB = graphql(
  `
    mutation DeleteJob($id: ID!) {
      deleteJob(id: $id) {
        __typename
        ... on DeletedJob {
          deletedId
        }
        ...UserErrorParts
      }
    }
  `,
  [USER_ERROR],
);
