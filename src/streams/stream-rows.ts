import type { operations, streams } from '../db/tables.ts';

export type StreamRow = typeof streams.$inferSelect;

/** Without what only SQL compares. */
export type OperationRow = Omit<typeof operations.$inferSelect, 'xid' | 'totalled' | 'endedAt'>;
