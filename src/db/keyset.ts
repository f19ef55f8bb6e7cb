import { type SQL, sql } from 'drizzle-orm';

type Direction = 'asc' | 'desc';

/** Rows behind the given sort key, where columns may run in different directions (a row comparison cannot). */
export const keysetAfter = (
  columns: readonly string[],
  casts: readonly string[],
  directions: readonly Direction[],
  key: readonly string[],
): SQL => {
  const value = (index: number): SQL => sql`${key[index]}::${sql.raw(casts[index] as string)}`;
  const column = (index: number): SQL => sql.raw(columns[index] as string);
  const beyond = (index: number): SQL =>
    sql`${column(index)} ${sql.raw(directions[index] === 'asc' ? '>' : '<')} ${value(index)}`;
  const alternatives = columns.map((_, index) =>
    sql.join(
      [...columns.slice(0, index).map((__, earlier) => sql`${column(earlier)} = ${value(earlier)}`), beyond(index)],
      sql` AND `,
    ),
  );
  // The bound on the first column stands alone as well: it is what an index can begin at.
  const first = sql`${column(0)} ${sql.raw(directions[0] === 'asc' ? '>=' : '<=')} ${value(0)}`;
  return sql`${first} AND (${sql.join(
    alternatives.map((alternative) => sql`(${alternative})`),
    sql` OR `,
  )})`;
};

export const keysetBefore = (
  columns: readonly string[],
  casts: readonly string[],
  directions: readonly Direction[],
  key: readonly string[],
): SQL =>
  keysetAfter(
    columns,
    casts,
    directions.map((direction) => (direction === 'asc' ? 'desc' : 'asc')),
    key,
  );

/** No name is longer, and no PostgreSQL text holds U+0000. */
const MAX_NAME = 256;
export const canOccurInName = (text: string): boolean => text.length <= MAX_NAME && !text.includes('\u0000');

/** A LIKE pattern for texts that contain the given one, whose own wildcards count as plain characters. */
export const containsPattern = (text: string): string => `%${text.replaceAll(/[\\%_]/g, '\\$&')}%`;
