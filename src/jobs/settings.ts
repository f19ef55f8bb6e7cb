// Pure: the settings of a job, written once: the type of each, its default, its description and the rules. The GraphQL inputs, the
// REST bodies and the stored settings are derived from them.
import { z } from 'zod';
import type { Rescale } from '../db/json-columns.ts';
import type { IssueCollector } from '../errors/errors.ts';
import type { Clock } from '../lib/clock.ts';
import { findTimeZone, timeZoneProblem } from '../lib/time-zones.ts';
import { findStreamNameProblem } from '../streams/pipeline/inputs.ts';
import {
  validateCoefficient,
  validateGroupBy,
  validateUsageFilter,
  validateBucketCount,
  formatCoefficient,
  usageFields,
} from '../usage/inputs.ts';
import { type HasFields, optional, parseInput, type Rules, withRules } from '../validation/zod-issues.ts';
import { isDestinationProblem, parseS3Url, findKeyProblem } from './destination.ts';
import { findCronProblem } from './schedule/schedule.ts';
import { isShorter, parseAgo, computeWindow } from './schedule/window.ts';

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
      'Destination of the objects: `bucket`, `bucket/path` or `s3://bucket/path`. General purpose buckets only: no ARN, access point or directory bucket. A conflict is returned if another job of the deployment has the same bucket, path and slug, or if the bucket belongs to another account, which is the first one that wrote to it.',
  }),
  bucketOwner: optional(z.string(), null).meta({
    description:
      'Id of the AWS account that owns the bucket, 12 digits. Sent as `x-amz-expected-bucket-owner`; S3 rejects the write if another account owns the bucket. If null, the owner is not checked.',
  }),
  format: z.enum(['JSON', 'CSV', 'NDJSON']).meta({ description: 'File format of the objects.' }),
  compression: optional(z.enum(['NONE', 'GZIP']), 'NONE').meta({
    description: 'Compression of the objects. Defaults to none.',
  }),
  aggregationBucket: usageFields.aggregationBucket,
  timeZone: usageFields.timeZone.meta({
    description: 'IANA time zone used for buckets, window and cron schedule, in upper or lower case. Defaults to UTC.',
  }),
  range: z.string().meta({
    description:
      'How far before its slot the window of a run starts, such as `ago(7d)`. The start is moved back to the start of its bucket.',
  }),
  endTimeOffset: optional(z.string(), null).meta({
    description:
      'How far before its slot the window of a run ends, such as `ago(1d)`. Must be shorter than range. If null, the window ends at the slot.',
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
      'If true, the window ends at a bucket boundary, so that only complete buckets are exported. If false, the last bucket may be partial. Defaults to true.',
  }),
  rescaleFunction: usageFields.rescaleFunction,
} as const;

const JOB_FIELDS = Object.keys(jobFields) as (keyof typeof jobFields)[];

const shape = z.object(jobFields);

/** Settings with their defaults, before the rules were checked. */
export type JobFields = z.output<typeof shape>;

/** The checked settings of a job, with all defaults; copied into each run when it is queued. */
export type JobSettings = DeepReadonly<Omit<JobFields, 'bucketOwner' | 'rescaleFunction'>> & {
  /** Absent in settings that were stored before this field existed. */
  readonly bucketOwner?: string | null;
  readonly rescaleFunction: Rescale | null;
};

type DeepReadonly<Value> = { readonly [Field in keyof Value]: DeepReadonly<Value[Field]> };

declare module '../db/json-columns.ts' {
  interface JsonColumns {
    jobSettings: JobSettings;
  }
}

/** Settings to change. Absent fields stay; null clears an optional setting and restores the default of one that has a default. */
export type JobPatch = DeepReadonly<{ [Field in keyof JobFields]?: JobFields[Field] | null }>;

export interface JobRuleOptions {
  readonly clock: Clock;
  /** Whether the one-off time may have passed, because the job had it before. By default it may not. */
  readonly mayHavePassed?: (seconds: number) => boolean;
  /** Required settings that a change would clear: each is an issue. By default there are none. */
  readonly cleared?: readonly string[];
  /** Converts the path of an issue to the one that the client knows. By default it stays. */
  readonly spellPath?: (job: JobFields, path: readonly string[]) => readonly string[];
}

/** The schema of a job's settings: as sent on the one side, checked and with all defaults on the other. */
export const jobSettings = (options: JobRuleOptions) => withJobRules(shape, options).transform(toSettings);

