import type { Db } from '../../db/client.ts';
import type { Clock } from '../../lib/clock.ts';
import { createCoalescer } from './coalescer.ts';
import { countDisjointWrites, writeKeyed } from './keyed-writes.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { MAX_BATCH, type SmallWrite } from './write-group.ts';
import { writeSums } from './sums.ts';

export interface GroupCommit {
  /**
   * Writes it together with others of its stream. Returns the operation when it is committed; null if the write must be made by
   * itself: its key is taken, or the stream is gone.
   */
  write(db: Db, stream: StreamRow, write: SmallWrite): Promise<OperationRow | null>;
}

/** Sums gather beside sums; replaces and deletes beside each other. */
export const createGroupCommit = ({ clock }: { readonly clock: Clock }): GroupCommit => {
  const coalesceSum = createCoalescer<SmallWrite>({
    write: writeSums,
    countNext: ({ length }) => Math.min(length, MAX_BATCH),
  });
  const coalesceKeyed = createCoalescer<SmallWrite>({
    write: (db, stream, writes) => writeKeyed(db, clock, stream, writes),
    countNext: countDisjointWrites,
  });
  return {
    write: (db, stream, write) => (write.kind === 'SUM' ? coalesceSum : coalesceKeyed)(db, stream, write),
  };
};
