// Pure: names that stand twice in one object of a JSON text. JSON.parse keeps the last and drops the others in silence.

const STRINGS = /"(?:[^"\\]|\\.)*"(\s*:)?/g;
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * The paths of the names that repeat an earlier one of their object. The text is valid JSON, and the value what it was
 * parsed to: where that has as many names as the text, there is nothing to look for.
 */
export const findRepeatedNames = (text: string, value: unknown): string[][] =>
  namesInText(text) === namesInValue(value) ? [] : readRepeatedNames(text);

const namesInText = (text: string): number => {
  let count = 0;
  for (const [, colon] of text.matchAll(STRINGS)) if (colon !== undefined) count += 1;
  return count;
};

/** Not by recursion: a hostile text is nested deeper than the stack. */
const namesInValue = (value: unknown): number => {
  let count = 0;
  const left = [value];
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one !== 'object' || one === null) continue;
    const isList = Array.isArray(one);
    // What stands for a number (an ExactNumber) is no object of the text.
    if (!isList && Object.getPrototypeOf(one) !== Object.prototype) continue;
    const items: unknown[] = isList ? one : Object.values(one);
    if (!isList) count += items.length;
    for (const item of items) if (typeof item === 'object') left.push(item);
  }
  return count;
};

/** An object or list that is open, and where in it the text has come. */
interface Open {
  /** Null for a list. */
  readonly names: Set<string> | null;
  at: string | number;
}

const readRepeatedNames = (text: string): string[][] => {
  const repeated: string[][] = [];
  const stack: Open[] = [];
  let last = '';
  for (const [token] of text.matchAll(TOKENS)) {
    const top = stack.at(-1);
    if (token === '{') stack.push({ names: new Set(), at: '' });
    else if (token === '[') stack.push({ names: null, at: 0 });
    else if (token === '}' || token === ']') stack.pop();
    else if (token === ',' && top?.names === null) top.at = Number(top.at) + 1;
    else if (token === ':' && top?.names) {
      top.at = JSON.parse(last) as string;
      if (top.names.has(top.at)) repeated.push(stack.map(({ at }) => String(at)));
      top.names.add(top.at);
    }
    last = token;
  }
  return repeated;
};
