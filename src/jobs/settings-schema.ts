// Pure: the schema of a job's settings, with the rules that the types of the fields do not show.
import type { z } from 'zod';
import type { IssueCollector } from '../errors/errors.ts';
import type { Clock } from '../lib/clock.ts';
import { findTimeZone, timeZoneProblem } from '../lib/time-zones.ts';
import { findStreamNameProblem } from '../streams/pipeline/inputs.ts';
import type { AggregationBucket, CalendarUnit } from '../usage/buckets.ts';
import { validateBucketCount, validateCoefficient, validateGroupBy, validateUsageFilter } from '../usage/inputs.ts';
import { type HasFields, parseInput, type Rules, withRules } from '../validation/zod-issues.ts';
import { findKeyProblem, isDestinationProblem, parseS3Url, parseStoredS3Url } from './destination.ts';
import { findCronProblem } from './schedule/schedule.ts';
import {
  BUCKETS_IN_UNIT,
  computeWindow,
  isShorter,
  parseAgo,
  parseAgoMs,
  parseCalendarRange,
} from './schedule/window.ts';
import {
  isRequired,
  type JobFields,
  type JobPatch,
  type JobSettings,
  jobShape,
  pickSettings,
  strictField,
  toSettings,
} from './settings.ts';

/** Returns why a job cannot have this region; null if it can. It depends on the store that the server writes to. */
export type FindRegionProblem = (region: string) => string | null;

/** Dependencies of the rules, the same for all jobs of a server. */
export interface JobRules {
  readonly clock: Clock;
  readonly findRegionProblem: FindRegionProblem;
}

export interface JobRuleOptions extends JobRules {
  /** Whether the one-off time may have passed, because the job had it before. By default it may not. */
  readonly mayHavePassed?: (seconds: number) => boolean;
  /** Whether the path may have other braces than placeholders, because the job had it before there were any. By default it may not. */
  readonly mayHaveBraces?: (s3Url: string) => boolean;
  /** Required settings that a change would clear: each is an issue. By default there are none. */
  readonly cleared?: readonly string[];
  /** Converts the path of an issue to the one that the client knows. By default it stays. */
  readonly spellPath?: (job: JobFields, path: readonly string[]) => readonly string[];
}

/** The schema of the input of createJob and checkJob: as sent on the one side, checked and with all defaults on the other. */
export function jobInput(options: JobRuleOptions) {
  return withJobRules(jobShape.extend({ strict: strictField }), options).transform(({ strict, ...job }) => ({
    settings: toSettings(job),
    strict,
  }));
}

/** The schema of a job's settings: as sent on the one side, checked and with all defaults on the other. */
const jobSettings = (options: JobRuleOptions) => withJobRules(jobShape, options).transform(toSettings);

/**
 * The settings of a job after a change. Throws ValidationError with all problems. Its one-off time may have passed unless it is
 * changed, and a required setting that the patch clears keeps its value for the other rules.
 */
export function patchSettings(previous: JobSettings, patch: JobPatch, rules: JobRules): JobSettings {
  const changes = Object.entries(patch).filter(([, value]) => value !== undefined);
  const cleared = changes.filter(([field, value]) => value === null && isRequired(field as keyof JobFields));
  const schema = jobSettings({
    clock: rules.clock,
    findRegionProblem: rules.findRegionProblem,
    mayHavePassed: (seconds) => seconds === previous.scheduledTimeInSeconds,
    mayHaveBraces: (s3Url) => s3Url === previous.s3Url,
    cleared: cleared.map(([field]) => field),
  });
  const kept = Object.fromEntries(changes.filter((change) => !cleared.includes(change)));
  return parseInput(schema, { ...pickSettings(previous), ...kept }, ['input']);
}

