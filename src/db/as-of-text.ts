// Pure: what as-of.ts owns, for SQL that is built as text.

/** Of the cluster that answers. Not as a sub-select: the coordinator of a distributed database would answer with its own. */
export const SYSTEM_IDENTIFIER = '(pg_control_system()).system_identifier';

/** Whether the watermark sees what the transaction wrote. */
export const isSeen = (id: string, watermark: string): string => `pg_visible_in_snapshot(${id}, ${watermark})`;

/** The first transaction that the watermark may not see: it sees all before. */
export const oldestUnseen = (watermark: string): string => `pg_snapshot_xmin(${watermark})`;
