// Pure: the SQL expressions of as-of.ts as text, for statements that are built as text.

/** Identifier of the cluster that runs the statement. Not a sub-select: a distributed database would evaluate it on the coordinator. */
export const SYSTEM_IDENTIFIER = '(pg_control_system()).system_identifier';

/** Whether the watermark sees what the transaction wrote. */
export const isSeen = (id: string, watermark: string): string => `pg_visible_in_snapshot(${id}, ${watermark})`;

/** The first transaction that the watermark may not see. It sees every earlier one. */
export const oldestUnseen = (watermark: string): string => `pg_snapshot_xmin(${watermark})`;
