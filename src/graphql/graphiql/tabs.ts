// Pure: the tabs of GraphiQL: the example operations with their variables.
import { DELIVERIES, EXPORT_JOB, FOLLOW_RUNS, KEYS, READ_USAGE, SEND_USAGE, WHO_AM_I } from './example-operations.ts';

export interface GraphiqlTab {
  readonly query: string;
  readonly variables?: string;
}

/** The pages in docs/ use other names, because readers run both on one server. */
const STREAM = 'compute-hours';

/** The editor of GraphiQL reports an error if a non-null field is missing in a variable, even if the field has a default. */
const USAGE_DEFAULTS = { sparse: true, timeZone: 'UTC' };

export const DAY_MS = 86_400_000;

/** Returns the tabs. Their timestamps are before `now`, so that they are never in the future. */
export function graphiqlTabs(now: Date): GraphiqlTab[] {
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  const day = (offset: number): string => new Date(today + offset * DAY_MS).toISOString().replace('.000Z', 'Z');
  const record = (region: string, elementName: string, value: string) => ({
    timestamp: day(-1),
    granularity: 'DAILY',
    filter: [{ dimension: 'region', values: [region] }],
    elementName,
    value,
  });
  const variables = (values: object): string => JSON.stringify(values, null, 2);
  return [
    { query: WHO_AM_I },
    {
      query: SEND_USAGE,
      variables: variables({
        records: [record('eu', 'hooli', '12.5'), record('us', 'hooli', '4'), record('eu', 'piedpiper', '7.25')],
        through: day(0),
        selectors: [{ timestamp: day(-1), granularity: 'DAILY', elementName: 'hooli' }],
        scope: { from: day(-1), to: day(0) },
        operationId: 'an id from ReplaceDay',
      }),
    },
    {
      query: READ_USAGE,
      variables: variables({
        input: {
          from: day(-7),
          to: day(1),
          aggregationBucket: 'DAY',
          meterApiNames: [STREAM],
          groupBy: ['region', 'element'],
          ...USAGE_DEFAULTS,
        },
        operationId: 'an id from ReadRecords',
        write: {
          delete: { stream: STREAM, records: [{ timestamp: day(-1), granularity: 'DAILY', elementName: 'piedpiper' }] },
        },
      }),
    },
    {
      query: EXPORT_JOB,
      variables: variables({
        job: {
          jobName: 'Compute hours by region',
          s3Url: 's3://exports/compute',
          format: 'CSV',
          aggregationBucket: 'DAY',
          range: 'ago(1d)',
          meterApiNames: [STREAM],
          groupBy: ['region', 'element'],
          cron: '0 2 * * *',
          ...USAGE_DEFAULTS,
          compression: 'NONE',
          csvDialect: 'STANDARD',
          csvDelimiter: 'COMMA',
          strict: false,
          enabled: true,
          minimizeFresh: true,
          restatement: 'AUTOMATIC',
          restateAfter: 'ago(1h)',
          restateWithin: 'ago(35d)',
        },
        jobId: 'an id from ListJobs',
      }),
    },
    { query: FOLLOW_RUNS },
    {
      query: DELIVERIES,
      variables: variables({
        jobId: 'an id from ListDeliveries',
        from: day(-7),
        to: day(0),
        deliveryId: 'an id from ListDeliveries',
      }),
    },
    { query: KEYS, variables: variables({ keyId: 'an id from ListKeys' }) },
  ];
}
