// Pure: the values of the job form, and the settings of the API.
import type { CreateInput, StoredJob } from './jobs-documents.ts';
import { cronOf, NEW_SCHEDULE, readSchedule, readWallTime, type ScheduleValues } from './simple-schedule.ts';

/** All settings of a job, as createJob takes them. */
export type JobSettings = Omit<StoredJob, '__typename' | 'id' | 'version' | 'updatedAt'>;

type Choice<Name extends keyof JobSettings> = NonNullable<JobSettings[Name]>;

/** Texts are empty if the setting is null. */
export interface JobValues extends ScheduleValues {
  readonly jobName: string;
  readonly description: string;
  readonly enabled: boolean;
  readonly email: string;
  readonly s3Url: string;
  readonly region: string;
  readonly bucketOwner: string;
  readonly encryption: Choice<'encryption'> | '';
  readonly kmsKeyId: string;
  readonly timeZone: string;
  readonly range: string;
  readonly endTimeOffset: string;
  readonly minimizeFresh: boolean;
  readonly completeWithin: string;
  readonly aggregationBucket: Choice<'aggregationBucket'>;
  readonly meterApiNames: readonly string[];
  readonly groupBy: readonly string[];
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly format: Choice<'format'>;
  readonly compression: Choice<'compression'>;
  readonly csvDelimiter: Choice<'csvDelimiter'>;
  readonly csvDialect: Choice<'csvDialect'>;
  readonly sparse: boolean;
  readonly coefficient: string;
  readonly restatement: Choice<'restatement'>;
  readonly restateAfter: string;
  readonly restateWithin: string;
}

/** Defaults of settings that apply only if another one has a certain value. */
const DEFAULTS = {
  kmsKeyId: null,
  csvDelimiter: 'COMMA',
  csvDialect: 'STANDARD',
  restateAfter: 'ago(1h)',
  restateWithin: 'ago(35d)',
} as const satisfies Partial<JobSettings>;

const isDependent = (name: string): name is keyof typeof DEFAULTS => name in DEFAULTS;

/** Returns whether a setting has an effect, and a field in the form. */
function applies(name: keyof typeof DEFAULTS, { format, encryption, restatement }: JobSettings): boolean {
  switch (name) {
    case 'kmsKeyId':
      return encryption === 'KMS';
    case 'csvDelimiter':
    case 'csvDialect':
      return format === 'CSV';
    case 'restateAfter':
    case 'restateWithin':
      return restatement === 'AUTOMATIC';
  }
}

/** Values of a new job: daily, with the usage of the day before. */
export function createValues(timeZone: string): JobValues {
  return {
    ...NEW_SCHEDULE,
    jobName: '',
    description: '',
    enabled: true,
    email: '',
    s3Url: '',
    region: '',
    bucketOwner: '',
    encryption: '',
    kmsKeyId: '',
    timeZone,
    range: 'previous(day)',
    endTimeOffset: '',
    minimizeFresh: true,
    completeWithin: '',
    aggregationBucket: 'DAY',
    meterApiNames: [],
    groupBy: [],
    filter: [],
    format: 'CSV',
    compression: 'NONE',
    csvDelimiter: DEFAULTS.csvDelimiter,
    csvDialect: DEFAULTS.csvDialect,
    sparse: true,
    coefficient: '',
    restatement: 'AUTOMATIC',
    restateAfter: DEFAULTS.restateAfter,
    restateWithin: DEFAULTS.restateWithin,
  };
}

/** Returns the values that show the settings of a job. */
export function readValues(job: JobSettings): JobValues {
  return {
    ...readSchedule(job.cron, job.scheduledTimeInSeconds, job.timeZone),
    jobName: job.jobName,
    description: job.description ?? '',
    enabled: job.enabled,
    email: job.email ?? '',
    s3Url: job.s3Url,
    region: job.region ?? '',
    bucketOwner: job.bucketOwner ?? '',
    encryption: job.encryption ?? '',
    kmsKeyId: job.kmsKeyId ?? '',
    timeZone: job.timeZone,
    range: job.range,
    endTimeOffset: job.endTimeOffset ?? '',
    minimizeFresh: job.minimizeFresh,
    completeWithin: job.completeWithin ?? '',
    aggregationBucket: job.aggregationBucket,
    meterApiNames: job.meterApiNames ?? [],
    groupBy: job.groupBy ?? [],
    filter: (job.filter ?? []).map(({ dimension, values }) => ({ dimension, values })),
    format: job.format,
    compression: job.compression,
    csvDelimiter: job.csvDelimiter,
    csvDialect: job.csvDialect,
    sparse: job.sparse,
    coefficient: job.rescaleFunction?.coefficient ?? '',
    restatement: job.restatement,
    restateAfter: job.restateAfter,
    restateWithin: job.restateWithin,
  };
}

