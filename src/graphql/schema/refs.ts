import type { ApiKeyRow } from '../../accounts/keys.ts';
import type { DimensionValues, Rescale, RunFailure } from '../../db/json-columns.ts';
import type { DeliveryRow } from '../../deliveries/delivery.ts';
import type { JobRow } from '../../jobs/jobs.ts';
import type { BackfillRow } from '../../runs/backfills/progress.ts';
import type { RunRow } from '../../runs/runs.ts';
import type { OperationRow, StreamRow } from '../../streams/stream-rows.ts';
import type { Builder } from './builder.ts';
import { addPageInfo, addConnection } from './connections.ts';
import { GLOBAL_ID } from './descriptions.ts';
import { addLedgerMomentInput } from './ledger-moment.ts';

/** Declares the types that several files use. The files implement them, so that they need not import each other. */
export function declareRefs(builder: Builder) {
  const pageInfo = addPageInfo(builder);
  const stream = builder.objectRef<StreamRow>('Stream');
  const operation = builder.objectRef<OperationRow>('AllocationOperation');
  const job = builder.objectRef<JobRow>('Job');
  const run = builder.objectRef<RunRow>('Run');
  const delivery = builder.objectRef<DeliveryRow>('Delivery');
  const backfill = builder.objectRef<BackfillRow>('Backfill');
  const apiKey = builder.objectRef<ApiKeyRow>('ApiKey');
  const dimensionFilter = builder.objectRef<DimensionValues>('DimensionFilter').implement({
    description: 'Dimension with values. Matches if the dimension has one of the values.',
    fields: (t) => ({
      dimension: t.exposeString('dimension', { description: 'Name of the dimension.' }),
      values: t.exposeStringList('values', {
        description: 'Values of the dimension. Those of stored records are distinct and sorted bytewise.',
      }),
    }),
  });
  const dimensionFilterInput = builder.inputType('DimensionFilterInput', {
    description: 'Dimension with values. Dimensions combine with AND, the values of one dimension with OR.',
    fields: (t) => ({
      dimension: t.string({
        required: true,
        description: 'Name of the dimension: 1 to 256 characters without control characters, stored unchanged.',
      }),
      values: t.stringList({
        required: true,
        description:
          'Values of the dimension, each of 1 to 256 characters. A record has 1 to 20 of them. Repeated values are merged.',
      }),
    }),
  });
  return {
    node: builder.interfaceRef<object>('Node').implement({
      description: 'Object with a global id.',
      fields: (t) => ({
        id: t.id({
          description: GLOBAL_ID,
          resolve: () => {
            throw new Error('Each type resolves its own id.');
          },
        }),
      }),
    }),
    pageInfo,
    stream,
    operation,
    job,
    run,
    delivery,
    backfill,
    runError: builder.objectRef<RunFailure>('RunError'),
    deliveryState: addDeliveryState(builder),
    apiKey,
    dimensionFilter,
    dimensionFilterInput,
    granularity: builder.enumType('Granularity', {
      description: 'Length of the time buckets of a stream. The first request to a stream sets it.',
      values: {
        HOURLY: {
          description:
            'Hour in UTC, which is an instant: in another time zone it counts in the bucket that contains its start.',
        },
        DAILY: { description: 'Calendar date, the same in every time zone.' },
        MONTHLY: { description: 'Calendar month, the same in every time zone.' },
      } as const,
    }),
    aggregationBucket: builder.enumType('AggregationBucket', {
      description: 'Time granularity of the aggregation, in the requested time zone.',
      values: {
        HOUR: { description: 'Hour of the clock.' },
        DAY: { description: 'Calendar day. It has 23 or 25 hours when daylight saving time starts or ends.' },
        WEEK: { description: 'ISO week, which begins on Monday.' },
        MONTH: { description: 'Calendar month in the time zone.' },
      } as const,
    }),
    serverSideEncryption: builder.enumType('ServerSideEncryption', {
      description: 'Server-side encryption of exported objects.',
      values: {
        AES256: { description: 'Keys that the store manages (SSE-S3).' },
        KMS: { description: 'A key of AWS KMS (SSE-KMS).' },
      } as const,
    }),
    runStatus: builder.enumType('RunStatus', {
      description:
        'Status of a run: QUEUED, then RUNNING, then SUCCEEDED, FAILED or CANCELED. A run returns to QUEUED between attempts.',
      values: {
        QUEUED: { description: 'The run waits for a worker, or for its next attempt.' },
        RUNNING: { description: 'A worker is writing the export.' },
        SUCCEEDED: { description: 'The export is complete, and so is its manifest.' },
        FAILED: {
          description:
            'The run ended with an error and is not retried. A later slot or runJob can export the window again.',
        },
        CANCELED: {
          description:
            'The run was stopped by cancelRun or deleteJob, was never started (error codes MISSED and SUPERSEDED), or had nothing to write (UNCHANGED, JOB_CHANGED and DELIVERED).',
        },
      } as const,
    }),
    streamConnection: addConnection(builder, pageInfo, stream, {
      name: 'Stream',
      description: 'Page of streams, sorted by name.',
      counted: true,
    }),
    operationConnection: addConnection(builder, pageInfo, operation, {
      name: 'AllocationOperation',
      description: 'Page of operations, newest first.',
      counted: false,
    }),
    jobConnection: addConnection(builder, pageInfo, job, {
      name: 'Job',
      description: 'Page of jobs, newest first.',
      counted: true,
    }),
    runConnection: addConnection(builder, pageInfo, run, {
      name: 'Run',
      description: 'Page of runs, newest first.',
      counted: true,
    }),
    deliveryConnection: addConnection(builder, pageInfo, delivery, {
      name: 'Delivery',
      description: 'Page of deliveries, by the end of the window, newest first.',
      counted: false,
    }),
    backfillConnection: addConnection(builder, pageInfo, backfill, {
      name: 'Backfill',
      description: 'Page of backfills, newest first.',
      counted: false,
    }),
    apiKeyConnection: addConnection(builder, pageInfo, apiKey, {
      name: 'ApiKey',
      description: 'Page of API keys, including revoked ones, newest first.',
      counted: false,
    }),
    ledgerMomentInput: addLedgerMomentInput(builder),
    ...addRescale(builder),
  };
}

