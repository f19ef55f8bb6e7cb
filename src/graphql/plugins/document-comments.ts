// Pure: comments of a document. The parser does not count them as tokens, and creates an object for each: 5 MB of them took 280 ms.

const QUOTE = 0x22;
const HASH = 0x23;
const BACKSLASH = 0x5c;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Whether a document has more comments than `most`. Strings may contain `#`. Linear in the length of the text. */
export function hasMoreComments(text: string, most: number): boolean {
  let comments = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (code === HASH) {
      comments += 1;
      if (comments > most) return true;
      at = endOfLine(text, at);
    }
  }
  return false;
}

/** Returns the end of the string that begins there; that of the line if it is not closed, which the parser rejects. */
function endOfString(text: string, from: number): number {
  if (text.startsWith('"""', from)) return endOfBlockString(text, from);
  for (let at = from + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code === LINE_FEED || code === CARRIAGE_RETURN) return at;
    if (code === BACKSLASH) at += 1;
  }
  return text.length;
}

function endOfBlockString(text: string, from: number): number {
  for (let at = text.indexOf('"""', from + 3); at >= 0; at = text.indexOf('"""', at + 3)) {
    // A backslash escapes the three quotes, regardless of what precedes it.
    if (text.charCodeAt(at - 1) !== BACKSLASH) return at + 3;
  }
  return text.length;
}

function endOfLine(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === LINE_FEED || code === CARRIAGE_RETURN) return at;
  }
  return text.length;
}
