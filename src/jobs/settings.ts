// Pure: the settings of a job, written once: the type of each, its default and its description. The GraphQL inputs, the REST bodies
// and the stored settings are derived from them. Their rules are in settings-schema.ts.
import { z } from 'zod';
import type { Rescale } from '../db/json-columns.ts';
import { findTimeZone } from '../lib/time-zones.ts';
import { formatCoefficient, usageFields } from '../usage/inputs.ts';
import { optional } from '../validation/zod-issues.ts';

/** In the order in which APIs show them. */
export const jobFields = {
  jobName: z.string().meta({
    description:
      'Name of the job, unique in the account: 1 to 255 characters out of `A-Z a-z 0-9 , ( ) -` and space, without a space at either end. The slug in object keys is the name in lower case with hyphens.',
  }),
  description: optional(z.string(), null).meta({ description: 'Description of the job. Maximum 2,000 characters.' }),
  enabled: optional(z.boolean(), true).meta({
    description: 'Whether the schedule starts runs. A disabled job still runs on request. Defaults to true.',
  }),
  email: optional(z.string(), null).meta({
    description: 'Email address notified when a run finishes. Not notified about attempts that will be retried.',
  }),
  s3Url: z.string().meta({
    description:
      'Destination of the objects: `bucket`, `bucket/path` or `s3://bucket/path`. General purpose buckets only: no ARN, access point or directory bucket. The path may contain `{yyyy}`, `{MM}`, `{dd}` and `{HH}`, replaced by the start of the window in the time zone of the job, and `{job}`, replaced by the slug, which is then not appended. A conflict is returned if another job of the deployment could write the same object keys, or if the bucket belongs to another account, which is the first one that wrote to it.',
  }),
  bucketOwner: optional(z.string(), null).meta({
    description:
      'Id of the AWS account that owns the bucket, 12 digits. Sent as `x-amz-expected-bucket-owner`; S3 rejects the write if another account owns the bucket. If null, the owner is not checked.',
  }),
  region: optional(z.string(), null).meta({
    description:
      'Region of the bucket, such as `eu-central-1`. If null, the region of the server (`AWS_REGION`) is used. S3-compatible stores have names of their own, such as `auto`.',
  }),
  encryption: optional(z.enum(['AES256', 'KMS']), null).meta({
    description:
      'Server-side encryption that the store is asked for, sent with each object. If null, the default encryption of the bucket applies.',
  }),
  kmsKeyId: optional(z.string(), null).meta({
    description:
      'KMS key of the encryption: key id, key ARN or alias ARN. Only with encryption KMS. If null, S3 uses the key that AWS manages.',
  }),
  format: z.enum(['JSON', 'CSV', 'NDJSON', 'PARQUET']).meta({
    description:
      'File format of the objects. In PARQUET, `value` is a DECIMAL(38, 18), rounded half to even, and dimensions are lists.',
  }),
  compression: optional(z.enum(['NONE', 'GZIP', 'ZSTD']), 'NONE').meta({
    description:
      'Compression of the objects, with the suffix `.gz` or `.zst` in their keys. In Parquet that of the pages, without a suffix. Defaults to NONE.',
  }),
  csvDialect: optional(z.enum(['STANDARD', 'EXCEL']), 'STANDARD').meta({
    description:
      'Dialect of CSV. STANDARD is RFC 4180 with LF. EXCEL has a UTF-8 byte order mark and CRLF, and an apostrophe before texts that a spreadsheet would execute. Only with format CSV. Defaults to STANDARD.',
  }),
  csvDelimiter: optional(z.enum(['COMMA', 'SEMICOLON']), 'COMMA').meta({
    description:
      'Character between the cells of CSV. Excel opens files with SEMICOLON as columns in most of Europe. Only with format CSV. Defaults to COMMA.',
  }),
  aggregationBucket: usageFields.aggregationBucket,
  timeZone: usageFields.timeZone.meta({
    description: 'IANA time zone used for buckets, window and cron schedule, in upper or lower case. Defaults to UTC.',
  }),
  range: z.string().meta({
    description:
      'Window of a run, computed from its slot. `ago(7d)` starts 7 days before the slot, moved back to the start of its bucket. `previous(day)`, `previous(week)` and `previous(month)` are the last whole day, ISO week or month before the slot. `toDate(week)`, `toDate(month)` and `toDate(year)` start with the week, month or year that contains the slot, and are the whole one before if the window would be empty. WEEK buckets require `ago` or a week, MONTH buckets `ago`, a month or a year.',
  }),
  endTimeOffset: optional(z.string(), null).meta({
    description:
      'How far before its slot the window of a run ends, as a duration such as `ago(1d)`. Must be shorter than a range of the form `ago(7d)`; a calendar range is computed from the slot minus this duration. If null, the window ends at the slot.',
  }),
  cron: optional(z.string(), null).meta({
    description:
      'Schedule in the time zone of the job, as a crontab expression of five fields; spaces around it are ignored. Excludes scheduledTimeInSeconds.',
  }),
  scheduledTimeInSeconds: optional(z.number(), null).meta({
    description: 'Time of a single run, in Unix epoch seconds. Must be in the future when it is set. Excludes cron.',
  }),
  meterApiNames: usageFields.meterApiNames.meta({
    description: 'Names of the streams to export. If null, all streams of the account, including those created later.',
  }),
  groupBy: usageFields.groupBy.meta({
    description:
      'Dimensions, or `element`, to group by: columns of the export, in this order. The column is null for a stream without the dimension. Maximum 20.',
  }),
  filter: usageFields.filter,
  sparse: usageFields.sparse,
  minimizeFresh: optional(z.boolean(), true).meta({
    description:
      'If true, the window ends at a bucket boundary, so that only complete buckets are exported. If false, the last bucket may be partial. Does not affect `previous(day)`, `previous(week)` and `previous(month)`, which are always complete. Defaults to true.',
  }),
  rescaleFunction: usageFields.rescaleFunction,
  restatement: optional(z.enum(['NONE', 'AUTOMATIC']), 'AUTOMATIC').meta({
    description:
      'Whether windows that were corrected after their delivery are delivered again automatically. Applies to corrections found after it was switched on. Defaults to AUTOMATIC.',
  }),
  restateAfter: optional(z.string(), 'ago(1h)').meta({
    description:
      'How long corrections are collected before a window is delivered again, as a duration from `ago(1m)` to `ago(24h)`. Defaults to `ago(1h)`.',
  }),
  restateWithin: optional(z.string(), 'ago(35d)').meta({
    description:
      'Age up to which windows are delivered again automatically, counted from their end, as a duration such as `ago(35d)`. Older ones are shown as STALE. Defaults to `ago(35d)`.',
  }),
  completeWithin: optional(z.string(), null).meta({
    description:
      'How long after its slot a scheduled run waits until its streams are declared complete, as a duration of at most `ago(7d)`. Then it delivers anyway. If null, it does not wait.',
  }),
} as const;

