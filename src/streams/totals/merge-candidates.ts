// Pure: counts the operations that this process wrote to each stream since the totals of the stream were last merged.

export interface MergeCandidates {
  /** Counts an operation. */
  countOperation(accountId: bigint, streamId: bigint): void;
  /** Makes the stream due. */
  markDue(accountId: bigint, streamId: bigint): void;
  /** Returns the streams that are due, by account, and resets their counts. */
  takeDue(): Map<bigint, bigint[]>;
}

export interface MergeCandidatesOptions {
  /** Number of operations at which a stream is due. */
  readonly minOperations: number;
  /** Maximum number of counted streams. Above it, the counts of streams that are not due are dropped: the sweep finds these streams. */
  readonly maxCounted: number;
}

interface Written {
  readonly accountId: bigint;
  count: number;
}

export function createMergeCandidates({ minOperations, maxCounted }: MergeCandidatesOptions): MergeCandidates {
  const streams = new Map<bigint, Written>();
  const add = (accountId: bigint, streamId: bigint, count: number): void => {
    const known = streams.get(streamId);
    if (known) {
      known.count += count;
      return;
    }
    if (streams.size >= maxCounted) {
      for (const [id, { count: counted }] of streams) if (counted < minOperations) streams.delete(id);
    }
    if (streams.size < maxCounted) streams.set(streamId, { accountId, count });
  };
  return {
    countOperation: (accountId, streamId) => add(accountId, streamId, 1),
    markDue: (accountId, streamId) => add(accountId, streamId, minOperations),
    takeDue: () => {
      const due = new Map<bigint, bigint[]>();
      for (const [streamId, { accountId, count }] of streams) {
        if (count < minOperations) continue;
        streams.delete(streamId);
        const ofAccount = due.get(accountId) ?? [];
        ofAccount.push(streamId);
        due.set(accountId, ofAccount);
      }
      return due;
    },
  };
}
