import { Button, Group, TextInput } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'react-router';
import { useQuery } from 'urql';
import { useCan } from '../../api/viewer.ts';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { ExactNumber } from '../../ui/figures.tsx';
import { type ListAddress, useListAddress } from '../../ui/list-address.ts';
import { Pager } from '../../ui/list.tsx';
import { Empty, Loaded } from '../../ui/states.tsx';
import { addDays, isDate } from '../../ui/zone-dates.ts';
import { formatCorrectionAddress } from './correction-form.ts';
import { useStream } from './stream-page.tsx';
import { Bucket, FilterText } from './stream-parts.tsx';
import { LIST_RECORDS, type LiveRecord } from './streams-documents.ts';

const PAGE_SIZE = 50;

/** The live records of a stream, newest bucket first. */
export function RecordsView() {
  const { name, granularity } = useStream();
  const list = useListAddress();
  const isWriter = useCan('INGEST');
  const element = list.read('element') ?? '';
  const date = list.read('date') ?? '';
  const variables = {
    stream: name,
    first: PAGE_SIZE,
    after: list.after,
    elementName: element || null,
    ...(isDate(date) && { from: `${date}T00:00:00Z`, to: `${addDays(date, 1)}T00:00:00Z` }),
  };
  const query = useQuery({ query: LIST_RECORDS, variables });
  const columns: Column<LiveRecord>[] = [
    { title: 'Element', isHeading: true, cell: ({ elementName }) => <span className="breakable">{elementName}</span> },
    { title: 'Bucket', cell: ({ timestamp }) => <Bucket start={timestamp} granularity={granularity} /> },
    { title: 'Dimensions', cell: ({ filter }) => <FilterText filter={filter} /> },
    { title: 'Value', isFigure: true, cell: ({ value }) => <ExactNumber value={value} /> },
    ...(isWriter
      ? [
          {
            title: 'Actions',
            cell: (record: LiveRecord) => (
              <Button
                component={Link}
                to={formatCorrectionAddress(name, record)}
                variant="default"
                size="xs"
                aria-label={`Correct ${record.elementName}, ${record.timestamp.slice(0, 10)}`}
              >
                Correct
              </Button>
            ),
          },
        ]
      : []),
  ];
  return (
    <>
      <Group align="flex-end" gap="sm" className="usage-controls">
        <ElementField list={list} />
        <TextInput
          type="date"
          label={granularity === 'HOURLY' ? 'Date (UTC)' : 'Date'}
          value={date}
          max="9998-12-31"
          onChange={({ currentTarget: { value } }) => list.set('date', value)}
        />
      </Group>
      <Loaded query={query} variables={variables} what="records">
        {({ stream }) => {
          if (stream === null || stream.records.edges.length === 0) {
            return (
              <Empty title={element || date ? 'No record matches' : 'This stream has no live records'}>
                {(element || date) && 'Enter the whole name of an element, or a date with usage.'}
              </Empty>
            );
          }
          const { edges, pageInfo } = stream.records;
          return (
            <>
              <DataTable
                label="Records"
                rows={edges.map(({ node }) => node)}
                columns={columns}
                rowKey={({ timestamp, elementName, filter }) => JSON.stringify([timestamp, elementName, filter])}
              />
              <Pager list={list} pageInfo={pageInfo} />
            </>
          );
        }}
      </Loaded>
    </>
  );
}

/** The exact name of an element, applied when the user leaves the field or presses Enter. */
function ElementField({ list }: { readonly list: ListAddress }) {
  const [text, setText] = useState(list.read('element') ?? '');
  const apply = (): void => {
    if (text !== (list.read('element') ?? '')) list.set('element', text);
  };
  return (
    <TextInput
      type="search"
      label="Element"
      placeholder="Whole name"
      value={text}
      onChange={({ currentTarget: { value } }) => {
        setText(value);
        if (value === '') list.set('element', null);
      }}
      onBlur={apply}
      onKeyDown={({ key }) => key === 'Enter' && apply()}
    />
  );
}
