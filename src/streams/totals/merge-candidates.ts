// Pure: counts the operations that this process wrote to each stream since its totals were last merged.

export interface MergeCandidates {
  /** Counts one operation. */
  countOperation(accountId: bigint, streamId: bigint): void;
  /** Makes the stream due again. */
  markDue(accountId: bigint, streamId: bigint): void;
  /** By account, the streams with enough operations; their counts start at 0 again. */
  takeDue(): Map<bigint, bigint[]>;
}

export interface MergeCandidatesOptions {
  /** A stream with this number of operations is due. */
  readonly leastOperations: number;
  /** Streams that are counted at a time. Beyond it all counts but those of due streams are dropped: the sweep finds the rest. */
  readonly maxCounted: number;
}

interface Written {
  readonly accountId: bigint;
  count: number;
}

export const createMergeCandidates = ({ leastOperations, maxCounted }: MergeCandidatesOptions): MergeCandidates => {
  const streams = new Map<bigint, Written>();
  const add = (accountId: bigint, streamId: bigint, count: number): void => {
    const known = streams.get(streamId);
    if (known) {
      known.count += count;
      return;
    }
    if (streams.size >= maxCounted) {
      for (const [id, { count: counted }] of streams) if (counted < leastOperations) streams.delete(id);
    }
    if (streams.size < maxCounted) streams.set(streamId, { accountId, count });
  };
  return {
    countOperation: (accountId, streamId) => add(accountId, streamId, 1),
    markDue: (accountId, streamId) => add(accountId, streamId, leastOperations),
    takeDue: () => {
      const due = new Map<bigint, bigint[]>();
      for (const [streamId, { accountId, count }] of streams) {
        if (count < leastOperations) continue;
        streams.delete(streamId);
        const ofAccount = due.get(accountId) ?? [];
        ofAccount.push(streamId);
        due.set(accountId, ofAccount);
      }
      return due;
    },
  };
};
