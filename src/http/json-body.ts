import { isUtf8 } from 'node:buffer';
import { type Issue, MAX_LISTED_ISSUES, ValidationError } from '../errors/errors.ts';
import { BodyError } from './request-body.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import { type ExactJson, parseJsonExactly } from '../lib/json-numbers.ts';
import { findDuplicateKeys } from '../lib/duplicate-keys.ts';

/** Decodes a body as UTF-8 without its byte order mark. Throws BodyError if it is not UTF-8. */
export function decodeBody(body: Buffer): string {
  if (!isUtf8(body)) throw new BodyError(400, 'The body is not UTF-8.');
  return body.toString('utf8').replace(/^\uFEFF/, '');
}

/** Parses a body; undefined if it is empty. Throws BodyError if it is not JSON, and ValidationError if an object has duplicate keys. */
export const parseJson = (text: string): unknown => parseBody(text)?.value;

/** Like parseJson, but returns the parsed text too. */
export function parseBody(text: string): ExactJson | undefined {
  if (text.trim() === '') return undefined;
  let exact: ExactJson;
  try {
    exact = parseJsonExactly(text);
  } catch (error) {
    if (error instanceof JsonBoundsError) throw new BodyError(400, error.message);
    throw new BodyError(
      400,
      `The body is not valid JSON: ${error instanceof Error ? error.message : 'unknown error'}.`,
    );
  }
  const repeated = repeatedNames(exact);
  if (repeated.count > 0) throw new ValidationError(repeated.issues, repeated.count);
  return exact;
}

/** Counts all duplicate keys of objects, and lists the first `most`. */
export function repeatedNames(
  { text, value }: ExactJson,
  most = MAX_LISTED_ISSUES,
): { readonly issues: Issue[]; readonly count: number } {
  const { paths, count } = findDuplicateKeys(text, value, most);
  const issues = paths.map((path): Issue => ({
    path,
    code: path.at(-2) === 'filter' ? 'DUPLICATE_DIMENSION' : 'REPEATED_NAME',
    message: `The object already has the name "${path.at(-1)}", so the value is ambiguous. Send each name once.`,
  }));
  return { issues, count };
}
