// Pure: a job as Amberflo's clients send it.
import { z } from 'zod';
import type { DimensionValues } from '../../db/json-columns.ts';
import { IssueCollector, type Issue, ValidationError } from '../../errors/errors.ts';
import { checkJobInput, JOB_DEFAULTS, type JobInput } from '../../jobs/inputs.ts';
import { decimal, DIMENSIONS_DOCUMENT, issuesOf, readDimensions, refuse, strings, word } from './shapes.ts';

const filter = z
  .unknown()
  .transform((value, context): readonly DimensionValues[] | null => {
    if (value === undefined || value === null) return null;
    if (typeof value !== 'object' || Array.isArray(value)) {
      return refuse(context, 'BAD_TYPE', 'Must be an object of lists.');
    }
    return readDimensions(value, context);
  })
  .meta({
    override: {
      anyOf: [DIMENSIONS_DOCUMENT, { type: 'null' }],
    },
  });

const fields = {
  jobName: z.string().meta({ description: 'Unique in the account: 1 to 255 of A-Z a-z 0-9 , ( ) - and blank.' }),
  description: z.string().nullish().meta({ description: 'For people; at most 2,000 characters.' }),
  enabled: z
    .boolean()
    .nullish()
    .meta({ description: 'False keeps the job and starts nothing on schedule. Default true.' }),
  email: z.string().nullish().meta({ description: 'Hears of every run that ended.' }),
  s3Url: z.string().meta({ description: 'bucket, bucket/path or s3://bucket/path.' }),
  bucketOwner: z.string().nullish().meta({
    description: 'The 12 digits of the AWS account that the bucket belongs to; S3 refuses where it does not.',
  }),
  format: word(['JSON', 'CSV', 'NDJSON'], 'lower').meta({ description: 'The form of the files.' }),
  compression: word(['NONE', 'GZIP'], 'lower').nullish().meta({ description: 'Default none.' }),
  aggregationBucket: word(['HOUR', 'DAY', 'WEEK', 'MONTH'], 'lower').meta({
    description: 'What usage is summed by; a week is ISO, from Monday.',
  }),
  timeZone: z.string().nullish().meta({
    description: 'IANA time zone name of buckets, window and cron, links included; in any case. Defaults to UTC.',
  }),
  range: z.string().meta({ description: 'ago(#x): how far before its slot a run begins to read; x in d, h, m.' }),
  endTimeOffset: z.string().nullish().meta({ description: 'ago(#x): how far before its slot a run stops to read.' }),
  cron: z.string().nullish().meta({
    description: 'Five-field crontab; blanks at its ends are trimmed. Not together with scheduledTimeInSeconds.',
  }),
  scheduledTimeInSeconds: z.number().nullish().meta({ description: 'Unix epoch seconds, for one run.' }),
  meterApiNames: strings.optional().meta({ description: 'Names of streams; null: every stream.' }),
  groupBy: strings.optional().meta({ description: 'Dimensions, and element: the columns, in this order.' }),
  filter: filter.optional().meta({ description: 'Dimensions with the values that pass; "element" likewise.' }),
  sparse: z.boolean().nullish().meta({ description: 'False fills every bucket with 0. Default true.' }),
  minimizeFresh: z.boolean().nullish().meta({ description: 'True lets only whole buckets leave. Default true.' }),
  rescaleFunction: z
    .strictObject({
      function: word(['MULTIPLY'], 'lower'),
      coefficient: decimal.meta({ description: 'Multiplies the sums, in exact decimals.' }),
    })
    .nullish(),
} as const;

/** What an answer carries beside the settings; it may come back, and only the version counts. */
const readOnly = {
  id: z.unknown().optional().meta({ description: 'Read-only: may come back, and is ignored.' }),
  createTime: z.unknown().optional().meta({ description: 'Read-only: may come back, and is ignored.' }),
  updateTime: z.unknown().optional().meta({ description: 'Read-only: may come back, and is ignored.' }),
  schedulerContext: z.unknown().optional().meta({ description: 'Read-only: may come back, and is ignored.' }),
} as const;

const version = z
  .int()
  .nullish()
  .meta({ description: "Where given and not the job's own: 409, so that no edit is lost." });

export const newJobSchema = z.strictObject(fields).meta({ id: 'NewJob', description: 'The settings of a new job.' });

