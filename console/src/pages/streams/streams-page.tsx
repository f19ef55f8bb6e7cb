import { Anchor } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'react-router';
import { useQuery } from 'urql';
import { useCan } from '../../api/viewer.ts';
import { Ago } from '../../ui/ago.tsx';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { FirstCommands } from '../../ui/first-commands.tsx';
import { useListAddress } from '../../ui/list-address.ts';
import { Pager, Search } from '../../ui/list.tsx';
import { Page } from '../../ui/page.tsx';
import { Empty, Loaded } from '../../ui/states.tsx';
import { Bucket, CompleteThrough, GRANULARITY_NAMES } from './stream-parts.tsx';
import { LIST_STREAMS, type Stream } from './streams-documents.ts';

const PAGE_SIZE = 50;

const COLUMNS: readonly Column<Stream>[] = [
  {
    title: 'Name',
    isHeading: true,
    cell: ({ name }) => (
      <Anchor component={Link} to={`/streams/${name}`} className="breakable">
        {name}
      </Anchor>
    ),
  },
  { title: 'Granularity', cell: ({ granularity }) => GRANULARITY_NAMES[granularity] },
  {
    title: 'Dimensions',
    cell: ({ dimensions }) => <span className="breakable">{dimensions.join(', ') || 'None'}</span>,
  },
  {
    title: 'First bucket',
    cell: ({ firstTimestamp, granularity }) => <Bucket start={firstTimestamp} granularity={granularity} />,
  },
  {
    title: 'Last bucket',
    cell: ({ lastTimestamp, granularity }) => <Bucket start={lastTimestamp} granularity={granularity} />,
  },
  { title: 'Complete through', cell: (stream) => <CompleteThrough stream={stream} /> },
  { title: 'Last operation', cell: ({ lastOperationAt }) => <Ago value={lastOperationAt} /> },
];

/** The live streams of the account. */
export function StreamsPage() {
  const isReader = useCan('READ');
  if (isReader) return <StreamList />;
  return (
    <Page title="Streams">
      <Empty title="Your key cannot list streams">Sign in with a key that has the scope READ.</Empty>
    </Page>
  );
}

function StreamList() {
  const list = useListAddress();
  const [openedAt] = useState(() => new Date().toISOString());
  const variables = { first: PAGE_SIZE, after: list.after, search: list.search || null };
  const query = useQuery({ query: LIST_STREAMS, variables });
  return (
    <Page
      title="Streams"
      description="Each stream is a named series of usage. Its first request sets its granularity and dimensions."
    >
      <Loaded query={query} variables={variables} what="streams">
        {({ streams: { edges, pageInfo } }, isEarlier) => {
          const isFiltered = list.search !== '' || list.after !== null;
          if (edges.length === 0 && !isFiltered && !isEarlier) {
            return <FirstCommands title="This account has no streams" at={openedAt} />;
          }
          return (
            <>
              <Search list={list} what="streams" />
              {edges.length === 0 ? (
                <Empty title="No stream matches">No stream of this account contains “{list.search}” in its name.</Empty>
              ) : (
                <DataTable
                  label="Streams"
                  rows={edges.map(({ node }) => node)}
                  columns={COLUMNS}
                  rowKey={({ id }) => id}
                />
              )}
              <Pager list={list} pageInfo={pageInfo} />
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}
