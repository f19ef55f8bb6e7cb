// Pure: finds duplicate keys in the objects of a JSON text. JSON.parse keeps the last and silently drops the others.

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

export interface DuplicateKeys {
  /** Paths of the first ones, up to the requested number. */
  readonly paths: readonly string[][];
  /** Number of all duplicates. */
  readonly count: number;
}

const NONE: DuplicateKeys = { paths: [], count: 0 };

/**
 * Returns the paths of keys that repeat an earlier one of their object. The text is valid JSON within its bounds, and `value`
 * is its parsed form. If that has as many keys as the text, there are no duplicates.
 */
export function findDuplicateKeys(text: string, value: unknown, most: number): DuplicateKeys {
  return countNames(text) === countNamesOf(value) ? NONE : readDuplicateKeys(text, most);
}

/** Counts the keys of all objects of a text: valid JSON has a colon outside of strings for each of them. */
export function countNames(text: string): number {
  let count = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) inString = !inString;
    else if (code === BACKSLASH) at += 1;
    else if (code === COLON && !inString) count += 1;
  }
  return count;
}

/** Counts the keys of all objects of a parsed text: fewer than in the text if keys are repeated. */
export function countNamesOf(value: unknown): number {
  let count = 0;
  const left = [value];
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one !== 'object' || one === null) continue;
    const isList = Array.isArray(one);
    const items: unknown[] = isList ? one : Object.values(one);
    if (!isList) count += items.length;
    for (const item of items) if (typeof item === 'object') left.push(item);
  }
  return count;
}

/** An open object or list, and the current key or index in it. */
interface Open {
  /** Null for a list. */
  readonly names: Set<string> | null;
  at: string | number;
}

function readDuplicateKeys(text: string, most: number): DuplicateKeys {
  const paths: string[][] = [];
  let count = 0;
  const stack: Open[] = [];
  let string = '';
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    const top = stack.at(-1);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      string = text.slice(at, end);
      at = end - 1;
    } else if (code === OPENING_BRACE) stack.push({ names: new Set(), at: '' });
    else if (code === OPENING_BRACKET) stack.push({ names: null, at: 0 });
    else if (code === CLOSING_BRACE || code === CLOSING_BRACKET) stack.pop();
    else if (code === COMMA && top?.names === null) top.at = Number(top.at) + 1;
    else if (code === COLON && top?.names) {
      top.at = JSON.parse(string) as string;
      if (top.names.has(top.at)) {
        count += 1;
        if (paths.length < most) paths.push(stack.map((open) => String(open.at)));
      }
      top.names.add(top.at);
    }
  }
  return { paths, count };
}

/** Returns the index after the string that begins at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH) at += 1;
  }
  return text.length;
}