/** A field of the inputs of createJob, updateJob and checkJob. Not a setting: it is not stored. */
export const strictField = optional(z.boolean(), false).meta({
  description:
    'If true, a warning is an issue with the code WARNING, and nothing is stored. This includes warnings whose cause may go away, such as a stream that does not exist yet. Defaults to false.',
});

const JOB_FIELDS = Object.keys(jobFields) as (keyof typeof jobFields)[];

export const jobShape = z.object(jobFields);

/** Settings with their defaults, before the rules were checked. */
export type JobFields = z.output<typeof jobShape>;

/** The checked settings of a job, with all defaults; copied into each run when it is queued. */
export type JobSettings = DeepReadonly<Omit<JobFields, LaterField | 'rescaleFunction'>> &
  DeepReadonly<Partial<Pick<JobFields, LaterField>>> & { readonly rescaleFunction: Rescale | null };

/** Fields that are absent in settings which were stored before the field existed: read them with readSetting(). */
type LaterField =
  | 'bucketOwner'
  | 'region'
  | 'encryption'
  | 'kmsKeyId'
  | 'csvDialect'
  | 'csvDelimiter'
  | 'restatement'
  | 'restateAfter'
  | 'restateWithin'
  | 'completeWithin';

type DeepReadonly<Value> = { readonly [Field in keyof Value]: DeepReadonly<Value[Field]> };

declare module '../db/json-columns.ts' {
  interface JsonColumns {
    jobSettings: JobSettings;
  }
}

/** Settings to change. Absent fields stay; null clears an optional setting and restores the default of one that has a default. */
export type JobPatch = DeepReadonly<{ [Field in keyof JobFields]?: JobFields[Field] | null }>;

/** The value of a setting that is left out: null if it is optional, undefined if it is required. */
export const defaultOf = (field: keyof JobFields): unknown => jobFields[field].safeParse(undefined).data;

/**
 * Returns the meaning of a field that is absent because a server stored the settings that did not know it. The owners of such jobs
 * do not expect files to change, so they are not restated. The other fields have their defaults.
 */
const valueIfAbsent = (field: keyof JobFields): unknown => (field === 'restatement' ? 'NONE' : defaultOf(field));

/** Returns the setting, or its meaning if it is absent in settings of an earlier version. */
export function readSetting<Field extends keyof JobFields>(settings: JobSettings, field: Field): JobFields[Field] {
  return (settings[field] ?? valueIfAbsent(field)) as JobFields[Field];
}

export const isRequired = (field: keyof JobFields): boolean => defaultOf(field) === undefined;

/** Returns all settings of a job without other fields, in the order of `jobFields`: jsonb does not keep an order. */
export function pickSettings<Settings extends JobFields | JobSettings>(job: Settings): Required<Settings> {
  return Object.fromEntries(
    JOB_FIELDS.map((field) => [field, job[field] ?? valueIfAbsent(field)]),
  ) as Required<Settings>;
}

/** Checked fields as they are stored; other fields of the value are left out. */
export function toSettings(job: JobFields): JobSettings {
  return {
    ...pickSettings(job),
    timeZone: findTimeZone(job.timeZone) ?? job.timeZone,
    cron: job.cron?.trim() ?? null,
    rescaleFunction: job.rescaleFunction && {
      function: job.rescaleFunction.function,
      coefficient: formatCoefficient(job.rescaleFunction.coefficient),
    },
  };
}
