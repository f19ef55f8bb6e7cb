// Pure: zod schemas whose issues have Sluice's codes, shared by GraphQL and REST.
import { z } from 'zod';
import { IssueCollector, type Issue, MAX_LISTED_ISSUES, ValidationError } from '../errors/errors.ts';
import type { IssueCode } from '../errors/issue-codes.ts';
import { findNearestName } from '../lib/nearest-name.ts';

/** The `params` of an issue that Sluice's own code adds to a schema. */
interface IssueParams {
  readonly code: IssueCode;
  /** Number of similar issues that are counted and not listed. */
  readonly unlisted?: number;
}

/** Adds an issue with one of Sluice's codes to a zod transform or refinement. */
export function addIssue(context: z.RefinementCtx, code: IssueCode, message: string, path: string[] = []): never {
  context.addIssue({ code: 'custom', params: { code } satisfies IssueParams, message, path });
  return z.NEVER;
}

/** The value as the schema returns it. Throws ValidationError with all problems, their paths below `path`. */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  path: readonly string[] = [],
): z.output<Schema> {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw toValidationError(parsed.error.issues, path, schema);
}

/** @param schema the schema that has the issues, for the names of its fields */
export function toValidationError(
  issues: readonly z.core.$ZodIssue[],
  path: readonly string[] = [],
  schema?: z.ZodType,
): ValidationError {
  const listed = toIssues(issues, schema).map((issue) =>
    path.length === 0 ? issue : { ...issue, path: [...path, ...issue.path] },
  );
  return new ValidationError(listed, countIssues(issues));
}

/** Converts zod's issues to Sluice's. Lists at most 100 unknown fields of an object, with the field of `schema` that was probably meant. */
export function toIssues(issues: readonly z.core.$ZodIssue[], schema?: z.ZodType): Issue[] {
  return issues.flatMap((issue): Issue[] => {
    const path = issue.path.map(String);
    if (issue.code === 'unrecognized_keys') {
      const known = schema ? findFieldNames(schema, issue.path) : [];
      return issue.keys.slice(0, MAX_LISTED_ISSUES).map((key) => unknownField([...path, key], known));
    }
    if (issue.code === 'custom') {
      return [{ path, code: (issue.params as IssueParams | undefined)?.code ?? 'BAD_VALUE', message: issue.message }];
    }
    if ('input' in issue && issue.input === undefined) return [{ path, code: 'REQUIRED', message: 'Is required.' }];
    return issue.code === 'invalid_type'
      ? [{ path, code: 'BAD_TYPE', message: `Must be ${TYPE_NAMES[issue.expected] ?? issue.expected}.` }]
      : [{ path, code: 'BAD_VALUE', message: issue.message }];
  });
}

/** The issue of a field that does not exist, at this path. It names the field of `known` that was probably meant. */
export function unknownField(path: readonly string[], known: readonly string[], kind = 'field'): Issue {
  const name = path.at(-1) ?? '';
  const nearest = findNearestName(name, known);
  const suggestion = nearest === null ? '' : ` Did you mean "${nearest}"?`;
  return { path, code: 'UNKNOWN_FIELD', message: `The ${kind} "${name}" does not exist.${suggestion}` };
}

/** Returns the fields of the object at a path below a schema; none if the schema has no object there. */
function findFieldNames(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  const rest = [...path];
  for (;;) {
    if (at instanceof z.ZodOptional || at instanceof z.ZodNullable || at instanceof z.ZodDefault) at = at.unwrap();
    else if (at instanceof z.ZodPipe) at = at.in;
    else if (at instanceof z.ZodArray && rest.length > 0) at = (rest.shift(), at.element);
    else if (at instanceof z.ZodObject && rest.length > 0) at = at.shape[rest.shift() as string];
    else return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
  }
}

/** The number of issues, including those that are not listed. */
export function countIssues(issues: readonly (z.core.$ZodIssue | z.core.$ZodRawIssue)[]): number {
  return issues.reduce((count, issue) => {
    if (issue.code === 'unrecognized_keys') return count + issue.keys.length;
    const params = issue.code === 'custom' ? (issue.params as IssueParams | undefined) : undefined;
    return count + 1 + (params?.unlisted ?? 0);
  }, 0);
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

/** Whether all of these fields have the right type, so that a rule can read them. */
export type HasFields<Value> = (...fields: (keyof Value)[]) => boolean;

/** Collects the problems that the types of the fields do not show. */
export type Rules<Value> = (value: Value, has: HasFields<Value>, issues: IssueCollector) => void;

/**
 * The schema with rules for several fields, or with codes of their own. They run even if some fields have a wrong type, so that the
 * client gets all problems together. `spellPath` converts a path to the one that the client knows; by default it stays.
 */
export function withRules<Schema extends z.ZodObject>(
  schema: Schema,
  rules: Rules<z.output<Schema>>,
  spellPath: (value: z.output<Schema>, path: readonly string[]) => readonly string[] = (_, path) => path,
): Schema {
  return schema.superRefine(
    (value, context) => {
      const malformed = new Set(context.issues.map(({ path }) => path?.[0]));
      const issues = new IssueCollector();
      rules(value, (...fields) => fields.every((field) => !malformed.has(field as string)), issues);
      // Only those that are listed: zod passes issues as arguments of a call, and a call with 100,000 arguments fails.
      for (const [index, { path, code, message }] of issues.issues.entries()) {
        const params: IssueParams = { code, unlisted: index === 0 ? issues.count - issues.issues.length : 0 };
        context.addIssue({ code: 'custom', params, message, path: [...spellPath(value, path)] });
      }
    },
    { when: ({ issues }) => issues.every(({ code, path }) => code === 'unrecognized_keys' || (path?.length ?? 0) > 0) },
  );
}

/** A list of strings, of which at most one problem is reported, for the same reason. */
export const strings = z
  .unknown()
  .transform((value, context): readonly string[] => {
    if (!Array.isArray(value)) return addIssue(context, 'BAD_TYPE', 'Must be a list.');
    const bad = value.findIndex((one) => typeof one !== 'string');
    if (bad >= 0) return addIssue(context, 'BAD_TYPE', 'Must be a string.', [String(bad)]);
    return value as string[];
  })
  .meta({ override: { type: 'array', items: { type: 'string' } } });

/** The description of a field, as its schema has it in `meta`. */
export const descriptionOf = (schema: z.ZodType): string => schema.meta()?.description ?? '';

/** A field that may be left out or null: it then has this value instead. */
export function optional<Schema extends z.ZodType, const Otherwise>(schema: Schema, otherwise: Otherwise) {
  return schema.nullish().transform((value): z.output<Schema> | Otherwise => value ?? otherwise);
}
