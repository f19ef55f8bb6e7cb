// Pure: what a setting is, and how the kinds of them are read.

/** What is wrong with a setting; the message says what would be right. */
export class BadSetting extends Error {}

export interface Setting<Value> {
  readonly name: string;
  /** The default as docs/reference/settings.md shows it. */
  readonly defaultText: string;
  readonly description: string;
  /** Gets undefined where the variable is absent or empty. */
  readonly read: (text: string | undefined) => Value;
  /** What is wrong where the variable is set and empty; of most settings nothing is: it counts as absent. */
  readonly ifEmpty?: string;
}

export const setting = <Value>(
  name: string,
  defaultText: string,
  description: string,
  read: (text: string | undefined) => Value,
  ifEmpty?: string,
): Setting<Value> => ({ name, defaultText, description, read, ...(ifEmpty !== undefined && { ifEmpty }) });

export const text = (fallback: string) => (value: string | undefined) => value ?? fallback;
export const optional = (value: string | undefined) => value ?? null;

export const integer =
  (fallback: number, least: number, most: number) =>
  (value: string | undefined): number => {
    if (value === undefined) return fallback;
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= least && number <= most)) throw new BadSetting(`must be a whole number from ${least} to ${most}`);
    return number;
  };

export const oneOf =
  <Choice extends string>(fallback: Choice, choices: readonly Choice[]) =>
  (value: string | undefined): Choice => {
    if (value === undefined) return fallback;
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) throw new BadSetting(`must be one of ${choices.join(', ')}`);
    return choice;
  };

export const flag = (fallback: boolean) => (value: string | undefined) =>
  oneOf(fallback ? 'true' : 'false', ['true', 'false'])(value) === 'true';

/** @param problemOf what is wrong with an address, or null; its words never quote the address */
export const checked =
  (problemOf: (text: string) => string | null) =>
  (value: string | undefined): string | null => {
    const problem = value === undefined ? null : problemOf(value);
    if (problem !== null) throw new BadSetting(problem);
    return value ?? null;
  };

export const url =
  (...protocols: string[]) =>
  (value: string | undefined): string | null => {
    if (value === undefined) return null;
    const expected = `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`;
    if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol)) throw new BadSetting(expected);
    return value;
  };
