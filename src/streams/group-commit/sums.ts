import type { Db } from '../../db/client.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { insertMerged, mergeRecords, type SmallWrite, writeGroup } from './write-group.ts';

/** Writes sums in one transaction. Returns their operations; null for each sum that must be written by itself. */
export const writeSums = (db: Db, stream: StreamRow, sums: readonly SmallWrite[]): Promise<(OperationRow | null)[]> =>
  writeGroup(db, stream, sums, 'shared', async (tx, taken, locked) => {
    await insertMerged(tx, locked, mergeRecords(taken), false);
    return null;
  });
