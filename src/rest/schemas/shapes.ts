// Pure: the zod types that several routes share.
import { z } from 'zod';
import { digitsOf, isExactNumber } from '../../lib/json-numbers.ts';
import { addIssue, countIssues } from '../../validation/zod-issues.ts';

/** Parses a value and only counts its issues: describing them takes ten times as long. */
export function parseCounting<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): { readonly success: true; readonly data: z.output<Schema> } | { readonly success: false; readonly count: number } {
  const parsed = schema._zod.run({ value, issues: [] }, { async: false });
  if (parsed instanceof Promise) throw new Error('A schema of records is asynchronous.');
  if (parsed.issues.length === 0) return { success: true, data: parsed.value as z.output<Schema> };
  return { success: false, count: countIssues(parsed.issues) };
}

/** Parses one of these words in upper or lower case, and returns it in upper case. */
export function word<Word extends string>(words: readonly Word[], spelled: 'upper' | 'lower') {
  return z
    .unknown()
    .transform((value, context): Word => {
      const found = typeof value === 'string' ? words.find((one) => one === value.toUpperCase()) : undefined;
      if (found !== undefined) return found;
      if (value === undefined) return addIssue(context, 'REQUIRED', 'Is required.');
      return addIssue(context, 'BAD_VALUE', `Must be one of ${words.map((one) => cased(one, spelled)).join(', ')}.`);
    })
    .meta({ override: { type: 'string', enum: words.map((one) => cased(one, spelled)) } });
}

const cased = (text: string, spelled: 'upper' | 'lower'): string => (spelled === 'lower' ? text.toLowerCase() : text);

/** Parses a JSON number or string to text with all its digits. The domain checks that it is a decimal. */
export const decimal = z
  .unknown()
  .transform((value, context): string => {
    if (typeof value === 'string') return value;
    // At most 15 digits, otherwise it would be an ExactNumber: a double represents them as sent.
    if (typeof value === 'number') return String(value);
    if (isExactNumber(value)) return digitsOf(value);
    return value === undefined
      ? addIssue(context, 'REQUIRED', 'Is required.')
      : addIssue(context, 'BAD_TYPE', 'Must be a number, or a string that contains one.');
  })
  .meta({ override: { type: ['number', 'string'] } });

/** More than any rule allows. zod passes the issues of an object as arguments of one call, whose number is limited. */
const MAX_DIMENSIONS_READ = 1000;

/** Parses an object of lists to dimensions with values. Not z.record, which drops a dimension named __proto__. */
export function readDimensions(
  value: object,
  context: z.RefinementCtx,
): { readonly dimension: string; readonly values: readonly string[] }[] {
  const entries = Object.entries(value);
  if (entries.length > MAX_DIMENSIONS_READ) {
    return addIssue(context, 'TOO_MANY_DIMENSIONS', `Has ${entries.length} dimensions, more than any filter can have.`);
  }
  return entries.map(([dimension, given]) => {
    const values: unknown = typeof given === 'string' ? [given] : given;
    if (!Array.isArray(values)) return addIssue(context, 'BAD_TYPE', 'Must be a list of strings.', [dimension]);
    const bad = values.findIndex((one) => typeof one !== 'string');
    if (bad >= 0) return addIssue(context, 'BAD_TYPE', 'Must be a string.', [dimension, String(bad)]);
    return { dimension, values };
  });
}

/** JSON schema of dimensions in the OpenAPI document. */
export const DIMENSIONS_DOCUMENT = {
  type: 'object' as const,
  additionalProperties: {
    anyOf: [{ type: 'array' as const, items: { type: 'string' as const } }, { type: 'string' as const }],
  },
};
