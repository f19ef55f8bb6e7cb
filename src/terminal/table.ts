// Pure: text in columns.
import stringWidth from 'string-width';

/**
 * Pads each cell to the widest one of its column. Columns are two spaces apart; styles do not count as width.
 * @param rightAligned indices of columns that are aligned to the right
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  rightAligned: ReadonlySet<number> = new Set(),
): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, stringWidth(cell));
  }
  const pad = (cell: string, column: number): string => {
    const blanks = ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
    return rightAligned.has(column) ? blanks + cell : cell + blanks;
  };
  return rows.map((row) => `${row.map(pad).join('  ').trimEnd()}\n`).join('');
}
