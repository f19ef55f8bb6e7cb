// Pure: what is wrong with lines of a file, in words.
import type { ApiError } from '../client/graphql-client.ts';
import { MAX_LISTED_ISSUES, ValidationError } from '../errors.ts';
import { plural } from './amounts.ts';

/** Keeps the first hundred and counts them all. */
export class LineIssues {
  readonly #messages: string[] = [];
  #count = 0;

  add(line: number, message: string): void {
    this.#count += 1;
    if (this.#messages.length < MAX_LISTED_ISSUES) this.#messages.push(`Line ${line}: ${message}`);
  }

  throwIfAny(): void {
    if (this.#count > 0) throw refusal(this.#messages, this.#count);
  }
}

/** What the server said of records, of their lines; null where it said nothing of single ones. */
export const refusedLines = (error: ApiError, lineOf: (index: number) => number): ValidationError | null => {
  const { issues = [], issueCount = issues.length } = error.details;
  if (issues.length === 0) return null;
  const messages = issues.map(({ path: [list = '', index = '', ...rest], message: words, code }) => {
    // It names the other record too, by its index.
    const message =
      code === 'DUPLICATE_KEY'
        ? words.replaceAll(
            /(r)ecord (\d+)/gi,
            (_, r: string, at: string) => `${r === 'R' ? 'L' : 'l'}ine ${lineOf(Number(at))}`,
          )
        : words;
    if (list !== 'records' || !/^\d+$/.test(index))
      return `${[list, index, ...rest].filter(Boolean).join('.')}: ${message}`;
    return `Line ${lineOf(Number(index))}${rest.length > 0 ? `, ${rest.join('.')}` : ''}: ${message}`;
  });
  return refusal(messages, issueCount);
};

const refusal = (messages: readonly string[], count: number): ValidationError => {
  const more = count > messages.length ? [`and ${plural(count - messages.length, 'more problem')}.`] : [];
  const message = [...messages, ...more].join('\n');
  return new ValidationError([{ path: [], code: 'BAD_VALUE', message }], count);
};
