// Pure: the responses with jobs, checks of jobs and runs.
import { z } from 'zod';
import type { DimensionValues, StoredChanges } from '../../db/json-columns.ts';
import { exactNumber } from '../../lib/exact-number.ts';
import { encodeGlobalId } from '../../lib/global-ids.ts';
import type { JobCheck } from '../../jobs/check.ts';
import type { JobRow } from '../../jobs/jobs.ts';
import { type JobSettings, pickSettings } from '../../jobs/settings.ts';
import { formatTimestamp } from '../../lib/timestamps.ts';
import { findNextAttempt, findWaitEnd } from '../../runs/run-status.ts';
import type { RunObjectRow, RunRow } from '../../runs/runs.ts';

const dimensionValues = z.record(z.string(), z.array(z.string()));

const schedulerContext = z
  .object({ nextRunTimesInSeconds: z.array(z.int()) })
  .meta({ description: 'The next slots of the job, in Unix epoch seconds. Empty if the job is disabled.' });

const settings = {
  jobName: z.string(),
  description: z.string().nullable(),
  enabled: z.boolean(),
  email: z.string().nullable(),
  s3Url: z.string(),
  bucketOwner: z.string().nullable(),
  region: z.string().nullable(),
  encryption: z.enum(['aes256', 'kms']).nullable(),
  kmsKeyId: z.string().nullable(),
  format: z.enum(['json', 'csv', 'ndjson', 'parquet']),
  compression: z.enum(['none', 'gzip', 'zstd']),
  csvDialect: z.enum(['standard', 'excel']),
  csvDelimiter: z.enum(['comma', 'semicolon']),
  aggregationBucket: z.enum(['hour', 'day', 'week', 'month']),
  timeZone: z.string(),
  range: z.string(),
  endTimeOffset: z.string().nullable(),
  cron: z.string().nullable(),
  scheduledTimeInSeconds: z.int().nullable(),
  meterApiNames: z.array(z.string()).nullable(),
  groupBy: z.array(z.string()).nullable(),
  filter: dimensionValues.nullable(),
  sparse: z.boolean(),
  minimizeFresh: z.boolean(),
  rescaleFunction: z.object({ function: z.enum(['multiply']), coefficient: z.number() }).nullable(),
  restatement: z.enum(['none', 'automatic']),
  restateAfter: z.string(),
  restateWithin: z.string(),
  completeWithin: z.string().nullable(),
} as const;

const draft = z.object({ ...settings, schedulerContext }).meta({ id: 'JobDraft' });

export const answeredJob = z
  .object({
    id: z.string().meta({ description: 'Opaque and stable id, the same as in GraphQL. Can be used in a URL.' }),
    version: z.int().meta({ description: 'Begins at 1 and is incremented by each update.' }),
    ...settings,
    createTime: z.int().meta({ description: 'Time of creation, in Unix epoch milliseconds.' }),
    warnings: z.array(z.string()).meta({
      description: 'Settings that are valid but probably not intended, as of the last create or update.',
    }),
    updateTime: z.int().meta({ description: 'Time of the last update, in Unix epoch milliseconds.' }),
    schedulerContext,
  })
  .meta({ id: 'Job' });

export const answeredCheck = z
  .object({
    job: draft,
    query: z.object({
      windowStart: z.string(),
      windowEnd: z.string(),
      aggregationBucket: z.enum(['hour', 'day', 'week', 'month']),
      meterApiNames: z.array(z.string()),
      groupBy: z.array(z.string()),
      filter: dimensionValues,
      sql: z.string(),
      parameters: z.array(z.string().nullable()),
    }),
    nextWindows: z
      .array(
        z.object({
          scheduledFor: z.string(),
          windowStart: z.string(),
          windowEnd: z.string(),
          objectKeys: z.array(z.string()),
          manifestKey: z.string(),
        }),
      )
      .meta({ description: 'Windows of the next three slots, with their object keys.' }),
    objectKeys: z.array(z.string()),
    sample: z.array(z.string()),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'JobCheck' });

const changedRows = { rowsAdded: z.int(), rowsRemoved: z.int(), rowsChanged: z.int() } as const;

const answeredChanges = z
  .object({
    ...changedRows,
    meters: z
      .array(z.object({ meterApiName: z.string(), ...changedRows, valueBefore: z.number(), valueAfter: z.number() }))
      .meta({ description: 'Meters whose rows changed, sorted by name. Maximum 1,000.' }),
  })
  .meta({ id: 'RunChanges' });

export const answeredRun = z
  .object({
    id: z.string(),
    jobId: z.string(),
    jobName: z.string(),
    trigger: z.enum(['cron', 'one_off', 'immediate', 'manual', 'restatement', 'backfill']),
    status: z.enum(['queued', 'running', 'succeeded', 'failed', 'canceled']),
    scheduledFor: z.string(),
    windowStart: z.string(),
    windowEnd: z.string(),
    startedAt: z.string().nullable(),
    waitsUntil: z
      .string()
      .nullable()
      .meta({ description: 'When the run starts even if its streams are not complete. Null if it does not wait.' }),
    nextAttemptAt: z
      .string()
      .nullable()
      .meta({ description: 'When the next attempt starts. Null unless the run waits between two attempts.' }),
    finishedAt: z.string().nullable(),
    attempt: z.int(),
    rowsWritten: z.int(),
    bytesWritten: z.int(),
    objects: z.array(z.object({ key: z.string(), rows: z.int(), bytes: z.int(), sha256: z.string() })),
    manifestKey: z.string().nullable(),
    revision: z.int().nullable(),
    changes: answeredChanges.nullable().meta({
      description:
        'Differences from the revision that the run superseded. Null for the first revision, before the run ends, and if they cannot be computed.',
    }),
    complete: z
      .boolean()
      .nullable()
      .meta({ description: 'Whether the streams were declared complete for the window. Null if none counts.' }),
    warnings: z.array(z.string()),
    error: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }).nullable(),
  })
  .meta({ id: 'Run' });

