import type { ResultOf, VariablesOf } from '@graphql-typed-document-node/core';
import { graphql } from './generated/index.ts';
import type { Equal, Holds } from './equal.ts';

export const SCALARS = graphql(`
  query Scalars($id: ID!) {
    job(id: $id) {
      id
      jobName
      version
      enabled
      createdAt
      range
      endTimeOffset
      cron
      scheduledTimeInSeconds
      timeZone
      email
      nextRuns
      rescaleFunction {
        coefficient
      }
      runs {
        totalCount
      }
    }
  }
`);

export const CREATE = graphql(`
  mutation Create($input: CreateJobInput!) {
    createJob(input: $input) {
      __typename
    }
  }
`);

type Job = NonNullable<ResultOf<typeof SCALARS>['job']>;
/** The type of each scalar of the API. `npm run types` fails if one is any, unknown or another type. */
export type Received = [
  Holds<Equal<Job['id'], string>>,
  Holds<Equal<Job['jobName'], string>>,
  Holds<Equal<Job['version'], number>>,
  Holds<Equal<Job['enabled'], boolean>>,
  Holds<Equal<Job['createdAt'], string>>,
  Holds<Equal<Job['nextRuns'], string[]>>,
  Holds<Equal<Job['range'], string>>,
  Holds<Equal<Job['endTimeOffset'], string | null>>,
  Holds<Equal<Job['cron'], string | null>>,
  Holds<Equal<Job['timeZone'], string>>,
  Holds<Equal<Job['email'], string | null>>,
  Holds<Equal<Job['scheduledTimeInSeconds'], number | null>>,
  Holds<Equal<Job['runs']['totalCount'], number>>,
  Holds<Equal<NonNullable<Job['rescaleFunction']>['coefficient'], string>>,
];

type Input = VariablesOf<typeof CREATE>['input'];
const job: Input = { jobName: 'a', s3Url: 'b', format: 'CSV', aggregationBucket: 'DAY', range: 'ago(7d)' };
export const accepted: Input[] = [
  { ...job, scheduledTimeInSeconds: 1_800_000_000, rescaleFunction: { function: 'MULTIPLY', coefficient: '0.001' } },
  // @ts-expect-error -- a Decimal is a string: a number has lost its digits before it is sent
  { ...job, rescaleFunction: { function: 'MULTIPLY', coefficient: 0.001 } },
  // @ts-expect-error -- epoch seconds are a number
  { ...job, scheduledTimeInSeconds: '1800000000' },
  // @ts-expect-error -- enums are their names
  { ...job, format: 'XML' },
];
