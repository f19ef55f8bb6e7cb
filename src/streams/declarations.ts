import { type SQL, sql } from 'drizzle-orm';
import type { Db, Executor } from '../db/client.ts';
import { findStreamNameProblem } from './pipeline/inputs.ts';
import type { StreamRow } from './stream-rows.ts';

// Reads through which instant streams were declared complete: the greatest one of their COMPLETE operations. The index
// operations_complete has only those, so that the greatest one of a stream costs one index entry, for any number of
// declarations and other operations.

/** A stream, with the instant through which it was declared complete; null if it never was. */
export interface DeclaredStream extends Pick<StreamRow, 'name' | 'granularity'> {
  readonly completeThrough: Date | null;
}

/**
 * SQL: the greatest declared instant of a stream, as text. Not max(), for which the planner may read all declarations.
 *
 * @param isRead condition on the operation `o`
 */
export function greatestDeclared(accountId: bigint, streamId: SQL, isRead: SQL): SQL<string | null> {
  return sql`(SELECT ${formatMilliseconds(sql`o.complete_through`)} FROM operations o
    WHERE o.account_id = ${accountId}::bigint AND o.stream_id = ${streamId} AND o.complete_through IS NOT NULL AND ${isRead}
    ORDER BY o.complete_through DESC LIMIT 1)`;
}

function formatMilliseconds(timestamp: SQL): SQL {
  return sql`to_char(${timestamp} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}

/** Parses the result of greatestDeclared(). */
export function parseDeclared(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

/**
 * Returns the streams of an account with their current declarations, sorted by name.
 *
 * @param names null for all streams
 */
export async function readDeclarations(
  db: Executor,
  accountId: bigint,
  names: readonly string[] | null,
): Promise<DeclaredStream[]> {
  const isNamed =
    names === null
      ? sql`true`
      : sql`s.name = ANY(${sql.param(names.filter((name) => findStreamNameProblem(name) === null))}::text[])`;
  const { rows } = await db.execute<{
    name: string;
    granularity: StreamRow['granularity'];
    complete_through: string | null;
  }>(sql`
    SELECT s.name, s.granularity, ${greatestDeclared(accountId, sql`s.id`, sql`true`)} AS complete_through
    FROM streams s WHERE s.account_id = ${accountId}::bigint AND ${isNamed} AND s.deleted_at IS NULL
    ORDER BY s.name`);
  return rows.map((row) => ({
    name: row.name,
    granularity: row.granularity,
    completeThrough: parseDeclared(row.complete_through),
  }));
}

export interface StreamActivity {
  readonly completeThrough: Date | null;
  /** When the newest operation was received. */
  readonly lastOperationAt: Date | null;
}

/** Returns what was last declared and written, by the id of the stream. */
export async function loadStreamActivity(
  db: Db,
  accountId: bigint,
  ids: readonly bigint[],
): Promise<ReadonlyMap<bigint, StreamActivity>> {
  const { rows } = await db.execute<{ id: string; complete_through: string | null; received_at: string | null }>(sql`
    SELECT s.id, ${greatestDeclared(accountId, sql`s.id`, sql`true`)} AS complete_through,
      (SELECT ${formatMilliseconds(sql`o.received_at`)} FROM operations o
        WHERE o.account_id = ${accountId}::bigint AND o.stream_id = s.id ORDER BY o.id DESC LIMIT 1) AS received_at
    FROM streams s WHERE s.account_id = ${accountId}::bigint AND s.id = ANY(${sql.param(ids.map(String))}::bigint[])`);
  return new Map(
    rows.map((row) => [
      BigInt(row.id),
      { completeThrough: parseDeclared(row.complete_through), lastOperationAt: parseDeclared(row.received_at) },
    ]),
  );
}
