import { Stack, Text } from '@mantine/core';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { countOf } from '../../ui/exact-number.ts';
import { Facts } from '../../ui/facts.tsx';
import { ExactNumber } from '../../ui/figures.tsx';
import { subtractDecimals } from './decimals.ts';
import type { Granularity } from './selection.ts';
import { Bucket, FilterText } from './stream-parts.tsx';
import type { CorrectionPreview } from './streams-documents.ts';

type KeyChange = CorrectionPreview['keys'][number];

/** A value of a key; none if it has no live record. */
function Value({ value }: { readonly value: string | null }) {
  return value === null ? 'None' : <ExactNumber value={value} />;
}

function Difference({ before, after }: { readonly before: string | null; readonly after: string | null }) {
  const difference = subtractDecimals(after ?? '0', before ?? '0');
  return (
    <>
      {!difference.startsWith('-') && difference !== '0' && '+'}
      <ExactNumber value={difference} />
    </>
  );
}

interface PanelProps {
  readonly preview: CorrectionPreview;
  readonly granularity: Granularity;
}

/** What a write would change. */
export function PreviewPanel({ preview, granularity }: PanelProps) {
  const { keys, changedKeys, valueBefore, valueAfter, insertedRecords, hiddenRecords, staleDeliveries } = preview;
  const columns: Column<KeyChange>[] = [
    { title: 'Element', isHeading: true, cell: ({ elementName }) => <span className="breakable">{elementName}</span> },
    { title: 'Bucket', cell: ({ timestamp }) => <Bucket start={timestamp} granularity={granularity} /> },
    { title: 'Dimensions', cell: ({ filter }) => <FilterText filter={filter} /> },
    { title: 'Before', isFigure: true, cell: (key) => <Value value={key.valueBefore} /> },
    { title: 'After', isFigure: true, cell: (key) => <Value value={key.valueAfter} /> },
    {
      title: 'Difference',
      isFigure: true,
      cell: (key) => <Difference before={key.valueBefore} after={key.valueAfter} />,
    },
  ];
  return (
    <Stack gap="sm">
      <Facts
        facts={[
          // The table shows them if it has one row.
          ...(changedKeys > 1
            ? [
                { name: 'Sum before', value: <ExactNumber value={valueBefore} /> },
                { name: 'Sum after', value: <ExactNumber value={valueAfter} /> },
                { name: 'Difference', value: <Difference before={valueBefore} after={valueAfter} /> },
              ]
            : []),
          {
            name: 'Records',
            value: `${countOf(hiddenRecords, 'record')} hidden, ${countOf(insertedRecords, 'record')} inserted`,
          },
          {
            name: 'Deliveries',
            value:
              staleDeliveries === 0
                ? 'None becomes stale'
                : `${countOf(staleDeliveries, 'delivery', 'deliveries')} would become stale`,
          },
        ]}
      />
      {changedKeys === 0 ? (
        <Text>No value changes.</Text>
      ) : (
        <DataTable
          label="Changed values"
          rows={keys}
          columns={columns}
          rowKey={({ timestamp, elementName, filter }) => JSON.stringify([timestamp, elementName, filter])}
        />
      )}
      {changedKeys > keys.length && (
        <Text c="dimmed">
          The first {keys.length} of {countOf(changedKeys, 'changed value')} are listed.
        </Text>
      )}
    </Stack>
  );
}
