import { Table } from '@mantine/core';
import type { ReactNode } from 'react';

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => ReactNode;
  /** Figures are aligned to the right. */
  readonly isFigure?: boolean;
  /** If true, the cell is the heading of its row. */
  readonly isHeading?: boolean;
}

interface DataTableProps<Row> {
  /** What the table lists, for screen readers. */
  readonly label: string;
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  readonly rowKey: (row: Row) => string;
}

/** A table. Below 75em each row is a card with the title of the column before each cell. */
export function DataTable<Row>({ label, rows, columns, rowKey }: DataTableProps<Row>) {
  // The roles are explicit, because browsers remove those of a table that is displayed as blocks.
  return (
    <Table className="data" role="table" aria-label={label} verticalSpacing="sm" highlightOnHover>
      <Table.Thead role="rowgroup">
        <Table.Tr role="row">
          {columns.map(({ title, isFigure }) => (
            <Table.Th key={title} role="columnheader" scope="col" data-figure={isFigure}>
              {title}
            </Table.Th>
          ))}
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody role="rowgroup">
        {rows.map((row) => (
          <Table.Tr key={rowKey(row)} role="row">
            {columns.map(({ title, cell, isFigure, isHeading }) =>
              isHeading ? (
                <Table.Th key={title} role="rowheader" scope="row" data-title={title} data-figure={isFigure}>
                  {cell(row)}
                </Table.Th>
              ) : (
                <Table.Td key={title} role="cell" data-title={title} data-figure={isFigure}>
                  {cell(row)}
                </Table.Td>
              ),
            )}
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
