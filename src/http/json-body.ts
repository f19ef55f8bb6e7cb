import { isUtf8 } from 'node:buffer';
import { type Issue, MAX_LISTED_ISSUES, ValidationError } from '../errors/errors.ts';
import { BodyError } from './request-body.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import { type ExactJson, parseJsonExactly } from '../lib/json-numbers.ts';
import { findDuplicateKeys } from '../lib/duplicate-keys.ts';

/** The body as text. Throws BodyError. */
export const decodeBody = (body: Buffer): string => {
  if (!isUtf8(body)) throw new BodyError(400, 'The body is not UTF-8.');
  return body.toString('utf8').replace(/^\uFEFF/, '');
};

/** The body as JSON; undefined where it is empty. Throws BodyError, and ValidationError for names that are repeated. */
export const parseJson = (text: string): unknown => parseBody(text)?.value;

/** The same, with the text that was parsed. */
export const parseBody = (text: string): ExactJson | undefined => {
  if (text.trim() === '') return undefined;
  let exact: ExactJson;
  try {
    exact = parseJsonExactly(text);
  } catch (error) {
    if (error instanceof JsonBoundsError) throw new BodyError(400, error.message);
    throw new BodyError(400, `The body is not JSON: ${error instanceof Error ? error.message : 'it cannot be read'}.`);
  }
  const repeated = repeatedNames(exact);
  if (repeated.count > 0) throw new ValidationError(repeated.issues, repeated.count);
  return exact;
};

/** All repeated names are counted, and the first `most` of them listed. */
export const repeatedNames = (
  { text, value }: ExactJson,
  most = MAX_LISTED_ISSUES,
): { readonly issues: Issue[]; readonly count: number } => {
  const { paths, count } = findDuplicateKeys(text, value, most);
  const issues = paths.map((path): Issue => ({
    path,
    code: path.at(-2) === 'filter' ? 'DUPLICATE_DIMENSION' : 'REPEATED_NAME',
    message: `The object already has the name "${path.at(-1)}", so the value is ambiguous. Send each name once.`,
  }));
  return { issues, count };
};
