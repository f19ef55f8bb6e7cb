// Pure: the elements of a list in a JSON text, one by one, so that their parsed forms need not be in memory together.

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** Brackets and braces differ in one bit. */
const CASE = 0x20;

/** The texts of the elements of the first list. The text is valid JSON, and has no bracket in a string before that list. */
export const elementsOf = function* (text: string): Generator<string, void> {
  let start = text.indexOf('[') + 1;
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === COMMA && depth === 0) {
      yield text.slice(start, at);
      start = at + 1;
    } else if (code < BACKSLASH - 1) continue;
    else if ((code | CASE) === OPENING_BRACE) depth += 1;
    else if ((code | CASE) === CLOSING_BRACE) {
      depth -= 1;
      if (depth >= 0) continue;
      const last = text.slice(start, at);
      if (last.trim() !== '') yield last;
      return;
    }
  }
};

/** The closing quote of the string that begins there. */
function endOfString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}
