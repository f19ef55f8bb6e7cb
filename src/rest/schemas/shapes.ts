// Pure: from zod's issues to Sluice's, and the zod types that several routes share.
import { z } from 'zod';
import { type Issue, MAX_LISTED_ISSUES } from '../../errors/errors.ts';
import type { IssueCode } from '../../errors/issue-codes.ts';
import { digitsOf, isExactNumber } from '../../lib/long-numbers.ts';

/** The problems of a value that has not the shape it should have; of many unknown fields the first hundred. */
export const issuesOf = (error: z.ZodError): Issue[] =>
  error.issues.flatMap((issue): Issue[] => {
    const path = issue.path.map(String);
    if (issue.code === 'unrecognized_keys') {
      return issue.keys
        .slice(0, MAX_LISTED_ISSUES)
        .map((key) => ({ path: [...path, key], code: 'UNKNOWN_FIELD', message: unknownField(key) }));
    }
    if (issue.code === 'custom') {
      // Only refuse() makes such issues.
      return [{ path, code: (issue.params?.['code'] ?? 'BAD_VALUE') as IssueCode, message: issue.message }];
    }
    if (issue.code !== 'invalid_type') return [{ path, code: 'BAD_VALUE', message: issue.message }];
    return [
      issue.input === undefined
        ? { path, code: 'REQUIRED', message: 'Is required.' }
        : { path, code: 'BAD_TYPE', message: `Must be ${TYPE_WORDS[issue.expected] ?? issue.expected}.` },
    ];
  });

/** How many they are in all. */
export const issueCountOf = (error: z.ZodError): number => countIssues(error.issues);

const countIssues = (issues: readonly (z.core.$ZodIssue | z.core.$ZodRawIssue)[]): number =>
  issues.reduce((count, issue) => count + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1), 0);

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

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

const unknownField = (key: string): string => `There is no field "${key}".`;

/** Adds an issue with a code of Sluice's own to a zod transform. */
export const refuse = (context: z.RefinementCtx, code: IssueCode, message: string, path: string[] = []): never => {
  context.addIssue({ code: 'custom', params: { code }, message, path });
  return z.NEVER;
};

/** One of these words, in any case; answers with it in capitals. */
export const word = <Word extends string>(words: readonly [Word, ...Word[]], spelled: 'upper' | 'lower') =>
  z
    .unknown()
    .transform((value, context): Word => {
      const found = typeof value === 'string' ? words.find((one) => one === value.toUpperCase()) : undefined;
      if (found !== undefined) return found;
      if (value === undefined) return refuse(context, 'REQUIRED', 'Is required.');
      return refuse(context, 'BAD_VALUE', `Must be one of ${words.map((one) => cased(one, spelled)).join(', ')}.`);
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
      ? refuse(context, 'REQUIRED', 'Is required.')
      : refuse(context, 'BAD_TYPE', 'Must be a number, or a string that holds one.');
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
    return refuse(context, 'TOO_MANY_DIMENSIONS', `Has ${entries.length} dimensions, more than any filter may have.`);
  }
  return entries.map(([dimension, given]) => {
    const values: unknown = typeof given === 'string' ? [given] : given;
    if (!Array.isArray(values)) return refuse(context, 'BAD_TYPE', 'Must be a list of strings.', [dimension]);
    const bad = values.findIndex((one) => typeof one !== 'string');
    if (bad >= 0) return refuse(context, 'BAD_TYPE', 'Must be a string.', [dimension, String(bad)]);
    return { dimension, values };
  });
};

/** A list of strings, at most one problem reported: see above. */
export const strings = z
  .unknown()
  .transform((value, context): readonly string[] | null => {
    if (value === undefined || value === null) return null;
    if (!Array.isArray(value)) return refuse(context, 'BAD_TYPE', 'Must be a list.');
    const bad = value.findIndex((one) => typeof one !== 'string');
    if (bad >= 0) return refuse(context, 'BAD_TYPE', 'Must be a string.', [String(bad)]);
    return value as string[];
  })
  .meta({ override: { anyOf: [{ type: 'array', items: { type: 'string' } }, { type: 'null' }] } });

/** How the document shows them. */
export const DIMENSIONS_DOCUMENT = {
  type: 'object' as const,
  additionalProperties: {
    anyOf: [{ type: 'array' as const, items: { type: 'string' as const } }, { type: 'string' as const }],
  },
};
