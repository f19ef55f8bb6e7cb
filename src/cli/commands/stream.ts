import type { GraphQLClient } from '../../api-client/graphql-client.ts';
import { formatCount } from '../../lib/format-amounts.ts';
import { replaceControlCharacters } from '../../terminal/terminal.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { confirmDeletion } from '../confirm.ts';
import type { ClientFlags, ListFlags } from '../endpoint-options.ts';
import { fetchList } from '../fetch-list.ts';
import { type Column, formatColumns, formatFields, printList } from '../output/print-list.ts';
import { type Refusal, requireResult } from '../user-errors.ts';
import { withClient } from '../with-client.ts';

export interface StreamListFlags extends ListFlags {
  readonly search?: string;
}

export interface StreamDeleteFlags extends ClientFlags {
  readonly force?: boolean;
}

interface Stream {
  readonly id: string;
  readonly name: string;
  readonly granularity: string;
  readonly dimensions: readonly string[];
  readonly createdAt: string;
  readonly firstTimestamp: string | null;
  readonly lastTimestamp: string | null;
  readonly completeThrough: string | null;
  readonly lastOperationAt: string | null;
}

interface Operation {
  readonly id: string;
  readonly kind: string;
  readonly receivedAt: string;
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
  readonly firstTimestamp: string | null;
  readonly lastTimestamp: string | null;
}

const FIELDS = 'id name granularity dimensions createdAt firstTimestamp lastTimestamp completeThrough lastOperationAt';

const OPERATION_FIELDS =
  'id kind receivedAt idempotencyKey insertedRecords hiddenRecords firstTimestamp lastTimestamp completeThrough reverts { id }';

const COLUMNS: readonly Column<Stream>[] = [
  { title: 'STREAM', cell: ({ name }) => name },
  { title: 'GRANULARITY', cell: ({ granularity }) => granularity },
  { title: 'DIMENSIONS', cell: ({ dimensions }) => dimensions.join(',') || '-' },
  { title: 'FIRST', cell: ({ firstTimestamp }) => firstTimestamp ?? '-' },
  { title: 'LAST', cell: ({ lastTimestamp }) => lastTimestamp ?? '-' },
  { title: 'COMPLETE THROUGH', cell: ({ completeThrough }) => completeThrough ?? '-' },
  { title: 'LAST OPERATION', cell: ({ lastOperationAt }) => lastOperationAt ?? '-' },
];

const OPERATION_COLUMNS: readonly Column<Operation>[] = [
  { title: 'RECEIVED', cell: ({ receivedAt }) => receivedAt },
  { title: 'KIND', cell: ({ kind }) => kind },
  { title: 'INSERTED', cell: ({ insertedRecords }) => formatCount(insertedRecords), isFigure: true },
  { title: 'HIDDEN', cell: ({ hiddenRecords }) => formatCount(hiddenRecords), isFigure: true },
  { title: 'FIRST', cell: ({ firstTimestamp }) => firstTimestamp ?? '-' },
  { title: 'LAST', cell: ({ lastTimestamp }) => lastTimestamp ?? '-' },
  { title: 'ID', cell: ({ id }) => id },
];

export function listStreamsCommand(context: ClientContext, flags: StreamListFlags): Promise<void> {
  return withClient(context, flags, async (client) => {
    const streams = await fetchList<Stream>(client, {
      field: 'streams',
      types: { search: 'String' },
      values: { search: flags.search ?? null },
      selection: FIELDS,
      limit: flags.limit,
    });
    const advice = 'Send records: npm run -s sluice -- ingest FILE --stream NAME';
    printList(context.terminal, streams, { columns: COLUMNS, json: flags.json ?? false, noun: 'streams', advice });
  });
}

export function showStreamCommand(context: ClientContext, name: string, flags: ListFlags): Promise<void> {
  return withClient(context, flags, async (client) => {
    const stream = await findStream(client, name);
    const { items: operations } = await fetchList<Operation>(client, {
      owner: { field: 'stream(name: $name)', types: '$name: String!' },
      field: 'operations',
      types: {},
      values: { name },
      selection: OPERATION_FIELDS,
      limit: flags.limit,
    });
    if (flags.json) context.terminal.print(`${JSON.stringify({ ...stream, operations })}\n`);
    else context.terminal.print(`${formatStream(stream)}\n${formatColumns(operations, OPERATION_COLUMNS)}`);
  });
}

export function deleteStreamCommand(context: ClientContext, name: string, flags: StreamDeleteFlags): Promise<void> {
  const { terminal } = context;
  return withClient(context, flags, async (client, signal) => {
    const { firstTimestamp, lastTimestamp } = await findStream(client, name);
    if (firstTimestamp !== null && flags.force !== true) {
      await confirmDeletion(
        context,
        `The stream "${replaceControlCharacters(name)}" has records from ${firstTimestamp} to ${lastTimestamp}. Usage and exports will no longer contain them.`,
        signal,
      );
    }
    const { deleteStream } = await client.request<{ deleteStream: { readonly deletedId: string } | Refusal }>(
      'mutation ($name: String!) { deleteStream(name: $name) { ... on DeletedStream { deletedId name } ... on UserError { message } } }',
      { name },
    );
    const deleted = requireResult(deleteStream);
    terminal.print(flags.json ? `${JSON.stringify(deleted)}\n` : `Deleted the stream "${name}".\n`);
  });
}

async function findStream(client: GraphQLClient, name: string): Promise<Stream> {
  const { stream } = await client.request<{ stream: Stream | null }>(
    `query ($name: String!) { stream(name: $name) { ${FIELDS} } }`,
    { name },
  );
  if (stream) return stream;
  throw new CommandError(
    `Stream "${replaceControlCharacters(name)}" does not exist. List the names: npm run -s sluice -- stream list`,
  );
}

function formatStream(stream: Stream): string {
  const { firstTimestamp, lastTimestamp, completeThrough } = stream;
  return formatFields([
    ['Stream', stream.name],
    ['Id', stream.id],
    ['Granularity', stream.granularity],
    ['Dimensions', stream.dimensions.join(', ') || 'none'],
    ['Created', stream.createdAt],
    ['Records', firstTimestamp === null ? 'none' : `from ${firstTimestamp} to ${lastTimestamp}`],
    ['Complete through', completeThrough ?? 'never declared'],
  ]);
}
