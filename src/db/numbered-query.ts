import { sql } from 'drizzle-orm';
import type { Executor } from './client.ts';

/** Runs SQL that already has numbered parameters ($1, $2, ...), which drizzle's template would renumber. */
export async function executeNumbered<Row extends Record<string, unknown>>(
  db: Executor,
  query: { readonly text: string; readonly parameters: readonly (string | null)[] },
): Promise<Row[]> {
  const chunks = query.text
    .split(/(\$\d+)/)
    .map((piece) =>
      /^\$\d+$/.test(piece) ? sql`${sql.param(query.parameters[Number(piece.slice(1)) - 1])}` : sql.raw(piece),
    );
  const { rows } = await db.execute(sql.join(chunks));
  return rows as Row[];
}