function addDeliveryState(builder: Builder) {
  return builder.enumType('DeliveryState', {
    description: 'Whether the file in the S3 bucket is what the job would write now.',
    values: {
      MISSING: { description: 'The window was never delivered: its runs wait, failed, were canceled or missed.' },
      CURRENT: { description: 'No operation since the delivery has changed what it is responsible for.' },
      TOUCHED: {
        description:
          'An operation has touched its buckets. Whether its rows differ is checked after restateAfter of the job.',
      },
      STALE: { description: 'Its rows differ from the ledger.' },
      SUPERSEDED: { description: 'Windows that were delivered later own all of its whole buckets.' },
      RETIRED: { description: 'The output of the job has changed since, or the job is deleted.' },
    } as const,
  });
}

function addRescale(builder: Builder) {
  const name = builder.enumType('RescaleFunctionName', {
    description: 'Function that is applied to sums.',
    values: { MULTIPLY: { description: 'Multiplies by the coefficient.' } } as const,
  });
  return {
    rescaleInput: builder.inputType('RescaleFunctionInput', {
      description: 'Function that rescales sums in exact decimal arithmetic.',
      fields: (t) => ({
        function: t.field({ type: name, required: true, description: 'Function to apply.' }),
        coefficient: t.field({
          type: 'Decimal',
          required: true,
          description: 'Number that sums are multiplied by. Up to 38 significant digits; may be negative.',
        }),
      }),
    }),
    rescale: builder.objectRef<Rescale>('RescaleFunction').implement({
      description: 'Function that rescales sums in exact decimal arithmetic.',
      fields: (t) => ({
        function: t.expose('function', { type: name, description: 'Function to apply.' }),
        coefficient: t.expose('coefficient', { type: 'Decimal', description: 'Number that sums are multiplied by.' }),
      }),
    }),
  };
}

export type Refs = ReturnType<typeof declareRefs>;
