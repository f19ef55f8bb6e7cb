// Pure: the zod types that several routes share.
import { z } from 'zod';
import { digitsOf, isExactNumber } from '../../lib/json-numbers.ts';
import { addIssue, countIssues } from '../../validation/zod-issues.ts';

/** What a schema makes of a value, with only the number of issues: to describe them takes ten times as long. */
export const parseCounting = <Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
):
  | { readonly success: true; readonly data: z.output<Schema> }
  | { readonly success: false; readonly count: number } => {
  const parsed = schema._zod.run({ value, issues: [] }, { async: false });
  if (parsed instanceof Promise) throw new Error('A schema of records is asynchronous.');
  if (parsed.issues.length === 0) return { success: true, data: parsed.value as z.output<Schema> };
  return { success: false, count: countIssues(parsed.issues) };
};

/** One of these words, in any case; answers with it in capitals. */
export const word = <Word extends string>(words: readonly Word[], spelled: 'upper' | 'lower') =>
  z
    .unknown()
    .transform((value, context): Word => {
      const found = typeof value === 'string' ? words.find((one) => one === value.toUpperCase()) : undefined;
      if (found !== undefined) return found;
      if (value === undefined) return addIssue(context, 'REQUIRED', 'Is required.');
      return addIssue(context, 'BAD_VALUE', `Must be one of ${words.map((one) => cased(one, spelled)).join(', ')}.`);
    })
    .meta({ override: { type: 'string', enum: words.map((one) => cased(one, spelled)) } });

const cased = (text: string, spelled: 'upper' | 'lower'): string => (spelled === 'lower' ? text.toLowerCase() : text);

/** A decimal with the digits it was sent with, as JSON number or as string; whether it is one the domain says. */
export const decimal = z
  .unknown()
  .transform((value, context): string => {
    if (typeof value === 'string') return value;
    // Of 15 digits or fewer, or it would be an ExactNumber: a double holds them as they were sent.
    if (typeof value === 'number') return String(value);
    if (isExactNumber(value)) return digitsOf(value);
    return value === undefined
      ? addIssue(context, 'REQUIRED', 'Is required.')
      : addIssue(context, 'BAD_TYPE', 'Must be a number, or a string that holds one.');
  })
  .meta({ override: { type: ['number', 'string'] } });

/** No rule allows more. Zod hands on the issues of an object as arguments of a call, of which there must not be many. */
const MAX_DIMENSIONS_READ = 1000;

/** Dimensions with their values, out of an object of lists. Not z.record, which drops a dimension called __proto__. */
export const readDimensions = (
  value: object,
  context: z.RefinementCtx,
): { readonly dimension: string; readonly values: readonly string[] }[] => {
  const entries = Object.entries(value);
  if (entries.length > MAX_DIMENSIONS_READ) {
    return addIssue(context, 'TOO_MANY_DIMENSIONS', `Has ${entries.length} dimensions, more than any filter may have.`);
  }
  return entries.map(([dimension, given]) => {
    const values: unknown = typeof given === 'string' ? [given] : given;
    if (!Array.isArray(values)) return addIssue(context, 'BAD_TYPE', 'Must be a list of strings.', [dimension]);
    const bad = values.findIndex((one) => typeof one !== 'string');
    if (bad >= 0) return addIssue(context, 'BAD_TYPE', 'Must be a string.', [dimension, String(bad)]);
    return { dimension, values };
  });
};

/** How the document shows them. */
export const DIMENSIONS_DOCUMENT = {
  type: 'object' as const,
  additionalProperties: {
    anyOf: [{ type: 'array' as const, items: { type: 'string' as const } }, { type: 'string' as const }],
  },
};