export const jobSchema = z.strictObject({ ...fields, ...readOnly, version }).meta({
  id: 'JobReplacement',
  description: 'The settings of a job from now on: what is left out takes its default.',
});

export const jobWithIdSchema = z.strictObject({ ...fields, ...readOnly, version, id: z.string() }).meta({
  id: 'JobReplacementWithId',
  description: 'As JobReplacement, and the id of the job.',
});

export const checkedJobSchema = z
  .strictObject({ ...fields, ...readOnly, version, id: z.string().nullish() })
  .meta({ id: 'JobToCheck', description: 'The settings; with an id, those that the job is to be changed to.' });

/** What a job would be that is all right, for a look at the rest of one that is not. */
const PLACEHOLDER: JobInput = {
  ...JOB_DEFAULTS,
  jobName: 'name',
  s3Url: 'bucket',
  format: 'CSV',
  aggregationBucket: 'DAY',
  range: 'ago(1d)',
};

/**
 * The settings of a body that fits the schema, every field of a job set: what was left out has its default. Throws a
 * ValidationError with all that is wrong: with the shape, and by the rules of the domain with what has its shape.
 */
export const readJob = <Schema extends z.ZodType>(schema: Schema, body: unknown, now: Date): z.output<Schema> => {
  const parsed = schema.safeParse(body, { reportInput: true });
  if (parsed.success) return parsed.data;
  const issues = issuesOf(parsed.error);
  // A one-off time that has passed may stand in a job that is edited; which one that is, is not known here.
  const further = furtherIssues(body, issues, now).filter(
    ({ code }) => code !== 'IN_THE_PAST' || schema === (newJobSchema as z.ZodType),
  );
  throw new ValidationError([...issues, ...further]);
};

const furtherIssues = (body: unknown, found: readonly Issue[], now: Date): Issue[] => {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return [];
  const bad = new Set(found.map(({ path }) => path[0]));
  const good = Object.fromEntries(
    Object.entries(body).filter(([name, value]) => name in fields && !bad.has(name) && value !== null),
  );
  const candidate = z.object(fields).partial().safeParse(good);
  if (!candidate.success) return [];
  const issues = new IssueCollector();
  checkJobInput({ ...PLACEHOLDER, ...definedOf(candidate.data) }, { path: [], now }, issues);
  return issues.issues.filter(({ path }) => !bad.has(path[0]));
};

const definedOf = (job: object): Partial<JobInput> =>
  Object.fromEntries(Object.entries(job).filter(([, value]) => value !== undefined && value !== null));

export type JobFields = z.output<typeof newJobSchema>;

/** All settings, defaults filled in. */
export const toJobInput = (job: JobFields): JobInput => ({
  jobName: job.jobName,
  description: job.description ?? null,
  enabled: job.enabled ?? JOB_DEFAULTS.enabled,
  email: job.email ?? null,
  s3Url: job.s3Url,
  bucketOwner: job.bucketOwner ?? null,
  format: job.format,
  compression: job.compression ?? JOB_DEFAULTS.compression,
  aggregationBucket: job.aggregationBucket,
  timeZone: job.timeZone ?? JOB_DEFAULTS.timeZone,
  range: job.range,
  endTimeOffset: job.endTimeOffset ?? null,
  cron: job.cron ?? null,
  scheduledTimeInSeconds: job.scheduledTimeInSeconds ?? null,
  meterApiNames: job.meterApiNames ?? null,
  groupBy: job.groupBy ?? null,
  filter: job.filter ?? null,
  sparse: job.sparse ?? JOB_DEFAULTS.sparse,
  minimizeFresh: job.minimizeFresh ?? JOB_DEFAULTS.minimizeFresh,
  rescaleFunction: job.rescaleFunction ?? null,
});

/** A domain issue's path in the words of this API: without the argument's name, dimensions by their own. */
export const spellJobPath = (job: JobInput, path: readonly string[]): string[] => {
  const [field = '', place = '', part, ...rest] = path[0] === 'input' ? path.slice(1) : path;
  if (field !== 'filter' || place === '') return path[0] === 'input' ? path.slice(1) : [...path];
  const name = job.filter?.[Number(place)]?.dimension ?? place;
  return ['filter', name, ...(part === 'values' ? rest : [])];
};
