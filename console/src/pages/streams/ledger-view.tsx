import { Anchor, Button, Code, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'react-router';
import { useQuery } from 'urql';
import { useCan } from '../../api/viewer.ts';
import { CopyableText } from '../../ui/copy.tsx';
import { type Column, DataTable } from '../../ui/data-table.tsx';
import { ExactNumber, Time } from '../../ui/figures.tsx';
import { type ListAddress, useListAddress } from '../../ui/list-address.ts';
import { Pager } from '../../ui/list.tsx';
import { Empty, Loaded } from '../../ui/states.tsx';
import { isRevertible, KIND_NAMES } from './operation-words.ts';
import { RevertDialog } from './revert-dialog.tsx';
import type { Granularity } from './selection.ts';
import { useStream } from './stream-page.tsx';
import { Bucket, BucketSpan, CompleteThrough, FilterText } from './stream-parts.tsx';
import { LIST_OPERATIONS, type Operation, READ_OPERATION } from './streams-documents.ts';

const PAGE_SIZE = 50;

/** The ledger of a stream: its accepted writes, newest first. */
export function LedgerView() {
  const { id, name } = useStream();
  const list = useListAddress();
  const wanted = list.read('operation');
  return (
    <>
      <OperationField key={wanted} list={list} />
      {wanted === null ? <Operations name={name} list={list} /> : <OneOperation streamId={id} operationId={wanted} />}
    </>
  );
}

/** Finds an operation by its id, for example one that a message names. */
function OperationField({ list }: { readonly list: ListAddress }) {
  const [text, setText] = useState(list.read('operation') ?? '');
  const apply = (): void => {
    if (text.trim() !== (list.read('operation') ?? '')) list.set('operation', text.trim());
  };
  return (
    <TextInput
      type="search"
      aria-label="Find an operation by its id"
      placeholder="Find an operation by its id"
      className="search"
      value={text}
      onChange={({ currentTarget: { value } }) => {
        setText(value);
        if (value === '') list.set('operation', null);
      }}
      onBlur={apply}
      onKeyDown={({ key }) => key === 'Enter' && apply()}
    />
  );
}

function Operations({ name, list }: { readonly name: string; readonly list: ListAddress }) {
  const variables = { stream: name, first: PAGE_SIZE, after: list.after };
  const query = useQuery({ query: LIST_OPERATIONS, variables });
  return (
    <Loaded query={query} variables={variables} what="operations">
      {({ stream }) =>
        stream === null || stream.operations.edges.length === 0 ? (
          <Empty title="No operations on this page" />
        ) : (
          <>
            <OperationTable operations={stream.operations.edges.map(({ node }) => node)} />
            <Pager list={list} pageInfo={stream.operations.pageInfo} />
          </>
        )
      }
    </Loaded>
  );
}

function OneOperation({ streamId, operationId }: { readonly streamId: string; readonly operationId: string }) {
  const variables = { id: operationId };
  const query = useQuery({ query: READ_OPERATION, variables });
  return (
    <Loaded query={query} variables={variables} what="the operation">
      {({ node }) =>
        node?.__typename === 'AllocationOperation' && node.stream.id === streamId ? (
          <OperationTable operations={[node]} />
        ) : (
          <Empty title="No operation matches">This stream has no operation with the id {operationId}.</Empty>
        )
      }
    </Loaded>
  );
}

function OperationTable({ operations }: { readonly operations: readonly Operation[] }) {
  const { name, granularity } = useStream();
  const canRevert = useCan('INGEST');
  const [reverted, setReverted] = useState<Operation | null>(null);
  const columns: Column<Operation>[] = [
    { title: 'Received', isHeading: true, cell: ({ receivedAt }) => <Time value={receivedAt} /> },
    { title: 'Kind', cell: ({ kind }) => KIND_NAMES[kind] },
    { title: 'Inserted', isFigure: true, cell: ({ insertedRecords }) => <ExactNumber value={insertedRecords} /> },
    { title: 'Hidden', isFigure: true, cell: ({ hiddenRecords }) => <ExactNumber value={hiddenRecords} /> },
    {
      title: 'Details',
      cell: (operation) => <Details operation={operation} granularity={granularity} stream={name} />,
    },
    { title: 'Id', cell: ({ id }) => <CopyableText text={id} name="operation id" shown={`…${id.slice(-8)}`} /> },
    ...(canRevert
      ? [
          {
            title: 'Actions',
            cell: (operation: Operation) =>
              isRevertible(operation.kind) && (
                <Button
                  variant="default"
                  size="xs"
                  aria-label={`Revert ${KIND_NAMES[operation.kind]} of ${operation.receivedAt}`}
                  onClick={() => setReverted(operation)}
                >
                  Revert
                </Button>
              ),
          },
        ]
      : []),
  ];
  return (
    <>
      <DataTable label="Operations" rows={operations} columns={columns} rowKey={({ id }) => id} />
      <RevertDialog operation={reverted} stream={name} granularity={granularity} onClose={() => setReverted(null)} />
    </>
  );
}

interface DetailsProps {
  readonly operation: Operation;
  readonly granularity: Granularity;
  readonly stream: string;
}

/** The buckets of an operation, and what only some kinds have. */
function Details({ operation, granularity, stream }: DetailsProps) {
  const { firstTimestamp, lastTimestamp, completeThrough, idempotencyKey, scope, reverts } = operation;
  return (
    <Stack gap={2} className="breakable">
      {firstTimestamp !== null && (
        <div>
          <BucketSpan first={firstTimestamp} last={lastTimestamp} granularity={granularity} />
        </div>
      )}
      {completeThrough !== null && (
        <div>
          Through <CompleteThrough stream={{ completeThrough, granularity }} />
        </div>
      )}
      {scope && (
        <div>
          Scope <Bucket start={scope.from} granularity={granularity} /> up to{' '}
          <Bucket start={scope.to} granularity={granularity} />
          {scope.elementName !== null && `, element ${scope.elementName}`}
          {scope.filter && (
            <>
              , <FilterText filter={scope.filter} />
            </>
          )}
        </div>
      )}
      {reverts && (
        <div>
          Undid the{' '}
          <Anchor component={Link} inherit to={`/streams/${stream}/ledger?operation=${encodeURIComponent(reverts.id)}`}>
            {KIND_NAMES[reverts.kind].toLowerCase()} of <Time value={reverts.receivedAt} />
          </Anchor>
        </div>
      )}
      {idempotencyKey !== null && (
        <div>
          <Text span inherit c="dimmed">
            Idempotency key
          </Text>{' '}
          <Code>{idempotencyKey}</Code>
        </div>
      )}
    </Stack>
  );
}
