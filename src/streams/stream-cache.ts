import { LRUCache } from 'lru-cache';
import type { CanonicalFilter } from './pipeline/canonical.ts';
import type { StreamRow } from './stream-rows.ts';

// What a server remembers of streams, so that a write need not ask: nothing of it ever changes while the stream lives, and
// whether it does the write itself finds out under the stream's lock. Filters go only when a deleted stream is purged.

const MAX_STREAMS = 10_000;
const MAX_FILTERS = 50_000;
/** Characters; what is longer is looked up each time. About 25 MB in all at most. */
const MAX_FILTER_TEXT = 300;

export interface StreamCache {
  get(accountId: bigint, name: string): StreamRow | undefined;
  /** What was read, or written and committed. */
  set(stream: StreamRow): void;
  invalidate(accountId: bigint, name: string): void;
  getFilterId(streamId: bigint, filter: CanonicalFilter): string | undefined;
  /** Of filters that are committed. */
  setFilterIds(streamId: bigint, filters: readonly CanonicalFilter[], ids: readonly string[]): void;
}

export const createStreamCache = (): StreamCache => {
  const streams = new LRUCache<string, StreamRow>({ max: MAX_STREAMS });
  const filters = new LRUCache<string, string>({ max: MAX_FILTERS });
  const keyOf = (accountId: bigint, name: string): string => `${accountId}/${name}`;
  return {
    get: (accountId, name) => streams.get(keyOf(accountId, name)),
    set: (stream) => {
      streams.set(keyOf(stream.accountId, stream.name), stream);
    },
    invalidate: (accountId, name) => {
      streams.delete(keyOf(accountId, name));
    },
    getFilterId: (streamId, filter) => filters.get(`${streamId} ${filter.text}`),
    setFilterIds: (streamId, noted, ids) => {
      for (const [index, { text }] of noted.entries()) {
        const id = ids[index];
        if (id === undefined || text.length > MAX_FILTER_TEXT) continue;
        filters.set(`${streamId} ${text}`, id);
      }
    },
  };
};