const lower = <Word extends string>(text: Word): Lowercase<Word> => text.toLowerCase() as Lowercase<Word>;

function asObject(filter: readonly DimensionValues[]): Record<string, string[]> {
  return Object.fromEntries(filter.map(({ dimension, values }) => [dimension, [...values]]));
}

function formatSettings(stored: JobSettings) {
  const job = pickSettings(stored);
  return {
    ...job,
    encryption: job.encryption && lower(job.encryption),
    csvDialect: lower(job.csvDialect),
    csvDelimiter: lower(job.csvDelimiter),
    restatement: lower(job.restatement),
    format: lower(job.format),
    compression: lower(job.compression),
    aggregationBucket: lower(job.aggregationBucket),
    meterApiNames: job.meterApiNames && [...job.meterApiNames],
    groupBy: job.groupBy && [...job.groupBy],
    filter: job.filter && asObject(job.filter),
    rescaleFunction: job.rescaleFunction && {
      function: lower(job.rescaleFunction.function),
      coefficient: exactNumber(job.rescaleFunction.coefficient),
    },
  };
}

const inSeconds = (slots: readonly Date[]): number[] => slots.map((slot) => Math.floor(slot.getTime() / 1000));

export function formatJob(job: JobRow, nextSlots: readonly Date[]): z.input<typeof answeredJob> {
  return {
    id: encodeGlobalId('Job', job.id),
    version: job.version,
    ...formatSettings(job.settings),
    createTime: job.createdAt.getTime(),
    warnings: job.warnings,
    updateTime: job.updatedAt.getTime(),
    schedulerContext: { nextRunTimesInSeconds: inSeconds(nextSlots) },
  };
}

export function formatCheck(check: JobCheck): z.input<typeof answeredCheck> {
  return {
    job: { ...formatSettings(check.job), schedulerContext: { nextRunTimesInSeconds: inSeconds(check.nextRuns) } },
    query: {
      ...check.query,
      windowStart: formatTimestamp(check.query.windowStart),
      windowEnd: formatTimestamp(check.query.windowEnd),
      aggregationBucket: lower(check.query.aggregationBucket),
      meterApiNames: [...check.query.meterApiNames],
      groupBy: [...check.query.groupBy],
      filter: asObject(check.query.filter),
      parameters: [...check.query.parameters],
    },
    nextWindows: check.nextWindows.map((window) => ({
      scheduledFor: formatTimestamp(window.scheduledFor),
      windowStart: formatTimestamp(window.windowStart),
      windowEnd: formatTimestamp(window.windowEnd),
      objectKeys: [...window.objectKeys],
      manifestKey: window.manifestKey,
    })),
    objectKeys: [...check.objectKeys],
    sample: [...check.sample],
    warnings: [...check.warnings],
  };
}

export function formatRun(run: RunRow, objects: readonly RunObjectRow[], now: Date): z.input<typeof answeredRun> {
  const waitsUntil = findWaitEnd(run, now);
  const nextAttemptAt = findNextAttempt(run, now);
  return {
    id: encodeGlobalId('Run', run.id),
    jobId: encodeGlobalId('Job', run.jobId),
    jobName: run.settings.jobName,
    trigger: lower(run.trigger),
    status: lower(run.status),
    scheduledFor: formatTimestamp(run.scheduledFor),
    windowStart: formatTimestamp(run.windowStart),
    windowEnd: formatTimestamp(run.windowEnd),
    startedAt: run.startedAt && formatTimestamp(run.startedAt),
    waitsUntil: waitsUntil && formatTimestamp(waitsUntil),
    nextAttemptAt: nextAttemptAt && formatTimestamp(nextAttemptAt),
    finishedAt: run.finishedAt && formatTimestamp(run.finishedAt),
    attempt: run.attempt,
    rowsWritten: run.rowsWritten,
    bytesWritten: run.bytesWritten,
    objects: objects.map(({ key, rows, bytes, sha256 }) => ({ key, rows, bytes, sha256 })),
    manifestKey: run.status === 'SUCCEEDED' ? run.manifestKey : null,
    revision: run.revision,
    changes: run.changes && formatChanges(run.changes),
    complete: run.complete,
    warnings: [...run.warnings],
    error: run.error && { code: run.error.code, message: run.error.message, retryable: run.error.retryable },
  };
}

function formatChanges({ rowsAdded, rowsRemoved, rowsChanged, meters }: StoredChanges) {
  return {
    rowsAdded,
    rowsRemoved,
    rowsChanged,
    meters: meters.map((meter) => ({
      meterApiName: meter.meterApiName,
      rowsAdded: meter.rowsAdded,
      rowsRemoved: meter.rowsRemoved,
      rowsChanged: meter.rowsChanged,
      valueBefore: exactNumber(meter.valueBefore),
      valueAfter: exactNumber(meter.valueAfter),
    })),
  };
}
