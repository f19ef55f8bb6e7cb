// Pure: what is wrong with lines of a file, in words.
import type { ApiError } from '../../api-client/errors.ts';
import { MAX_LISTED_ISSUES, ValidationError } from '../../errors/errors.ts';
import { pluralize } from '../../lib/format-amounts.ts';

/** What the server refused: a record of the part, and the field that the issue names. */
export interface RefusedField {
  readonly index: number;
  readonly path: readonly string[];
}

/** Keeps the first hundred and counts them all. */
export class LineIssues {
  readonly #messages: string[] = [];
  #count = 0;

  add(line: number, place: string | null, message: string): void {
    this.#count += 1;
    if (this.#messages.length < MAX_LISTED_ISSUES) this.#messages.push(lineText(line, place, message));
  }

  /** The footer is said once, below the lines. */
  throwIfAny(footer: string | null): void {
    if (this.#count > 0) throw refusal(this.#messages, this.#count, footer);
  }
}

const lineText = (line: number, place: string | null, message: string): string =>
  `Line ${line}${place === null ? '' : `, ${place}`}: ${message}`;

/** The indices of the records that the server refused. */
export const refusedIndices = ({ details: { issues = [] } }: ApiError): ReadonlySet<number> =>
  new Set(issues.flatMap(({ path }) => refusedField(path)?.index ?? []));

const refusedField = ([list, index = '', ...path]: readonly string[]): RefusedField | null =>
  list === 'records' && /^\d+$/.test(index) ? { index: Number(index), path } : null;

export interface RefusalPlaces {
  readonly lineOf: (index: number) => number;
  /** Null if nothing but the path is known. */
  readonly placeOf: (field: RefusedField) => string | null;
  readonly footer: string | null;
}

/** What the server said about records, by their lines; null if it said nothing about single ones. */
export const refusedLines = (error: ApiError, { lineOf, placeOf, footer }: RefusalPlaces): ValidationError | null => {
  const { issues = [], issueCount = issues.length } = error.details;
  if (issues.length === 0) return null;
  const messages = issues.map(({ path, message: words, code }) => {
    // It names the other record too, by its index.
    const message =
      code === 'DUPLICATE_KEY'
        ? words.replaceAll(
            /(r)ecord (\d+)/gi,
            (_, r: string, at: string) => `${r === 'R' ? 'L' : 'l'}ine ${lineOf(Number(at))}`,
          )
        : words;
    const field = refusedField(path);
    if (field === null) return `${path.filter(Boolean).join('.')}: ${message}`;
    return lineText(lineOf(field.index), placeOf(field) ?? (field.path.join('.') || null), message);
  });
  return refusal(messages, issueCount, footer);
};

const refusal = (messages: readonly string[], count: number, footer: string | null): ValidationError => {
  const more = count > messages.length ? [`and ${pluralize(count - messages.length, 'more problem')}.`] : [];
  const message = [...messages, ...more, ...(footer === null ? [] : [footer])].join('\n');
  return new ValidationError([{ path: [], code: 'BAD_VALUE', message }], count);
};