/**
 * The settings of a job after a change. Throws ValidationError with all problems. Its one-off time may have passed unless it is
 * changed, and a required setting that the patch clears keeps its value for the other rules.
 */
export function patchSettings(previous: JobSettings, patch: JobPatch, clock: Clock): JobSettings {
  const changes = Object.entries(patch).filter(([, value]) => value !== undefined);
  const cleared = changes.filter(([field, value]) => value === null && isRequired(field as keyof JobFields));
  const schema = jobSettings({
    clock,
    mayHavePassed: (seconds) => seconds === previous.scheduledTimeInSeconds,
    cleared: cleared.map(([field]) => field),
  });
  const kept = Object.fromEntries(changes.filter((change) => !cleared.includes(change)));
  return parseInput(schema, { ...previous, ...kept }, ['input']);
}

/** The value of a setting that is left out: null if it is optional, undefined if it is required. */
export const defaultOf = (field: keyof JobFields): unknown => jobFields[field].safeParse(undefined).data;

const isRequired = (field: keyof JobFields): boolean => defaultOf(field) === undefined;

/** Adds the rules to a schema that has the fields of a job, and perhaps others. */
export function withJobRules<Schema extends z.ZodObject>(
  schema: Schema,
  { clock, mayHavePassed = () => false, cleared = [], spellPath }: JobRuleOptions,
): Schema {
  const rules: Rules<JobFields> = (job, has, issues) => {
    for (const field of cleared) issues.add([field], 'REQUIRED', 'Is required and cannot be null.');
    validateNames(job, has, issues);
    validateDestination(job, has, issues);
    if (has('timeZone') && findTimeZone(job.timeZone) === null) {
      issues.add(['timeZone'], 'BAD_TIME_ZONE', timeZoneProblem(job.timeZone));
    }
    validateRange(job, has, clock.now(), issues);
    validateSchedule(job, has, clock.now(), mayHavePassed, issues);
    if (has('groupBy')) validateGroupBy(job.groupBy ?? [], ['groupBy'], issues);
    if (has('filter')) validateUsageFilter(job.filter ?? [], ['filter'], issues);
    if (has('rescaleFunction') && job.rescaleFunction) {
      validateCoefficient(job.rescaleFunction.coefficient, ['rescaleFunction', 'coefficient'], issues);
    }
  };
  return withRules(schema as z.ZodObject, rules as Rules<object>, spellPath as never) as Schema;
}

