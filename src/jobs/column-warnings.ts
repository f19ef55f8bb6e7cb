// Pure: warnings about the names of the columns of an export.
import { EXPORT_COLUMNS } from '../streams/pipeline/inputs.ts';

/**
 * Returns a message for each column whose name differs only in case from an earlier one. None has the name of a fixed column:
 * RESERVED_DIMENSION.
 */
export function findColumnWarnings(groupBy: readonly string[]): string[] {
  const messages: string[] = [];
  const columns = new Map([...EXPORT_COLUMNS].map((name) => [name.toLowerCase(), name]));
  for (const name of groupBy) {
    const other = columns.get(name.toLowerCase());
    if (other === undefined) columns.set(name.toLowerCase(), name);
    else if (other !== name) {
      const column = EXPORT_COLUMNS.has(other) ? 'the column of every export' : 'the column';
      messages.push(
        `The column "${name}" differs from ${column} "${other}" only in case: Athena, SQLite and Excel tables do not accept both. Send the dimension under another name, or do not group by it.`,
      );
    }
  }
  return messages;
}
