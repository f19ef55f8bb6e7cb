import { LRUCache } from 'lru-cache';
import type { CanonicalFilter } from './pipeline/canonical.ts';
import type { StreamRow } from './stream-rows.ts';

// Streams and filter ids that a server has read or written, so that writes need not look them up. They do not change while the stream is
// live, and each write checks that under the lock of the stream. Filters are deleted only when a deleted stream is purged.

const MAX_STREAMS = 10_000;
const MAX_FILTERS = 50_000;
/** Maximum characters of a cached filter; longer ones are looked up each time. All together take at most about 25 MB. */
const MAX_FILTER_TEXT = 300;

export interface StreamCache {
  get(accountId: bigint, name: string): StreamRow | undefined;
  /** Caches a stream that was read, or written and committed. */
  set(stream: StreamRow): void;
  invalidate(accountId: bigint, name: string): void;
  getFilterId(streamId: bigint, filter: CanonicalFilter): string | undefined;
  /** Caches the ids of filters that are committed. */
  setFilterIds(streamId: bigint, filters: readonly CanonicalFilter[], ids: readonly string[]): void;
}

export function createStreamCache(): StreamCache {
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
    setFilterIds: (streamId, added, ids) => {
      for (const [index, { text }] of added.entries()) {
        const id = ids[index];
        if (id === undefined || text.length > MAX_FILTER_TEXT) continue;
        filters.set(`${streamId} ${text}`, id);
      }
    },
  };
}
