// Pure: the body of a job, in the spelling of Amberflo's API.
import { z } from 'zod';
import type { DimensionValues } from '../../db/json-columns.ts';
import { type JobRuleOptions, withJobRules } from '../../jobs/settings-schema.ts';
import { type JobFields, jobFields, type JobSettings, strictField, toSettings } from '../../jobs/settings.ts';
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

/** The fields of a job, with lower-case words and an object as filter, and `strict`. */
const fields = {
  ...jobFields,
  format: word(jobFields.format.options, 'lower').meta({ description: descriptionOf(jobFields.format) }),
  compression: optional(word(['NONE', 'GZIP', 'ZSTD'], 'lower'), 'NONE').meta({
    description: descriptionOf(jobFields.compression),
  }),
  encryption: optional(word(['AES256', 'KMS'], 'lower'), null).meta({
    description: descriptionOf(jobFields.encryption),
  }),
  csvDialect: optional(word(['STANDARD', 'EXCEL'], 'lower'), 'STANDARD').meta({
    description: descriptionOf(jobFields.csvDialect),
  }),
  csvDelimiter: optional(word(['COMMA', 'SEMICOLON'], 'lower'), 'COMMA').meta({
    description: descriptionOf(jobFields.csvDelimiter),
  }),
  aggregationBucket: word(jobFields.aggregationBucket.options, 'lower').meta({
    description: descriptionOf(jobFields.aggregationBucket),
  }),
  filter: optional(filter, null).meta({ description: descriptionOf(jobFields.filter) }),
  rescaleFunction: optional(rescaleFunction, null).meta({ description: descriptionOf(jobFields.rescaleFunction) }),
  restatement: optional(word(['NONE', 'AUTOMATIC'], 'lower'), 'AUTOMATIC').meta({
    description: descriptionOf(jobFields.restatement),
  }),
  strict: strictField,
} as const;

const ignored = z.unknown().optional().meta({ description: 'Read-only. Ignored in requests.' });
/** Fields of a response that are not settings. Clients may send them back; only the version is used. */
const readOnly = {
  id: ignored,
  createTime: ignored,
  updateTime: ignored,
  schedulerContext: ignored,
  warnings: ignored,
} as const;

const version = z.int().nullish().meta({
  description: 'Expected version of the job. If another one is current, the response is 409 and nothing changes.',
});

/** Fields that a replacement keeps if they are absent: scripts written for Amberflo's API do not know them. */
export const KEPT_FIELDS = [
  'region',
  'encryption',
  'kmsKeyId',
  'csvDialect',
  'csvDelimiter',
  'restatement',
  'restateAfter',
  'restateWithin',
  'completeWithin',
] as const;

const list = (names: readonly string[]): string => new Intl.ListFormat('en').format(names);

export const newJobSchema = z.strictObject(fields).meta({ id: 'NewJob', description: 'The settings of a new job.' });

export const jobSchema = z.strictObject({ ...fields, ...readOnly, version }).meta({
  id: 'JobReplacement',
  description: `All settings of a job. Fields that are absent get their defaults, except ${list(KEPT_FIELDS)}, which keep their values.`,
});

export const jobWithIdSchema = z.strictObject({ ...fields, ...readOnly, version, id: z.string() }).meta({
  id: 'JobReplacementWithId',
  description: 'All settings of a job, with its id.',
});

export const checkedJobSchema = z
  .strictObject({ ...fields, ...readOnly, version, id: z.string().nullish() })
  .meta({ id: 'JobToCheck', description: 'Settings to check: of a new job, or of the job with the id.' });

/**
 * Returns the settings in a body and the other fields of the schema. Throws ValidationError with all problems and their paths as the
 * client spells them.
 */
export function readJob<Schema extends z.ZodObject>(
  schema: Schema,
  body: unknown,
  options: Omit<JobRuleOptions, 'cleared' | 'spellPath'>,
): z.output<Schema> & { readonly settings: JobSettings } {
  const job = parseInput(withJobRules(schema, { ...options, spellPath }), body);
  return { ...job, settings: toSettings(job as unknown as JobFields) };
}

/** Dimensions are keys of the filter here, not entries of a list. */
function spellPath(job: JobFields, path: readonly string[]): readonly string[] {
  const [field, index, part, ...rest] = path;
  if (field !== 'filter' || index === undefined) return path;
  const dimension = job.filter?.[Number(index)]?.dimension ?? index;
  return ['filter', dimension, ...(part === 'values' ? rest : [])];
}
