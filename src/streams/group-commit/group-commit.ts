import type { Db } from '../../db/client.ts';
import type { Clock } from '../../lib/clock.ts';
import { createGathering } from './coalescer.ts';
import { countDisjoint, writeKeyed } from './keyed-writes.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { MAX_BATCH, type SmallWrite } from './write-group.ts';
import { writeSums } from './sums.ts';

export interface WriteBatches {
  /**
   * Writes it together with others of its stream. Returns the operation when it is committed; null if the write must be made by
   * itself: its key is taken, or the stream is gone.
   */
  add(db: Db, stream: StreamRow, write: SmallWrite): Promise<OperationRow | null>;
}

/** Sums gather beside sums; replaces and deletes beside each other. */
export const createWriteBatches = ({ clock }: { readonly clock: Clock }): WriteBatches => {
  const gatherSum = createGathering<SmallWrite>({
    write: writeSums,
    countNext: ({ length }) => Math.min(length, MAX_BATCH),
  });
  const gatherKeyed = createGathering<SmallWrite>({
    write: (db, stream, writes) => writeKeyed(db, clock, stream, writes),
    countNext: countDisjoint,
  });
  return {
    add: (db, stream, write) => (write.kind === 'SUM' ? gatherSum : gatherKeyed)(db, stream, write),
  };
};
