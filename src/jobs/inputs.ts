// Pure: the rules for a job's settings; createJob, updateJob and checkJob share them.
import type { DimensionValues, JobSettings } from '../db/json-columns.ts';
import type { IssueCollector } from '../errors/errors.ts';
import { findTimeZone, timeZoneProblem } from '../lib/time-zones.ts';
import { type DecimalInput, findStreamNameProblem } from '../streams/pipeline/inputs.ts';
import { bucketCountAtMost } from '../usage/buckets.ts';
import { checkCoefficient, checkGroupBy, checkUsageFilter, MAX_BUCKETS } from '../usage/inputs.ts';

import { isDestinationProblem, parseS3Url, problemOfKeys } from './destination.ts';
import { checkCron } from './schedule/schedule.ts';
import { isShorter, parseAgo, windowOf } from './schedule/window.ts';

/** A job as sent, its defaults filled in. */
export interface JobInput {
  readonly jobName: string;
  readonly description?: string | null | undefined;
  readonly enabled: boolean;
  readonly email?: string | null | undefined;
  readonly s3Url: string;
  readonly bucketOwner?: string | null | undefined;
  readonly format: JobSettings['format'];
  readonly compression: JobSettings['compression'];
  readonly aggregationBucket: JobSettings['aggregationBucket'];
  readonly timeZone: string;
  readonly range: string;
  readonly endTimeOffset?: string | null | undefined;
  readonly cron?: string | null | undefined;
  readonly scheduledTimeInSeconds?: number | null | undefined;
  readonly meterApiNames?: readonly string[] | null | undefined;
  readonly groupBy?: readonly string[] | null | undefined;
  readonly filter?: readonly DimensionValues[] | null | undefined;
  readonly sparse: boolean;
  readonly minimizeFresh: boolean;
  readonly rescaleFunction?: { readonly function: 'MULTIPLY'; readonly coefficient: DecimalInput } | null | undefined;
}

/** Some fields of a job: those left out stay, null clears an optional one and restores a default. */
export type JobPatch = { readonly [Field in keyof JobInput]?: JobInput[Field] | null | undefined };

export const JOB_DEFAULTS = {
  enabled: true,
  compression: 'NONE',
  timeZone: 'UTC',
  sparse: true,
  minimizeFresh: true,
} as const;

const REQUIRED = ['jobName', 's3Url', 'format', 'aggregationBucket', 'range'] as const;

const JOB_NAME = /^[A-Za-z0-9 ,()-]{1,255}$/;
/** An address as mail servers take it; whether anybody reads it only a mail can tell. */
const EMAIL =
  /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
const MAX_EMAIL = 254;
const MAX_DESCRIPTION = 2000;
const MAX_NAMES = 1000;
/** Year 9999, beyond which RFC 3339 has no dates. */
const MAX_EPOCH_SECONDS = 253_402_300_799;

export interface JobCheckOptions {
  readonly path: readonly string[];
  readonly now: Date;
  /** The settings before an update: a one-off time that stays may lie in the past. */
  readonly previous?: JobSettings | undefined;
}

