import { createHash } from 'node:crypto';

/** Names by text: finding one takes a tenth of the time of hashing. */
const names = new Map<string, string>();
/** Then all are forgotten: a statement with a list of values has another text for each length. */
const MAX_NAMES = 1000;

/**
 * Returns a name for a prepared statement, which each connection parses and plans once. It depends on the text alone, and is shorter
 * than PostgreSQL's limit of 63 bytes.
 */
export function nameStatement(text: string): string {
  const known = names.get(text);
  if (known !== undefined) return known;
  const name = createHash('sha1').update(text).digest('base64');
  if (names.size === MAX_NAMES) names.clear();
  names.set(text, name);
  return name;
}
