// Pure: the body of a job, in the spelling of Amberflo's API.
import { z } from 'zod';
import type { DimensionValues } from '../../db/json-columns.ts';
import {
  type JobFields,
  jobFields,
  type JobRuleOptions,
  type JobSettings,
  toSettings,
  withJobRules,
} from '../../jobs/settings.ts';
import { addIssue, descriptionOf, optional, parseInput } from '../../validation/zod-issues.ts';
import { decimal, DIMENSIONS_DOCUMENT, readDimensions, word } from './shapes.ts';

const filter = z
  .unknown()
  .transform((value, context): readonly DimensionValues[] => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return addIssue(context, 'BAD_TYPE', 'Must be an object of lists.');
    }
    return readDimensions(value, context);
  })
  .meta({ override: DIMENSIONS_DOCUMENT });

const rescaleFunction = z.strictObject({
  function: word(['MULTIPLY'], 'lower'),
  coefficient: decimal.meta({ description: 'Factor by which the sums are multiplied. Maximum 38 digits.' }),
});

/** The fields of a job, with lower-case words and an object as filter. */
const fields = {
  ...jobFields,
  format: word(jobFields.format.options, 'lower').meta({ description: descriptionOf(jobFields.format) }),
  compression: optional(word(['NONE', 'GZIP'], 'lower'), 'NONE').meta({
    description: descriptionOf(jobFields.compression),
  }),
  aggregationBucket: word(jobFields.aggregationBucket.options, 'lower').meta({
    description: descriptionOf(jobFields.aggregationBucket),
  }),
  filter: optional(filter, null).meta({ description: descriptionOf(jobFields.filter) }),
  rescaleFunction: optional(rescaleFunction, null).meta({ description: descriptionOf(jobFields.rescaleFunction) }),
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

/**
 * The settings in a body, with the other fields of the schema. Throws ValidationError with all problems, their paths as the client
 * spells them.
 */
export const readJob = <Schema extends z.ZodObject>(
  schema: Schema,
  body: unknown,
  options: Pick<JobRuleOptions, 'clock' | 'mayHavePassed'>,
): z.output<Schema> & { readonly settings: JobSettings } => {
  const job = parseInput(withJobRules(schema, { ...options, spellPath }), body);
  return { ...job, settings: toSettings(job as unknown as JobFields) };
};

/** Dimensions are keys of the filter here, not entries of a list. */
const spellPath = (job: JobFields, path: readonly string[]): readonly string[] => {
  const [field, index, part, ...rest] = path;
  if (field !== 'filter' || index === undefined) return path;
  const dimension = job.filter?.[Number(index)]?.dimension ?? index;
  return ['filter', dimension, ...(part === 'values' ? rest : [])];
};