/** The settings after the fields of the patch were taken over; a required field cannot be cleared. */
export const applyPatch = (
  previous: JobSettings,
  patch: JobPatch,
  path: readonly string[],
  issues: IssueCollector,
): JobInput => {
  const merged: Record<string, unknown> = { ...previous };
  for (const [field, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    if (value === null && (REQUIRED as readonly string[]).includes(field)) {
      issues.add([...path, field], 'REQUIRED', `${field} cannot be cleared: every job has one.`);
      continue;
    }
    merged[field] = value ?? (JOB_DEFAULTS as Record<string, unknown>)[field] ?? null;
  }
  return merged as unknown as JobInput;
};

/** The checked settings. Every problem goes into `issues`; where there are any, the result is not to be used. */
export const checkJobInput = (input: JobInput, options: JobCheckOptions, issues: IssueCollector): JobSettings => {
  const at = (...rest: string[]): string[] => [...options.path, ...rest];
  checkNames(input, at, issues);
  checkDestination(input, at, issues);
  const timeZone = findTimeZone(input.timeZone);
  if (timeZone === null) issues.add(at('timeZone'), 'BAD_TIME_ZONE', timeZoneProblem(input.timeZone));
  checkRange(input, timeZone, options.now, at, issues);
  // Whether a cron has a next slot does not depend on the time zone.
  checkSchedule(input, timeZone ?? 'UTC', options, at, issues);
  checkGroupBy(input.groupBy ?? [], at('groupBy'), issues);
  checkUsageFilter(input.filter ?? [], at('filter'), issues);
  const coefficient = input.rescaleFunction
    ? checkCoefficient(input.rescaleFunction.coefficient, at('rescaleFunction', 'coefficient'), issues)
    : null;
  return {
    jobName: input.jobName,
    description: input.description ?? null,
    enabled: input.enabled,
    email: input.email ?? null,
    s3Url: input.s3Url,
    bucketOwner: input.bucketOwner ?? null,
    format: input.format,
    compression: input.compression,
    aggregationBucket: input.aggregationBucket,
    timeZone: timeZone ?? input.timeZone,
    range: input.range,
    endTimeOffset: input.endTimeOffset ?? null,
    cron: input.cron?.trim() ?? null,
    scheduledTimeInSeconds: input.scheduledTimeInSeconds ?? null,
    meterApiNames: input.meterApiNames ?? null,
    groupBy: input.groupBy ?? null,
    filter: input.filter ?? null,
    sparse: input.sparse,
    minimizeFresh: input.minimizeFresh,
    rescaleFunction: coefficient === null ? null : { function: 'MULTIPLY', coefficient },
  };
};

type At = (...rest: string[]) => string[];

const checkNames = (input: JobInput, at: At, issues: IssueCollector): void => {
  if (!JOB_NAME.test(input.jobName) || input.jobName.trim() !== input.jobName) {
    issues.add(
      at('jobName'),
      'BAD_JOB_NAME',
      'A job name has 1 to 255 characters out of A-Z, a-z, 0-9, blank, ",", "(", ")" and "-", and no blank at either end.',
    );
  }
  if (input.description != null && input.description.length > MAX_DESCRIPTION) {
    issues.add(at('description'), 'TOO_LONG', `Must have at most ${MAX_DESCRIPTION} characters.`);
  }
  // oxlint-disable-next-line no-control-regex -- U+0000 is what no PostgreSQL text can hold
  if (input.description != null && (/\u0000/.test(input.description) || !input.description.isWellFormed())) {
    issues.add(at('description'), 'BAD_TEXT', 'Contains what no UTF-8 text in the database can hold.');
  }
  if (input.email != null && (input.email.length > MAX_EMAIL || !EMAIL.test(input.email))) {
    issues.add(at('email'), 'BAD_EMAIL', 'Must be one e-mail address such as "billing@example.com".');
  }
  const { meterApiNames } = input;
  if (meterApiNames == null) return;
  if (meterApiNames.length === 0) {
    issues.add(at('meterApiNames'), 'NO_STREAMS', 'Name at least one stream, or leave it out for every stream.');
  }
  if (meterApiNames.length > MAX_NAMES) {
    issues.add(at('meterApiNames'), 'TOO_MANY_STREAMS', `At most ${MAX_NAMES} names; leave it out for every stream.`);
  }
  const seen = new Set<string>();
  for (const [index, name] of meterApiNames.slice(0, MAX_NAMES).entries()) {
    const problem = findStreamNameProblem(name);
    if (problem) issues.add(at('meterApiNames', String(index)), 'BAD_STREAM_NAME', problem);
    if (seen.has(name))
      issues.add(at('meterApiNames', String(index)), 'DUPLICATE_STREAM', `"${name}" stands in the list already.`);
    seen.add(name);
  }
};

const checkDestination = (input: JobInput, at: At, issues: IssueCollector): void => {
  if (input.bucketOwner != null && !/^\d{12}$/.test(input.bucketOwner)) {
    issues.add(at('bucketOwner'), 'BAD_BUCKET_OWNER', 'Must be the 12 digits of an AWS account id.');
  }
  const destination = parseS3Url(input.s3Url);
  const badDestination = isDestinationProblem(destination);
  if (badDestination) issues.add(at('s3Url'), destination.code, destination.message);
  // Below no path the keys are short, so what is told beside a bad s3Url is a matter of the name.
  const problem = problemOfKeys(badDestination ? '' : destination.path, input.jobName);
  if (problem) issues.add(at(problem.code === 'BAD_SLUG' ? 'jobName' : 's3Url'), problem.code, problem.message);
};

/** @param timeZone null if the input's is not one: then nothing is computed from it */
const checkRange = (input: JobInput, timeZone: string | null, now: Date, at: At, issues: IssueCollector): void => {
  const shape = 'Must be written as ago(7d): a positive integer, then d, h or m; a century at most.';
  const rangeIsGood = parseAgo(input.range) !== null;
  if (!rangeIsGood) issues.add(at('range'), 'BAD_RANGE', shape);
  const offset = input.endTimeOffset ?? null;
  if (offset !== null) {
    if (parseAgo(offset) === null) {
      issues.add(at('endTimeOffset'), 'BAD_END_TIME_OFFSET', shape);
      return;
    }
    if (rangeIsGood && !isShorter(offset, input.range)) {
      issues.add(
        at('endTimeOffset'),
        'OFFSET_NOT_SHORTER',
        'Must be shorter than range, or the window would end before it begins.',
      );
      return;
    }
  }
  if (!rangeIsGood || timeZone === null) return;
  const window = windowOf({ ...input, timeZone, endTimeOffset: offset }, now);
  const buckets = bucketCountAtMost(window, input.aggregationBucket, timeZone);
  if (buckets > MAX_BUCKETS) {
    issues.add(
      at('range'),
      'WINDOW_TOO_LONG',
      `A window has at most ${MAX_BUCKETS} buckets; this one about ${buckets}.`,
    );
  }
};

const checkSchedule = (
  input: JobInput,
  timeZone: string,
  options: JobCheckOptions,
  at: At,
  issues: IssueCollector,
): void => {
  const { cron, scheduledTimeInSeconds: seconds } = input;
  if (cron != null && seconds != null) {
    issues.add(at('scheduledTimeInSeconds'), 'TWO_SCHEDULES', 'Give cron or scheduledTimeInSeconds, not both.');
  }
  if (cron != null) {
    const problem = checkCron(cron, timeZone, options.now);
    if (problem) issues.add(at('cron'), 'BAD_CRON', problem);
  }
  if (seconds == null) return;
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > MAX_EPOCH_SECONDS) {
    issues.add(
      at('scheduledTimeInSeconds'),
      'BAD_EPOCH_SECONDS',
      'Must be whole seconds since 1970, not milliseconds.',
    );
    return;
  }
  const changed = options.previous?.scheduledTimeInSeconds !== seconds;
  if (changed && seconds * 1000 <= options.now.getTime()) {
    issues.add(at('scheduledTimeInSeconds'), 'IN_THE_PAST', 'Must lie in the future.');
  }
};
