// Pure: the elements of a list in a JSON text, one by one, so that their parsed forms need not be in memory together.

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** Brackets and braces differ in one bit. */
const CASE = 0x20;

/** The texts of the elements of the list that a member of an object has. The text is valid JSON, and the object has the member. */
export const elementsOf = function* (text: string, member: string): Generator<string, void> {
  let start = text.indexOf('[', endOfName(text, member)) + 1;
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

/** Returns the position of the closing quote of a member's name in the outermost object. */
function endOfName(text: string, member: string): number {
  let depth = 0;
  let isName = true;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      if (depth === 1 && isName && JSON.parse(text.slice(at, end + 1)) === member) return end;
      isName = false;
      at = end;
    } else if (code === COMMA) isName = true;
    else if (code < BACKSLASH - 1) continue;
    else if ((code | CASE) === OPENING_BRACE) depth += 1;
    else if ((code | CASE) === CLOSING_BRACE) depth -= 1;
  }
  throw new Error(`The object has no member "${member}".`);
}

/** The closing quote of the string that begins there. */
function endOfString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}
