import type { Db } from '../../db/client.ts';
import { StreamBusyError } from '../../errors/errors.ts';
import type { Stoppable } from '../../lib/lifecycle.ts';
import { hashStreamKeys, findKeyState } from './hash-stream-keys.ts';
import type { StreamRow } from '../stream-rows.ts';
import type { StreamQueue } from '../stream-queue.ts';

export interface KeyHasher extends Stoppable {
  /** Call this when single keys of the stream are looked up. Hashes them later if one of its buckets is large. */
  enqueue(stream: StreamRow): void;
}

export interface KeyHasherOptions {
  readonly dbOf: (accountId: bigint) => Db;
  readonly streamQueue: StreamQueue;
  /** Live records of a large bucket. Defaults to 20,000, of which a look-up reads all in 5 ms. */
  readonly minRecords?: number;
  readonly onError: (error: unknown) => void;
}

const MIN_RECORDS = 20_000;
const WAIT_MS = 500;
/** Minimum time between checks of a stream, at least 50 times the duration of a check: checks take at most 2 % of the time. */
const MIN_PAUSE_MS = 5000;
const PAUSES = 50;
/** About 1 MB. */
const MAX_REMEMBERED = 10_000;
/** Streams above this number are ignored until a later look-up. */
const MAX_WAITING = 1000;

/** Hashes the keys of streams in which single keys are looked up, one stream at a time. */
export function createKeyHasher(options: KeyHasherOptions): KeyHasher {
  const { dbOf, streamQueue, minRecords = MIN_RECORDS, onError } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  /** Time of the next check, by stream id; Infinity once the keys are hashed. */
  const nextChecks = new Map<bigint, number>();
  /** Streams in the queue, including the one that is hashed. */
  const waiting = new Set<bigint>();
  let last: Promise<void> = Promise.resolve();
  const hash = async (stream: StreamRow): Promise<void> => {
    const begun = performance.now();
    let checkedMs = 0;
    let isHashed = false;
    try {
      if (signal.aborted) return;
      const db = dbOf(stream.accountId);
      const state = await findKeyState(db, stream, minRecords);
      checkedMs = performance.now() - begun;
      isHashed = state === 'HASHED';
      if (state === 'LARGE' || state === 'HASHING')
        await hashStreamKeys({ db, streamQueue, signal, waitMs: WAIT_MS }, stream, state);
    } catch (error) {
      // A busy stream is hashed after a later look-up.
      if (!signal.aborted && !(error instanceof StreamBusyError)) onError(error);
    } finally {
      waiting.delete(stream.id);
      if (nextChecks.size >= MAX_REMEMBERED) nextChecks.clear();
      nextChecks.set(stream.id, isHashed ? Infinity : performance.now() + Math.max(MIN_PAUSE_MS, PAUSES * checkedMs));
    }
  };
  return {
    enqueue: (stream) => {
      if (stream.keysHashed || signal.aborted || (nextChecks.get(stream.id) ?? 0) > performance.now()) return;
      if (waiting.has(stream.id) || waiting.size >= MAX_WAITING) return;
      waiting.add(stream.id);
      last = last.then(() => hash(stream));
    },
    stop: () => {
      stopping.abort();
      return last;
    },
  };
}
