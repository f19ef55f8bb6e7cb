import { Button, Table } from '@mantine/core';
import { useState } from 'react';
import { countOf } from '../../ui/exact-number.ts';
import { ExactNumber } from '../../ui/figures.tsx';
import { formatUtc } from '../../ui/time-text.ts';
import { formatBucket } from './bucket-text.ts';
import type { Selection } from './selection.ts';
import { Swatch } from './swatch.tsx';
import type { UsageModel } from './usage-model.ts';

/** Rows that are shown before the user asks for all. */
const FIRST_ROWS = 31;

interface TableProps {
  readonly usage: UsageModel;
  readonly selection: Selection;
}

/** Exact figures: a row per bucket with records, newest first, and a column per group. */
export function UsageTable({ usage: { groups, rows, total }, selection: { bucket, zone } }: TableProps) {
  const [isWhole, setWhole] = useState(false);
  const newest = rows.toReversed();
  const shown = isWhole ? newest : newest.slice(0, FIRST_ROWS);
  const hasGroups = groups.length > 1;
  return (
    <>
      <div className="scrolling" role="region" aria-label="Figures by bucket" tabIndex={0}>
        <Table className="usage-figures" aria-label="Figures" verticalSpacing={6} highlightOnHover>
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">Bucket ({zone})</Table.Th>
              <Table.Th scope="col">Total</Table.Th>
              {hasGroups &&
                groups.map(({ name, isOthers }, index) => (
                  <Table.Th key={index} scope="col">
                    <span className="group-name">
                      <Swatch index={index} isOthers={isOthers} />
                      {name}
                    </span>
                  </Table.Th>
                ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {shown.map((row) => (
              <Table.Tr key={row.start}>
                <Table.Th scope="row" title={`${formatUtc(row.start)} – ${formatUtc(row.end)}`}>
                  {formatBucket(row.start, bucket, zone)}
                </Table.Th>
                <Table.Td>
                  <ExactNumber value={row.total} />
                </Table.Td>
                {hasGroups &&
                  row.values.map((value, index) => (
                    <Table.Td key={index}>{value === null ? '–' : <ExactNumber value={value} />}</Table.Td>
                  ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
          <Table.Tfoot>
            <Table.Tr>
              <Table.Th scope="row">{countOf(rows.length, 'bucket')} with records</Table.Th>
              <Table.Td>
                <ExactNumber value={total} />
              </Table.Td>
              {hasGroups &&
                groups.map((group, index) => (
                  <Table.Td key={index}>
                    <ExactNumber value={group.total} />
                  </Table.Td>
                ))}
            </Table.Tr>
          </Table.Tfoot>
        </Table>
      </div>
      {shown.length < rows.length && (
        <Button variant="default" onClick={() => setWhole(true)}>
          Show all {countOf(rows.length, 'bucket')}
        </Button>
      )}
    </>
  );
}
