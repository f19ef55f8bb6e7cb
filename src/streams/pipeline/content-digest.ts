// Pure: hashes the content of a request for its idempotency key. The hash is the same for every spelling of the same canonical
// records, as a list or in batches.
import { createHash } from 'node:crypto';
import type { CanonicalRecords } from './records.ts';
import type { CanonicalScope } from './scope.ts';
import type { CanonicalSelector } from './selectors.ts';

export class ContentDigest {
  readonly #hash = createHash('sha256');
  #begun = false;

  constructor(kind: 'SUM' | 'REPLACE' | 'DELETE', stream: string) {
    this.#hash.update(`${kind}\n${stream}\n`);
  }

  addRecords(records: CanonicalRecords): this {
    const { buckets, bucketIndexes, filters, filterIndexes, elements, values } = records;
    if (!this.#begun) this.#add(records.granularity);
    let text = '';
    for (let index = 0; index < elements.length; index += 1) {
      const filter = filters[filterIndexes[index] ?? -1];
      // U+001F separates the parts: none of them can contain a control character.
      text += `${index === 0 ? '' : '\n'}${buckets[bucketIndexes[index] ?? -1]}\u001f${filter?.text}\u001f${elements[index]}\u001f${values[index]}`;
    }
    return elements.length === 0 ? this : this.#add(text);
  }

  addSelectors(selectors: readonly CanonicalSelector[]): this {
    if (selectors.length === 0) return this;
    return this.#add(
      selectors
        .map(
          ({ granularity, bucket, filter, element }) =>
            `${granularity}\u001f${bucket}\u001f${filter?.text ?? '*'}\u001f${element === null ? '*' : `=${element}`}`,
        )
        .join('\n'),
    );
  }

  /** Added after all records, so that the hash of a request without a scope does not depend on scopes. */
  addScope({ from, to, filter, element }: CanonicalScope): this {
    return this.#add(
      `SCOPE\u001f${from}\u001f${to}\u001f${filter?.text ?? '*'}\u001f${element === null ? '*' : `=${element}`}`,
    );
  }

  /** Returns 32 bytes. Nothing can be added afterwards. */
  finish(): Buffer {
    return this.#hash.digest();
  }

  #add(lines: string): this {
    if (this.#begun) this.#hash.update('\n');
    this.#hash.update(lines);
    this.#begun = true;
    return this;
  }
}
