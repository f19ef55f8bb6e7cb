// Pure: the content of a request, for idempotency: the same for every spelling of the same canonical records, however
// they came, as a list or in parts.
import { createHash } from 'node:crypto';
import type { CanonicalRecords } from './records.ts';
import type { CanonicalSelector } from './selectors.ts';

export class ContentDigest {
  readonly #hash = createHash('sha256');
  #begun = false;

  constructor(kind: 'SUM' | 'REPLACE' | 'DELETE', stream: string) {
    this.#hash.update(`${kind}\n${stream}\n`);
  }

  addRecords(records: CanonicalRecords): this {
    const lines: string[] = [];
    if (!this.#begun) lines.push(records.granularity);
    for (const [place, bucket] of records.buckets.entries()) {
      const filter = records.filters[records.filterIndexes[place] ?? -1];
      // No part can hold a control character, so U+001F cannot be mistaken for a part of one.
      lines.push(`${bucket}\u001f${filter?.text}\u001f${records.elements[place]}\u001f${records.values[place]}`);
    }
    return this.#add(lines);
  }

  addSelectors(selectors: readonly CanonicalSelector[]): this {
    return this.#add(
      selectors.map(
        ({ granularity, bucket, filter, element }) =>
          `${granularity}\u001f${bucket}\u001f${filter?.text ?? '*'}\u001f${element === null ? '*' : `=${element}`}`,
      ),
    );
  }

  /** 32 bytes. Nothing can be added afterwards. */
  finish(): Buffer {
    return this.#hash.digest();
  }

  #add(lines: readonly string[]): this {
    if (lines.length === 0) return this;
    if (this.#begun) this.#hash.update('\n');
    this.#hash.update(lines.join('\n'));
    this.#begun = true;
    return this;
  }
}