/** Returns the settings of a job without other fields, in the order of `jobFields`: jsonb does not keep an order. */
export function pickSettings<Settings extends JobFields | JobSettings>(job: Settings): Settings {
  return Object.fromEntries(JOB_FIELDS.map((field) => [field, job[field]])) as Settings;
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

const JOB_NAME = /^[A-Za-z0-9 ,()-]{1,255}$/;
/** The form of an address that mail servers accept; whether it exists is not checked. */
const EMAIL =
  /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
const MAX_EMAIL = 254;
const MAX_DESCRIPTION = 2000;
const MAX_NAMES = 1000;
/** End of the year 9999, the last one of RFC 3339. */
const MAX_EPOCH_SECONDS = 253_402_300_799;

type Has = HasFields<JobFields>;

function validateNames(job: JobFields, has: Has, issues: IssueCollector): void {
  if (has('jobName') && (!JOB_NAME.test(job.jobName) || job.jobName.trim() !== job.jobName)) {
    issues.add(
      ['jobName'],
      'BAD_JOB_NAME',
      'Must have 1 to 255 characters out of A-Z, a-z, 0-9, space, ",", "(", ")" and "-", and no space at either end.',
    );
  }
  if (has('description') && job.description !== null) {
    if (job.description.length > MAX_DESCRIPTION) {
      issues.add(['description'], 'TOO_LONG', `Must have at most ${MAX_DESCRIPTION} characters.`);
    }
    // oxlint-disable-next-line no-control-regex -- PostgreSQL cannot store U+0000 in a text
    if (/\u0000/.test(job.description) || !job.description.isWellFormed()) {
      issues.add(['description'], 'BAD_TEXT', 'Must be valid Unicode text without the character U+0000.');
    }
  }
  if (has('email') && job.email !== null && (job.email.length > MAX_EMAIL || !EMAIL.test(job.email))) {
    issues.add(['email'], 'BAD_EMAIL', 'Must be one email address such as "billing@example.com".');
  }
  if (has('meterApiNames') && job.meterApiNames !== null) validateStreams(job.meterApiNames, issues);
}

function validateStreams(names: readonly string[], issues: IssueCollector): void {
  const path = ['meterApiNames'];
  if (names.length === 0) {
    issues.add(path, 'NO_STREAMS', 'Must name at least one stream. Omit the field to export all streams.');
  }
  if (names.length > MAX_NAMES) {
    issues.add(
      path,
      'TOO_MANY_STREAMS',
      `Must name at most ${MAX_NAMES} streams. Omit the field to export all streams.`,
    );
  }
  const seen = new Set<string>();
  for (const [index, name] of names.slice(0, MAX_NAMES).entries()) {
    const problem = findStreamNameProblem(name);
    if (problem) issues.add([...path, String(index)], 'BAD_STREAM_NAME', problem);
    if (seen.has(name)) issues.add([...path, String(index)], 'DUPLICATE_STREAM', `"${name}" is already in the list.`);
    seen.add(name);
  }
}

function validateDestination(job: JobFields, has: Has, issues: IssueCollector): void {
  if (has('bucketOwner') && job.bucketOwner !== null && !/^\d{12}$/.test(job.bucketOwner)) {
    issues.add(['bucketOwner'], 'BAD_BUCKET_OWNER', 'Must be an AWS account id of 12 digits.');
  }
  const destination = has('s3Url') ? parseS3Url(job.s3Url) : { bucket: '', path: '' };
  const isBad = isDestinationProblem(destination);
  if (isBad) issues.add(['s3Url'], destination.code, destination.message);
  if (!has('jobName')) return;
  // If s3Url is invalid, the length is checked with an empty path, so that only problems of the job name are reported.
  const problem = findKeyProblem(isBad ? '' : destination.path, job.jobName);
  if (problem) issues.add([problem.code === 'BAD_SLUG' ? 'jobName' : 's3Url'], problem.code, problem.message);
}

function validateRange(job: JobFields, has: Has, now: Date, issues: IssueCollector): void {
  const message = 'Must have the form ago(7d): a positive integer and d, h or m; maximum 36,500 days.';
  const rangeIsGood = has('range') && parseAgo(job.range) !== null;
  if (has('range') && !rangeIsGood) issues.add(['range'], 'BAD_RANGE', message);
  const endTimeOffset = has('endTimeOffset') ? job.endTimeOffset : null;
  if (endTimeOffset !== null) {
    if (parseAgo(endTimeOffset) === null) {
      issues.add(['endTimeOffset'], 'BAD_END_TIME_OFFSET', message);
      return;
    }
    if (rangeIsGood && !isShorter(endTimeOffset, job.range)) {
      issues.add(
        ['endTimeOffset'],
        'OFFSET_NOT_SHORTER',
        'Must be shorter than range, because the window would end before it starts.',
      );
      return;
    }
  }
  const timeZone = has('timeZone') ? findTimeZone(job.timeZone) : null;
  if (!rangeIsGood || timeZone === null || !has('aggregationBucket', 'minimizeFresh')) return;
  const window = computeWindow({ ...job, timeZone, endTimeOffset }, now);
  validateBucketCount(window, job.aggregationBucket, timeZone, ['range'], issues);
}

function validateSchedule(
  job: JobFields,
  has: Has,
  now: Date,
  mayHavePassed: (seconds: number) => boolean,
  issues: IssueCollector,
): void {
  const cron = has('cron') ? job.cron : null;
  const seconds = has('scheduledTimeInSeconds') ? job.scheduledTimeInSeconds : null;
  if (cron !== null && seconds !== null) {
    issues.add(['scheduledTimeInSeconds'], 'TWO_SCHEDULES', 'Set cron or scheduledTimeInSeconds, not both.');
  }
  if (cron !== null) {
    // UTC instead of an invalid time zone: whether a cron has a next slot does not depend on the time zone.
    const timeZone = has('timeZone') ? findTimeZone(job.timeZone) : null;
    const problem = findCronProblem(cron, timeZone ?? 'UTC', now);
    if (problem) issues.add(['cron'], 'BAD_CRON', problem);
  }
  if (seconds === null) return;
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > MAX_EPOCH_SECONDS) {
    issues.add(['scheduledTimeInSeconds'], 'BAD_EPOCH_SECONDS', 'Must be whole seconds since 1970, not milliseconds.');
  } else if (seconds * 1000 <= now.getTime() && !mayHavePassed(seconds)) {
    issues.add(['scheduledTimeInSeconds'], 'IN_THE_PAST', 'Must be in the future.');
  }
}
