import type { Db } from '../db/client.ts';
import { StreamBusyError } from '../errors.ts';
import type { Stoppable } from '../lib/lifecycle.ts';
import { hashKeys, needsHashes } from './hash-keys.ts';
import type { StreamRow } from './rows.ts';
import type { StreamQueue } from './stream-queue.ts';

export interface KeyHasher extends Stoppable {
  /** Somebody looks for single keys in the stream: they are hashed if one of its buckets is large. */
  note(stream: StreamRow): void;
}

export interface KeyHasherOptions {
  readonly dbOf: (accountId: bigint) => Db;
  readonly streamQueue: StreamQueue;
  /** Live records of a large bucket. Defaults to 20,000, of which a look-up reads all in 5 ms. */
  readonly leastRecords?: number;
  readonly onError: (error: unknown) => void;
}

const LEAST_RECORDS = 20_000;
/** A stream without large buckets is looked at again when it is noted after so long, and a small share of the time at most. */
const LEAST_PAUSE_MS = 5000;
const PAUSES = 50;
/** About 1 MB of memory. */
const MAX_REMEMBERED = 10_000;

/** Hashes the keys of streams in which single keys are looked for, one stream at a time. */
export const createKeyHasher = (options: KeyHasherOptions): KeyHasher => {
  const { dbOf, streamQueue, leastRecords = LEAST_RECORDS, onError } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  /** By the id of the stream, until when it is not looked at again; Infinity while it waits or is under way. */
  const rests = new Map<bigint, number>();
  let last: Promise<void> = Promise.resolve();
  const hash = async (stream: StreamRow): Promise<void> => {
    const begun = performance.now();
    let lookedMs = 0;
    try {
      if (signal.aborted) return;
      const db = dbOf(stream.accountId);
      const needs = await needsHashes(db, stream, leastRecords);
      lookedMs = performance.now() - begun;
      if (needs) await hashKeys({ db, streamQueue, signal }, stream);
    } catch (error) {
      // Others use the stream: the next look-up tries again.
      if (!signal.aborted && !(error instanceof StreamBusyError)) onError(error);
    } finally {
      rests.set(stream.id, performance.now() + Math.max(LEAST_PAUSE_MS, PAUSES * lookedMs));
    }
  };
  return {
    note: (stream) => {
      if (stream.keysHashed || signal.aborted || (rests.get(stream.id) ?? 0) > performance.now()) return;
      if (rests.size >= MAX_REMEMBERED) rests.clear();
      rests.set(stream.id, Infinity);
      last = last.then(() => hash(stream));
    },
    stop: () => {
      stopping.abort();
      return last;
    },
  };
};