const textOrNull = (text: string): string | null => text.trim() || null;
const listOrNull = <Item>(list: readonly Item[]): Item[] | null => (list.length === 0 ? null : [...list]);

/** Returns the settings that the values stand for. Those that do not apply, such as the delimiter of JSON, have their defaults. */
export function writeSettings(values: JobValues): JobSettings {
  const settings: JobSettings = {
    jobName: values.jobName.trim(),
    description: textOrNull(values.description),
    enabled: values.enabled,
    email: textOrNull(values.email),
    s3Url: values.s3Url.trim(),
    region: textOrNull(values.region),
    bucketOwner: textOrNull(values.bucketOwner),
    encryption: values.encryption || null,
    kmsKeyId: textOrNull(values.kmsKeyId),
    cron: cronOf(values),
    // 0 is in the past: the server reports the missing time at its field.
    scheduledTimeInSeconds: values.frequency === 'once' ? (readWallTime(values.onceAt, values.timeZone) ?? 0) : null,
    timeZone: values.timeZone.trim(),
    range: values.range.trim(),
    endTimeOffset: textOrNull(values.endTimeOffset),
    minimizeFresh: values.minimizeFresh,
    completeWithin: textOrNull(values.completeWithin),
    aggregationBucket: values.aggregationBucket,
    meterApiNames: listOrNull(values.meterApiNames),
    groupBy: listOrNull(values.groupBy),
    filter: listOrNull(values.filter.map(({ dimension, values: allowed }) => ({ dimension, values: [...allowed] }))),
    format: values.format,
    compression: values.compression,
    csvDelimiter: values.csvDelimiter,
    csvDialect: values.csvDialect,
    sparse: values.sparse,
    rescaleFunction:
      values.coefficient.trim() === '' ? null : { function: 'MULTIPLY', coefficient: values.coefficient.trim() },
    restatement: values.restatement,
    restateAfter: values.restateAfter.trim(),
    restateWithin: values.restateWithin.trim(),
  };
  const unused = Object.entries(DEFAULTS).filter(([name]) => isDependent(name) && !applies(name, settings));
  return { ...settings, ...Object.fromEntries(unused) };
}

/** Returns values for a copy of a job. A time that has passed cannot be set again. */
export function copyValues(job: JobSettings, now: number): JobValues {
  const values = readValues(job);
  const isOver = job.scheduledTimeInSeconds !== null && job.scheduledTimeInSeconds * 1000 <= now;
  return { ...values, jobName: `${job.jobName.slice(0, 248)} (copy)`, ...(isOver && { onceAt: '' }) };
}

const isEqual = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/**
 * Returns the settings that differ from those before, for updateJob, and those that did not apply before and do now: the job may have
 * stored others than their defaults.
 */
export function listChangedSettings(before: JobSettings, after: JobSettings): Partial<CreateInput> {
  return Object.fromEntries(
    Object.entries(after).filter(
      ([name, value]) =>
        !isEqual(value, before[name as keyof JobSettings]) ||
        (isDependent(name) && applies(name, after) && !applies(name, before)),
    ),
  );
}

/** Fields of the form by the field of an issue, if they differ. */
const FIELD_OF: Readonly<Record<string, keyof JobValues>> = {
  rescaleFunction: 'coefficient',
  scheduledTimeInSeconds: 'onceAt',
};

/** Returns the field of the form that shows an issue, such as `filter` for `filter.0.values`. A simple schedule shows that of cron. */
export function fieldOf(issue: string, frequency: string): string {
  const [name = ''] = issue.split('.');
  if (name === 'cron') return frequency === 'cron' ? 'cron' : 'time';
  return FIELD_OF[name] ?? name;
}

/** Returns the settings of a stored job in the form that writeSettings() has, so that both can be compared. */
export function readSettings(job: JobSettings): JobSettings {
  return writeSettings(readValues(job));
}
