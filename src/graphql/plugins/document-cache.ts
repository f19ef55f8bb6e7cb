// Pure: parsed documents, kept for the next request with the same text.

/** A client's own queries are this short; what is longer carries its records inline and never comes again. */
const MAX_LENGTH = 4096;
/** Parsed, a document of that length holds about 200 KB. */
const MAX_DOCUMENTS = 256;

export interface DocumentCache<Value> {
  get(text: string): Value | undefined;
  set(text: string, value: Value): void;
}

/** Forgets what was not asked for longest. Long texts are not kept: a thousand of 5 MiB would fill the memory. */
export const createDocumentCache = <Value>(): DocumentCache<Value> => {
  const kept = new Map<string, Value>();
  return {
    get: (text) => {
      const value = kept.get(text);
      if (value === undefined) return undefined;
      // A Map keeps the order of insertion: what was asked for goes to its end.
      kept.delete(text);
      kept.set(text, value);
      return value;
    },
    set: (text, value) => {
      if (text.length > MAX_LENGTH) return;
      kept.delete(text);
      kept.set(text, value);
      const [oldest] = kept.keys();
      if (kept.size > MAX_DOCUMENTS && oldest !== undefined) kept.delete(oldest);
    },
  };
};