/** Adds the rules to a schema that has the fields of a job, and perhaps others. */
export function withJobRules<Schema extends z.ZodObject>(
  schema: Schema,
  {
    clock,
    findRegionProblem,
    mayHavePassed = () => false,
    mayHaveBraces = () => false,
    cleared = [],
    spellPath,
  }: JobRuleOptions,
): Schema {
  const rules: Rules<JobFields> = (job, has, issues) => {
    for (const field of cleared) issues.add([field], 'REQUIRED', 'Is required and cannot be null.');
    validateNames(job, has, issues);
    validateDestination(job, has, mayHaveBraces, issues);
    validateStoreOptions(job, has, findRegionProblem, issues);
    validateCsv(job, has, issues);
    if (has('timeZone') && findTimeZone(job.timeZone) === null) {
      issues.add(['timeZone'], 'BAD_TIME_ZONE', timeZoneProblem(job.timeZone));
    }
    validateRange(job, has, clock.now(), issues);
    validateSchedule(job, has, clock.now(), mayHavePassed, issues);
    validateRestatement(job, has, issues);
    if (has('groupBy')) validateGroupBy(job.groupBy ?? [], ['groupBy'], issues);
    if (has('filter')) validateUsageFilter(job.filter ?? [], ['filter'], issues);
    if (has('rescaleFunction') && job.rescaleFunction) {
      validateCoefficient(job.rescaleFunction.coefficient, ['rescaleFunction', 'coefficient'], issues);
    }
  };
  return withRules(schema as z.ZodObject, rules as Rules<object>, spellPath as never) as Schema;
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

function validateDestination(
  job: JobFields,
  has: Has,
  mayHaveBraces: (s3Url: string) => boolean,
  issues: IssueCollector,
): void {
  const parse = has('s3Url') && mayHaveBraces(job.s3Url) ? parseStoredS3Url : parseS3Url;
  const destination = has('s3Url') ? parse(job.s3Url) : { bucket: '', path: '' };
  const isBad = isDestinationProblem(destination);
  if (isBad) issues.add(['s3Url'], destination.code, destination.message);
  if (!has('jobName')) return;
  // If s3Url is invalid, the length is checked with an empty path, so that only problems of the job name are reported.
  const problem = findKeyProblem(isBad ? '' : destination.path, job.jobName);
  if (problem) issues.add([problem.code === 'BAD_SLUG' ? 'jobName' : 's3Url'], problem.code, problem.message);
}

/** A key id, a key ARN or an alias ARN; whether the key exists is not checked. */
const KMS_KEY = /^[\x21-\x7e]{1,2048}$/;

/** How objects are written to an S3 bucket: the fields that a job and a test of a destination have in common. */
type StoreOptions = Pick<JobFields, 'bucketOwner' | 'region' | 'encryption' | 'kmsKeyId'>;

export function validateStoreOptions(
  job: StoreOptions,
  has: HasFields<StoreOptions>,
  findRegionProblem: FindRegionProblem,
  issues: IssueCollector,
): void {
  if (has('bucketOwner') && job.bucketOwner !== null && !/^\d{12}$/.test(job.bucketOwner)) {
    issues.add(['bucketOwner'], 'BAD_BUCKET_OWNER', 'Must be an AWS account id of 12 digits.');
  }
  const regionProblem = has('region') && job.region !== null ? findRegionProblem(job.region) : null;
  if (regionProblem !== null) issues.add(['region'], 'BAD_REGION', regionProblem);
  if (!has('encryption', 'kmsKeyId') || job.kmsKeyId === null) return;
  if (job.encryption !== 'KMS') {
    issues.add(['kmsKeyId'], 'KMS_ONLY', 'Requires encryption KMS. Set encryption to KMS, or remove kmsKeyId.');
  }
  if (!KMS_KEY.test(job.kmsKeyId)) {
    issues.add(['kmsKeyId'], 'BAD_KMS_KEY', 'Must be a key id, a key ARN or an alias ARN, without spaces.');
  }
}

function validateCsv(job: JobFields, has: Has, issues: IssueCollector): void {
  if (!has('format') || job.format === 'CSV') return;
  const message = 'Requires format CSV. Remove it, or set format to CSV.';
  if (has('csvDialect') && job.csvDialect !== 'STANDARD') issues.add(['csvDialect'], 'CSV_ONLY', message);
  if (has('csvDelimiter') && job.csvDelimiter !== 'COMMA') issues.add(['csvDelimiter'], 'CSV_ONLY', message);
}

const DURATION = 'ago(7d): a positive integer and d, h or m; maximum 36,500 days';

function validateRange(job: JobFields, has: Has, now: Date, issues: IssueCollector): void {
  const calendar = has('range') ? parseCalendarRange(job.range) : null;
  const isAgo = has('range') && parseAgo(job.range) !== null;
  if (has('range') && !calendar && !isAgo) {
    issues.add(
      ['range'],
      'BAD_RANGE',
      `Must be previous(day), previous(week), previous(month), toDate(week), toDate(month) or toDate(year), or have the form ${DURATION}.`,
    );
  }
  if (calendar && has('aggregationBucket')) validateUnit(job.range, calendar.unit, job.aggregationBucket, issues);
  const endTimeOffset = has('endTimeOffset') ? job.endTimeOffset : null;
  if (endTimeOffset !== null) {
    if (parseAgo(endTimeOffset) === null) {
      issues.add(['endTimeOffset'], 'BAD_DURATION', `Must have the form ${DURATION}.`);
      return;
    }
    if (isAgo && !isShorter(endTimeOffset, job.range)) {
      issues.add(
        ['endTimeOffset'],
        'OFFSET_NOT_SHORTER',
        'Must be shorter than range, because the window would end before it starts.',
      );
      return;
    }
  }
  const timeZone = has('timeZone') ? findTimeZone(job.timeZone) : null;
  // A calendar range has at most about 8,800 buckets: the hours of a leap year.
  if (!isAgo || timeZone === null || !has('aggregationBucket', 'minimizeFresh')) return;
  const window = computeWindow({ ...job, timeZone, endTimeOffset }, now);
  validateBucketCount(window, job.aggregationBucket, timeZone, ['range'], issues);
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

function validateRestatement(job: JobFields, has: Has, issues: IssueCollector): void {
  const after = has('restateAfter') ? parseAgoMs(job.restateAfter) : MINUTE_MS;
  if (after === null || after < MINUTE_MS || after > DAY_MS) {
    issues.add(['restateAfter'], 'BAD_RESTATE_AFTER', 'Must be a duration from ago(1m) to ago(24h).');
  }
  if (has('restateWithin') && parseAgoMs(job.restateWithin) === null) {
    issues.add(['restateWithin'], 'BAD_RESTATE_WITHIN', `Must have the form ${DURATION}.`);
  }
  const within = has('completeWithin') && job.completeWithin !== null ? parseAgoMs(job.completeWithin) : 0;
  if (within === null || within > 7 * DAY_MS) {
    issues.add(['completeWithin'], 'BAD_COMPLETE_WITHIN', 'Must be a duration of at most ago(7d), or null.');
  }
}

const LIST = new Intl.ListFormat('en-GB', { type: 'disjunction' });

function validateUnit(range: string, unit: CalendarUnit, bucket: AggregationBucket, issues: IssueCollector): void {
  const fitting = BUCKETS_IN_UNIT[unit];
  if (fitting.includes(bucket)) return;
  issues.add(
    ['range'],
    'BUCKET_TOO_LARGE',
    `${range} does not consist of whole ${bucket} buckets. Set aggregationBucket to ${LIST.format(fitting)}, or choose another range.`,
  );
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
