// Pure: the cache of parsed and validated documents.
import { LRUCache } from 'lru-cache';

/** Documents of clients are shorter. A longer one contains its records inline and is not sent again. */
const MAX_LENGTH = 4096;
/** A parsed document of 4096 characters takes about 200 KB. */
const MAX_DOCUMENTS = 256;

/** Returns an LRU cache by the text of the document. It ignores texts of more than 4096 characters. */
export function createDocumentCache<Value extends object | number>(): LRUCache<string, Value> {
  return new LRUCache({
    max: MAX_DOCUMENTS,
    maxEntrySize: MAX_LENGTH,
    // An empty text is cached too; its size must not be 0.
    sizeCalculation: (_value, text) => Math.max(text.length, 1),
  });
}
