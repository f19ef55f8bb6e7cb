// Pure: texts by their names, within a bound on what they hold together.

/** A character may take two bytes; the entry itself takes the rest, with the name and its place in the order. */
const BYTES_A_CHARACTER = 2;
const BYTES_AN_ENTRY = 300;
/** Of the whole: so that one long text does not put all others out. */
const LARGEST_SHARE = 1 / 8;

export interface TextStore {
  get(name: string): string | undefined;
  set(name: string, text: string): void;
}

/** Forgets what was not asked for longest. A text that alone would take an eighth of the bytes or more is not kept. */
export const createTextStore = (maxBytes: number): TextStore => {
  const kept = new Map<string, string>();
  let bytes = 0;
  const forget = (name: string): void => {
    const text = kept.get(name);
    if (text !== undefined) bytes -= bytesOf(text);
    kept.delete(name);
  };
  const put = (name: string, text: string): void => {
    kept.set(name, text);
    bytes += bytesOf(text);
  };
  return {
    get: (name) => {
      const text = kept.get(name);
      if (text === undefined) return undefined;
      // A Map keeps the order of insertion: what was asked for goes to its end.
      kept.delete(name);
      kept.set(name, text);
      return text;
    },
    set: (name, text) => {
      if (bytesOf(text) >= maxBytes * LARGEST_SHARE) return;
      forget(name);
      put(name, text);
      for (const [oldest] of kept) {
        if (bytes <= maxBytes) break;
        forget(oldest);
      }
    },
  };
};

const bytesOf = (text: string): number => text.length * BYTES_A_CHARACTER + BYTES_AN_ENTRY;
