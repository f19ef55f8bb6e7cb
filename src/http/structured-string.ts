// Pure: header values that may be a string of RFC 8941 (structured field values).

/** Between the quotes, printable ASCII; `"` and `\` are escaped by `\`. */
const STRING = /^"(?:[\x20-\x21\x23-\x5B\x5D-\x7E]|\\["\\])*"$/;

/** The text of a value such as `"abc"`; a value without quotes is itself the text. Null for a malformed string. */
export function readString(value: string): string | null {
  if (!value.startsWith('"')) return value;
  return STRING.test(value) ? value.slice(1, -1).replaceAll(/\\(["\\])/g, '$1') : null;
}
