import { Text } from '@mantine/core';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { countOf } from '../../ui/exact-number.ts';
import { ExactNumber } from '../../ui/figures.tsx';
import type { RunChanges } from './run-documents.ts';

type MeterChange = RunChanges['meters'][number];

/** Describes the changed rows of a revision, such as `2 rows added, 1 row changed`. */
export function describeChanges({ rowsAdded, rowsChanged, rowsRemoved }: Omit<RunChanges, 'meters'>): string {
  const parts = [
    [rowsAdded, 'added'],
    [rowsChanged, 'changed'],
    [rowsRemoved, 'removed'],
  ] as const;
  const named = parts.filter(([count]) => count > 0).map(([count, what]) => `${countOf(count, 'row')} ${what}`);
  return named.length === 0 ? 'No row changed' : named.join(', ');
}

const COLUMNS: Column<MeterChange>[] = [
  { title: 'Stream', isHeading: true, cell: ({ meterApiName }) => <span className="breakable">{meterApiName}</span> },
  { title: 'Added', isFigure: true, cell: ({ rowsAdded }) => <ExactNumber value={rowsAdded} /> },
  { title: 'Changed', isFigure: true, cell: ({ rowsChanged }) => <ExactNumber value={rowsChanged} /> },
  { title: 'Removed', isFigure: true, cell: ({ rowsRemoved }) => <ExactNumber value={rowsRemoved} /> },
  { title: 'Value before', isFigure: true, cell: ({ valueBefore }) => <ExactNumber value={valueBefore} /> },
  { title: 'Value after', isFigure: true, cell: ({ valueAfter }) => <ExactNumber value={valueAfter} /> },
];

/** The differences of a revision from the one before, by stream. */
export function ChangesTable({ changes }: { readonly changes: RunChanges }) {
  return (
    <>
      <Text>{describeChanges(changes)}, compared with the revision before.</Text>
      {changes.meters.length > 0 && (
        <DataTable
          label="Changes by stream"
          rows={changes.meters}
          columns={COLUMNS}
          rowKey={({ meterApiName }) => meterApiName}
        />
      )}
    </>
  );
}
