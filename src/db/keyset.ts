import { type SQL, sql } from 'drizzle-orm';

type Direction = 'asc' | 'desc';

/** Condition for the rows after a sort key. Each column has its own direction, which a row comparison cannot express. */
export function keysetAfter(
  columns: readonly string[],
  casts: readonly string[],
  directions: readonly Direction[],
  key: readonly string[],
): SQL {
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
  // The bound on the first column is repeated as a condition of its own, so that an index scan can start at it.
  const first = sql`${column(0)} ${sql.raw(directions[0] === 'asc' ? '>=' : '<=')} ${value(0)}`;
  return sql`${first} AND (${sql.join(
    alternatives.map((alternative) => sql`(${alternative})`),
    sql` OR `,
  )})`;
}

export function keysetBefore(
  columns: readonly string[],
  casts: readonly string[],
  directions: readonly Direction[],
  key: readonly string[],
): SQL {
  return keysetAfter(
    columns,
    casts,
    directions.map((direction) => (direction === 'asc' ? 'desc' : 'asc')),
    key,
  );
}

/** No name of a stream, a job or a key has more characters. */
const MAX_NAME = 256;
/** Whether a stream, job or key can have a name that contains the text. A text of PostgreSQL cannot contain U+0000. */
export const canOccurInName = (text: string): boolean => text.length <= MAX_NAME && !text.includes('\u0000');

/** Returns a LIKE pattern for texts that contain the given one, with its wildcards escaped. */
export const buildContainsPattern = (text: string): string => `%${text.replaceAll(/[\\%_]/g, '\\$&')}%`;
