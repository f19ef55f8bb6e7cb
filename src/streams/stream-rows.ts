import type { operations, streams } from '../db/tables.ts';

export type StreamRow = typeof streams.$inferSelect;

/** Without the columns that only SQL reads. */
export type OperationRow = Omit<typeof operations.$inferSelect, 'xid' | 'totalled' | 'endedAt'>;
