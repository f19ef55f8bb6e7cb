import type { EnumRef } from '@pothos/core';
import type { JobSettings } from '../../db/json-columns.ts';
import { JOB_DEFAULTS } from '../../jobs/inputs.ts';
import type { Builder } from './builder.ts';
import type { ExtendedTypes } from './connections.ts';
import type { Refs } from './refs.ts';

export interface JobEnums {
  readonly format: EnumRef<ExtendedTypes, JobSettings['format']>;
  readonly compression: EnumRef<ExtendedTypes, JobSettings['compression']>;
}

/** What each setting means, for both inputs. */
const MEANS = {
  jobName: 'Unique in the account: 1 to 255 characters out of `A-Z a-z 0-9 , ( ) -` and blank, no blank at either end.',
  description: 'For people; at most 2,000 characters.',
  enabled: 'False keeps the job and starts nothing on schedule; runJob works all the same.',
  email: 'Hears of every run that ended, not of attempts that will be retried.',
  s3Url:
    '`bucket`, `bucket/path` or `s3://bucket/path`. General purpose buckets only: no ARN, no access point, no directory bucket. Bucket, path and slug (the job name in lower case with hyphens) are unique in a deployment: where a job of any account has them, a ConflictError. A bucket belongs to the account that wrote to it first: where that is another one, a ConflictError too.',
  bucketOwner:
    'The 12 digits of the AWS account that the bucket belongs to. Sent with every object, so that S3 refuses to write where the bucket has come into other hands.',
  format: 'The form of the files.',
  compression: 'How the files are compressed.',
  aggregationBucket: 'What usage is summed by.',
  timeZone: 'IANA time zone name used for buckets, window and cron.',
  range: 'How far before its slot a run begins to read; the start is moved back to the start of its bucket.',
  endTimeOffset: 'How far before its slot a run stops to read; shorter than range. Left out: at the slot.',
  cron: 'The schedule, in the time zone of the job; blanks at its ends are trimmed. Not together with scheduledTimeInSeconds.',
  scheduledTimeInSeconds: 'Unix epoch seconds, in the future, for one run. Not together with cron.',
  meterApiNames: 'Names of streams; null: every stream, also those made later.',
  groupBy:
    'Dimensions, and `element`: the columns of the export, in this order. A dimension that a stream lacks is null there.',
  filter:
    'A record passes where, for each dimension named (or `element`), one of its values is allowed; one whose stream lacks the dimension does not.',
  sparse:
    'False fills every bucket of the window with 0 for each group that occurs in it: 1,000,000 rows at most (a setting).',
  minimizeFresh:
    'True ends the window at a bucket boundary, so that only whole buckets leave. False: the last bucket ends where the window does.',
  rescaleFunction: 'Applied to the sums, in exact decimals.',
} as const;

export const addJobInputs = (builder: Builder, refs: Refs, enums: JobEnums) => ({
  create: builder.inputType('CreateJobInput', {
    description: 'The settings of an export job.',
    fields: (t) => ({
      jobName: t.string({ required: true, description: MEANS.jobName }),
      description: t.string({ description: MEANS.description }),
      enabled: t.boolean({ required: true, defaultValue: JOB_DEFAULTS.enabled, description: MEANS.enabled }),
      email: t.field({ type: 'EmailAddress', description: MEANS.email }),
      s3Url: t.string({ required: true, description: MEANS.s3Url }),
      bucketOwner: t.string({ description: MEANS.bucketOwner }),
      format: t.field({ type: enums.format, required: true, description: MEANS.format }),
      compression: t.field({
        type: enums.compression,
        required: true,
        defaultValue: JOB_DEFAULTS.compression,
        description: MEANS.compression,
      }),
      aggregationBucket: t.field({
        type: refs.aggregationBucket,
        required: true,
        description: MEANS.aggregationBucket,
      }),
      timeZone: t.field({
        type: 'TimeZone',
        required: true,
        defaultValue: JOB_DEFAULTS.timeZone,
        description: MEANS.timeZone,
      }),
      range: t.field({ type: 'AgoDuration', required: true, description: MEANS.range }),
      endTimeOffset: t.field({ type: 'AgoDuration', description: MEANS.endTimeOffset }),
      cron: t.field({ type: 'CronExpression', description: MEANS.cron }),
      scheduledTimeInSeconds: t.field({ type: 'SafeInt', description: MEANS.scheduledTimeInSeconds }),
      meterApiNames: t.stringList({ description: MEANS.meterApiNames }),
      groupBy: t.stringList({ description: MEANS.groupBy }),
      filter: t.field({ type: [refs.dimensionFilterInput], description: MEANS.filter }),
      sparse: t.boolean({ required: true, defaultValue: JOB_DEFAULTS.sparse, description: MEANS.sparse }),
      minimizeFresh: t.boolean({
        required: true,
        defaultValue: JOB_DEFAULTS.minimizeFresh,
        description: MEANS.minimizeFresh,
      }),
      rescaleFunction: t.field({ type: refs.rescaleInput, description: MEANS.rescaleFunction }),
    }),
  }),
  update: builder.inputType('UpdateJobInput', {
    description:
      'Only the fields given change; null clears an optional one, restores the default of one that has a default, and is an issue on a required one.',
    fields: (t) => ({
      id: t.id({ required: true, description: 'The job to change.' }),
      version: t.int({ description: "Where given and not the job's own: a ConflictError." }),
      jobName: t.string({ description: MEANS.jobName }),
      description: t.string({ description: MEANS.description }),
      enabled: t.boolean({ description: MEANS.enabled }),
      email: t.field({ type: 'EmailAddress', description: MEANS.email }),
      s3Url: t.string({ description: MEANS.s3Url }),
      bucketOwner: t.string({ description: MEANS.bucketOwner }),
      format: t.field({ type: enums.format, description: MEANS.format }),
      compression: t.field({ type: enums.compression, description: MEANS.compression }),
      aggregationBucket: t.field({ type: refs.aggregationBucket, description: MEANS.aggregationBucket }),
      timeZone: t.field({ type: 'TimeZone', description: MEANS.timeZone }),
      range: t.field({ type: 'AgoDuration', description: MEANS.range }),
      endTimeOffset: t.field({ type: 'AgoDuration', description: MEANS.endTimeOffset }),
      cron: t.field({ type: 'CronExpression', description: MEANS.cron }),
      scheduledTimeInSeconds: t.field({ type: 'SafeInt', description: MEANS.scheduledTimeInSeconds }),
      meterApiNames: t.stringList({ description: MEANS.meterApiNames }),
      groupBy: t.stringList({ description: MEANS.groupBy }),
      filter: t.field({ type: [refs.dimensionFilterInput], description: MEANS.filter }),
      sparse: t.boolean({ description: MEANS.sparse }),
      minimizeFresh: t.boolean({ description: MEANS.minimizeFresh }),
      rescaleFunction: t.field({ type: refs.rescaleInput, description: MEANS.rescaleFunction }),
    }),
  }),
});
