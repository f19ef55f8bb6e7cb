// Pure: what a setting is, and the schemas that settings share.
import { z } from 'zod';

/** Reads the text of an environment variable. A message completes a sentence that begins with the name of the variable. */
type SettingSchema = z.ZodType<unknown, string | null | undefined>;

export interface Setting<Schema extends SettingSchema = SettingSchema> {
  /** The environment variable. */
  readonly name: string;
  /** Gets undefined if the variable is absent or empty, and returns the default then. */
  readonly schema: Schema;
  readonly description: string;
  /** Shown in docs/reference/settings.md instead of the default of the schema. */
  readonly shownDefault?: string;
  /** The problem with a variable that is set but empty. Without it, an empty variable counts as absent. */
  readonly ifEmpty?: string;
}

export function setting<Schema extends SettingSchema>(
  name: string,
  schema: Schema,
  description: string,
  options: Pick<Setting, 'shownDefault' | 'ifEmpty'> = {},
): Setting<Schema> {
  return { name, schema, description, ...options };
}

export const text = z.string();
export const optional = z.string().nullable().default(null);

export function integer(min: number, max: number) {
  const problem = `must be a whole number from ${min} to ${max}`;
  const digits = z.string().regex(/^\d{1,15}$/, problem);
  return digits.transform(Number).pipe(z.number().min(min, problem).max(max, problem));
}

export function oneOf<const Choices extends readonly string[]>(...choices: Choices) {
  return z.enum(choices, `must be one of ${choices.join(', ')}`);
}

export const flag = oneOf('true', 'false').transform((choice) => choice === 'true');

/** @param findProblem returns what is wrong with a text without quoting it, because it may be a secret; null if nothing is */
export function checked(findProblem: (text: string) => string | null) {
  const schema = z.string().check(({ value, issues }) => {
    const problem = findProblem(value);
    if (problem !== null) issues.push({ code: 'custom', message: problem, input: value });
  });
  return schema.nullable().default(null);
}

export function url(...protocols: string[]) {
  const problem = `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`;
  return checked((text) => (URL.canParse(text) && protocols.includes(new URL(text).protocol) ? null : problem));
}

export const origins = z
  .string()
  .transform((list) => list.split(',').map((origin) => origin.trim()))
  .transform((list) => list.filter((origin) => origin !== ''))
  .refine(
    (list) => list.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin),
    'must be origins such as https://app.example.com, separated by commas',
  )
  .default([]);
