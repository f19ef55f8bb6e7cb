import type { ApiKeyRow } from '../../accounts/keys.ts';
import type { DimensionValues, Rescale } from '../../db/json-columns.ts';
import type { JobRow } from '../../jobs/jobs.ts';
import type { RunRow } from '../../runs/runs.ts';
import type { OperationRow, StreamRow } from '../../streams/stream-rows.ts';
import type { Builder } from './builder.ts';
import { addPageInfo, connectionOf } from './connections.ts';

/** Declares every type that more than one file speaks of; the files implement them. So none imports another. */
export const declareRefs = (builder: Builder) => {
  const pageInfo = addPageInfo(builder);
  const stream = builder.objectRef<StreamRow>('Stream');
  const operation = builder.objectRef<OperationRow>('AllocationOperation');
  const job = builder.objectRef<JobRow>('Job');
  const run = builder.objectRef<RunRow>('Run');
  const apiKey = builder.objectRef<ApiKeyRow>('ApiKey');
  const dimensionFilter = builder.objectRef<DimensionValues>('DimensionFilter').implement({
    description: 'A dimension with values: of those the filter selects what has one of them.',
    fields: (t) => ({
      dimension: t.exposeString('dimension', { description: 'The name of the dimension.' }),
      values: t.stringList({
        description: 'Its values, sorted bytewise where they are stored.',
        resolve: (entry) => [...entry.values],
      }),
    }),
  });
  const dimensionFilterInput = builder.inputType('DimensionFilterInput', {
    description: 'A dimension with values. Dimensions combine with AND, the values of one dimension with OR.',
    fields: (t) => ({
      dimension: t.string({
        required: true,
        description: 'The name: 1 to 256 characters, no control characters, kept as sent.',
      }),
      values: t.stringList({
        required: true,
        description: '1 to 20 values in a record, each of 1 to 256 characters; repeated ones are merged.',
      }),
    }),
  });
  return {
    node: builder.interfaceRef<object>('Node').implement({
      description: 'Anything with an id of its own.',
      fields: (t) => ({
        id: t.id({
          description: 'Opaque, stable, safe in a URL.',
          resolve: () => {
            throw new Error('Each type says its own id.');
          },
        }),
      }),
    }),
    pageInfo,
    stream,
    operation,
    job,
    run,
    apiKey,
    dimensionFilter,
    dimensionFilterInput,
    granularity: builder.enumType('Granularity', {
      description: 'How long a bucket of a stream is; fixed by its first request.',
      values: {
        HOURLY: { description: 'An hour in UTC: a moment, which falls where a time zone puts it.' },
        DAILY: { description: 'A calendar date, the same in every time zone.' },
        MONTHLY: { description: 'A calendar month, the same in every time zone.' },
      } as const,
    }),
    aggregationBucket: builder.enumType('AggregationBucket', {
      description: 'What usage is summed by, in the time zone asked for.',
      values: {
        HOUR: { description: 'An hour of the clock.' },
        DAY: { description: 'A calendar day; 23 or 25 hours long where the clocks change.' },
        WEEK: { description: 'An ISO week: it begins on Monday.' },
        MONTH: { description: 'A calendar month.' },
      } as const,
    }),
    runStatus: builder.enumType('RunStatus', {
      description: 'QUEUED -> RUNNING -> SUCCEEDED, FAILED or CANCELED; RUNNING -> QUEUED between attempts.',
      values: {
        QUEUED: { description: 'Waits for a worker, or between attempts.' },
        RUNNING: { description: 'A worker writes it.' },
        SUCCEEDED: { description: 'Whole: its manifest says complete.' },
        FAILED: { description: 'Ended with an error; a later slot or runJob tries again.' },
        CANCELED: {
          description: 'Stopped by cancelRun or deleteJob, or never started (error codes MISSED, SUPERSEDED).',
        },
      } as const,
    }),
    streamConnection: connectionOf(builder, pageInfo, stream, {
      name: 'Stream',
      description: 'Streams by name.',
      counted: true,
    }),
    operationConnection: connectionOf(builder, pageInfo, operation, {
      name: 'AllocationOperation',
      description: 'Operations, newest first.',
      counted: false,
    }),
    jobConnection: connectionOf(builder, pageInfo, job, {
      name: 'Job',
      description: 'Jobs, newest first.',
      counted: true,
    }),
    runConnection: connectionOf(builder, pageInfo, run, {
      name: 'Run',
      description: 'Runs, newest first.',
      counted: true,
    }),
    apiKeyConnection: connectionOf(builder, pageInfo, apiKey, {
      name: 'ApiKey',
      description: 'Keys, newest first, revoked ones too.',
      counted: false,
    }),
    ...addRescale(builder),
  };
};

const addRescale = (builder: Builder) => {
  const name = builder.enumType('RescaleFunctionName', {
    description: 'What is done to the sums.',
    values: { MULTIPLY: { description: 'Multiplied by the coefficient.' } } as const,
  });
  return {
    rescaleInput: builder.inputType('RescaleFunctionInput', {
      description: 'Rescales the sums, in exact decimals.',
      fields: (t) => ({
        function: t.field({ type: name, required: true, description: 'What is done.' }),
        coefficient: t.field({ type: 'Decimal', required: true, description: 'At most 38 digits; may be negative.' }),
      }),
    }),
    rescale: builder.objectRef<Rescale>('RescaleFunction').implement({
      description: 'How the sums are rescaled, in exact decimals.',
      fields: (t) => ({
        function: t.field({ type: name, description: 'What is done.', resolve: (rescale) => rescale.function }),
        coefficient: t.field({
          type: 'Decimal',
          description: 'What the sums are multiplied by.',
          resolve: (rescale) => rescale.coefficient,
        }),
      }),
    }),
  };
};

export type Refs = ReturnType<typeof declareRefs>;
