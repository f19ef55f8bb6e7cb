// Pure: the inputs of createJob and updateJob from a file and flags. The flags are derived from the settings of a job.
import { InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { findNearestName } from '../lib/nearest-name.ts';
import { isRequired, jobFields, strictField } from '../jobs/settings.ts';
import { descriptionOf } from '../validation/zod-issues.ts';
import { replaceControlCharacters } from '../terminal/terminal.ts';
import { CommandError, missingValue } from './command-error.ts';
import { READ_ONLY_FIELDS } from './job-view.ts';
import { parseFilter, parseList } from './option-values.ts';
import type { NameField } from './user-errors.ts';

type Field = keyof typeof jobFields;
type Parse = (text: string, previous: never) => unknown;

const FIELDS = Object.keys(jobFields) as Field[];

/** The flag of a setting, such as `--job-name`. */
const flagOf = (field: string): string => `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Flags of settings that are objects or lists of objects, or whose schema does not show the type. */
const OWN_FLAGS: Partial<Record<Field, readonly [placeholder: string, help: string, Parse]>> = {
  meterApiNames: ['<names>', ' Comma-separated.', parseList],
  groupBy: ['<dimensions>', ' Comma-separated.', parseList],
  filter: ['<dimension=value>', ' Repeat the flag for more values or dimensions.', addFilter],
  rescaleFunction: ['<coefficient>', ' The flag multiplies by its value.', parseRescale],
};

/** Creates an option for each setting. A new setting gets its flag from its schema. */
export function createJobOptions(): Option[] {
  return [
    ...FIELDS.map((field) => {
      const description = descriptionOf(jobFields[field]);
      const own = OWN_FLAGS[field];
      if (own) return new Option(`${flagOf(field)} ${own[0]}`, `${description}${own[1]}`).argParser(own[2] as never);
      const { placeholder, choices, parse } = readType(field);
      const option = new Option(`${flagOf(field)} ${placeholder}`, description);
      if (choices) option.choices(choices);
      return option.argParser(parse);
    }),
    new Option('--strict', descriptionOf(strictField)),
  ];
}

interface JsonType {
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonType[];
}

function readType(field: Field): { placeholder: string; choices?: string[]; parse: (text: string) => unknown } {
  const schema = z.toJSONSchema(jobFields[field], { io: 'input', unrepresentable: 'any' }) as JsonType;
  const [type = schema] = schema.anyOf ?? [];
  if (type.enum) {
    const choices = type.enum.map((word) => word.toLowerCase());
    return { placeholder: '<word>', choices, parse: (text) => parseWord(text, choices) };
  }
  const name = [type.type].flat()[0];
  if (name === 'boolean') {
    return { placeholder: '<true|false>', parse: (text) => parseWord(text, ['true', 'false']) === 'TRUE' };
  }
  if (name === 'number') return { placeholder: '<number>', parse: parseNumber };
  if (name === 'string') return { placeholder: '<text>', parse: (text) => text };
  throw new Error(`The setting ${field} needs an entry in OWN_FLAGS.`);
}

/** Returns the word in upper case, as in GraphQL. */
function parseWord(text: string, words: readonly string[]): string {
  if (words.includes(text.toLowerCase())) return text.toUpperCase();
  throw new InvalidArgumentError(`Allowed choices are ${words.join(', ')}.`);
}

function parseNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number.');
}

function parseRescale(text: string): object {
  return { function: 'MULTIPLY', coefficient: text };
}

function addFilter(text: string, previous: Parameters<typeof parseFilter>[1] | undefined): unknown {
  return parseFilter(text, previous ?? []);
}

/** The input of createJob or updateJob, and which of its fields came from flags. */
export interface JobInput {
  readonly input: Readonly<Record<string, unknown>>;
  readonly flagged: ReadonlySet<string>;
  /** Version that the file is based on; null if it has none. */
  readonly version: number | null;
}

type Flags = Readonly<Record<string, unknown>>;

const KNOWN = [...FIELDS, 'strict'];

/**
 * Merges the fields of a file with those of flags, which win, for createJob and checkJob. Throws CommandError if the file has an
 * unknown field or a required setting is missing.
 * @param text JSON in the spelling of CreateJobInput, or as `job show` prints it; null without a file
 * @param settings the settings of the job that is edited, which the fields replace
 */
export function buildJobInput(text: string | null, flags: Flags, settings: Flags = {}): JobInput {
  const patch = buildJobPatch(text, flags);
  const input = { ...settings, ...patch.input };
  const missing = FIELDS.filter((field) => isRequired(field) && (input[field] ?? null) === null);
  if (missing.length > 0) {
    throw missingValue(
      `Required: ${missing.map(flagOf).join(', ')}. Set ${missing.length === 1 ? 'it' : 'them'}, or name a file with these fields with --file.`,
      text,
    );
  }
  return { ...patch, input };
}

/** Merges the fields of a file with those of flags, which win, for updateJob. Throws CommandError if the file has an unknown field. */
export function buildJobPatch(text: string | null, flags: Flags): JobInput {
  const { version = null, ...file } = text === null ? {} : parseFile(text);
  const fields = Object.fromEntries(Object.entries(file).filter(([field]) => !READ_ONLY_FIELDS.includes(field)));
  for (const field of Object.keys(fields)) assertField(field);
  if (version !== null && typeof version !== 'number') throw new CommandError('The version of a job is a number.');
  const flagged = KNOWN.filter((field) => flags[field] !== undefined);
  const cleared = (flags['clear'] ?? []) as readonly string[];
  return {
    input: {
      ...fields,
      ...Object.fromEntries(cleared.map((field) => [field, null])),
      ...Object.fromEntries(flagged.map((field) => [field, flags[field]])),
    },
    flagged: new Set(flagged),
    version,
  };
}

function assertField(field: string): void {
  if (KNOWN.includes(field)) return;
  const nearest = findNearestName(field, KNOWN);
  throw new CommandError(
    `A job does not have the field "${replaceControlCharacters(field)}". ${nearest === null ? `It has: ${KNOWN.join(', ')}.` : `Did you mean "${nearest}"?`}`,
  );
}

/** The flag of `job edit` that clears settings. */
export function createClearOption(): Option {
  const optional = FIELDS.filter((field) => !isRequired(field));
  return new Option(
    '--clear <fields>',
    'comma-separated settings to clear, such as cron,email; one that has a default gets it',
  ).argParser((text) => {
    for (const field of parseList(text)) {
      if ((optional as string[]).includes(field)) continue;
      const nearest = findNearestName(field, optional);
      throw new InvalidArgumentError(
        `"${field}" is not an optional setting.${nearest === null ? ` Those are ${optional.join(', ')}.` : ` Did you mean ${nearest}?`}`,
      );
    }
    return parseList(text);
  });
}

/** Converts the coefficient of a file to a string, because a double loses digits. */
function parseFile(text: string): Record<string, unknown> {
  // TypeScript's library does not declare the third argument of a reviver yet (ES2026).
  const keepDigits = (key: string, value: unknown, { source }: { readonly source?: string }): unknown =>
    key === 'coefficient' && typeof value === 'number' ? source : value;
  let value: unknown;
  try {
    value = JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown);
  } catch (error) {
    throw new CommandError(`The file is not valid JSON: ${error instanceof Error ? error.message : String(error)}.`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new CommandError('The file must contain one JSON object with the fields of CreateJobInput.');
}

/** Returns the names of settings in messages: the flag if it was given, otherwise the field. */
export function nameSetting(flagged: ReadonlySet<string>): NameField {
  return (field) => (flagged.has(field) ? flagOf(field) : field);
}
