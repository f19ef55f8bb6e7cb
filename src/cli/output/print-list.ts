import { formatCount } from '../../lib/format-amounts.ts';
import { formatTable } from '../../terminal/table.ts';
import { replaceControlCharacters, type PlainTerminal } from '../../terminal/terminal.ts';
import type { List } from '../fetch-list.ts';

export interface Column<Item> {
  readonly title: string;
  readonly cell: (item: Item) => string;
  /** Figures are aligned to the right. */
  readonly isFigure?: boolean;
}

/** Formats a table with a line per item. Control characters in cells are replaced. */
export function formatColumns<Item>(items: readonly Item[], columns: readonly Column<Item>[]): string {
  return formatTable(
    [
      columns.map(({ title }) => title),
      ...items.map((item) => columns.map(({ cell }) => replaceControlCharacters(cell(item)))),
    ],
    new Set(columns.flatMap(({ isFigure = false }, column) => (isFigure ? [column] : []))),
  );
}

/** Formats names and values in two columns. Control characters in values are replaced. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string {
  return formatTable(fields.map(([name, value]) => [`${name}:`, replaceControlCharacters(value)]));
}

export interface ListOutput<Item> {
  readonly columns: readonly Column<Item>[];
  readonly json: boolean;
  /** Plural name of the items. */
  readonly noun: string;
  /** Sentence printed after the message that the list is empty: how to fill it. */
  readonly advice?: string;
}

/** Prints the list as a table, or as one JSON object per line. Standard error says that it is empty or has more items. */
export function printList<Item>(
  terminal: PlainTerminal,
  { items, hasMore }: List<Item>,
  { columns, json, noun, advice }: ListOutput<Item>,
): void {
  if (items.length === 0) terminal.message([`No ${noun} found.`, ...(advice ? [advice] : [])].join(' '));
  else if (json) for (const item of items) terminal.print(`${JSON.stringify(item)}\n`);
  else terminal.print(formatColumns(items, columns));
  if (hasMore) terminal.message(`There are more than ${formatCount(items.length)} ${noun}. List more with --limit.`);
}
