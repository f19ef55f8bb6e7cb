import { createGraphQLClient } from '../../api-client/graphql-client.ts';
import { formatCount, groupDigits, pluralize } from '../../lib/format-amounts.ts';
import { replaceControlCharacters, type Terminal } from '../../terminal/terminal.ts';
import { type EndpointOptions, withEndpoint } from '../api-endpoint.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { type Column, formatColumns } from '../output/print-list.ts';
import { buildWriteInput, type PreviewInputFlags, type PreviewKind } from '../preview-input.ts';
import { type Refusal, USER_ERRORS } from '../user-errors.ts';
import { readInputText } from '../ingest/read-input-text.ts';

export interface PreviewFlags extends EndpointOptions {
  readonly json?: boolean;
}

export interface PreviewWriteFlags extends PreviewFlags, PreviewInputFlags {
  readonly file?: string;
}

interface Change {
  readonly valueBefore: string;
  readonly valueAfter: string;
}

interface Preview extends Change {
  readonly __typename: 'CorrectionPreview';
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
  readonly changedKeys: number;
  readonly staleDeliveries: number;
  readonly elements: readonly (Change & { readonly elementName: string })[];
}

type Result<Success> = Success | ({ readonly __typename: string } & Refusal);

const PREVIEW = `query ($input: CorrectionPreviewInput!) {
  previewCorrection(input: $input) {
    __typename
    ... on CorrectionPreview {
      insertedRecords hiddenRecords changedKeys valueBefore valueAfter staleDeliveries
      elements { elementName valueBefore valueAfter }
      keys { timestamp filter { dimension values } elementName valueBefore valueAfter }
    }
    ${USER_ERRORS}
  }
}`;

const REVERT = `mutation ($input: RevertOperationInput!) {
  revertOperation(input: $input) {
    __typename
    ... on AllocationReceipt { replayed stream { name } operation { id insertedRecords hiddenRecords } }
    ${USER_ERRORS}
  }
}`;

const ELEMENT_COLUMNS: readonly Column<Preview['elements'][number]>[] = [
  { title: 'ELEMENT', cell: ({ elementName }) => elementName },
  { title: 'BEFORE', cell: ({ valueBefore }) => groupDigits(valueBefore), isFigure: true },
  { title: 'AFTER', cell: ({ valueAfter }) => groupDigits(valueAfter), isFigure: true },
];

/** Elements that the text lists. */
const MAX_ELEMENTS = 20;

export async function previewWriteCommand(
  context: ClientContext,
  kind: PreviewKind,
  flags: PreviewWriteFlags,
): Promise<void> {
  const text = flags.file === undefined ? null : await readInputText(flags.file, context.env);
  const input = buildWriteInput(kind, text, flags);
  await preview(context, flags, { [kind]: input }, `${kind} in the stream "${String(input['stream'])}"`);
}

export function previewRevertCommand(context: ClientContext, id: string, flags: PreviewFlags): Promise<void> {
  return preview(context, flags, { revertOperation: id }, `revert of the operation ${id}`);
}

function preview({ terminal, env }: ClientContext, flags: PreviewFlags, input: object, what: string): Promise<void> {
  return withEndpoint(flags, env, async (endpoint) => {
    const client = createGraphQLClient({ ...endpoint, signal: new AbortController().signal });
    const { previewCorrection: result } = await client.request<{ previewCorrection: Result<Preview> }>(PREVIEW, {
      input,
    });
    if (!isPreview(result)) throw new CommandError(formatRefusal(result));
    const { __typename, ...fields } = result;
    if (flags.json) terminal.print(`${JSON.stringify(fields)}\n`);
    else printPreview(terminal, result, replaceControlCharacters(what));
  });
}

function isPreview(result: Result<Preview>): result is Preview {
  return result.__typename === 'CorrectionPreview';
}

function printPreview(terminal: Terminal, result: Preview, what: string): void {
  const { insertedRecords, hiddenRecords, changedKeys, valueBefore, valueAfter, staleDeliveries, elements } = result;
  terminal.print(
    [
      `Preview of the ${what}. Nothing was written.`,
      `Records:          ${formatCount(insertedRecords)} inserted, ${formatCount(hiddenRecords)} hidden`,
      `Changed keys:     ${formatCount(changedKeys)}`,
      `Value:            ${groupDigits(valueBefore)} -> ${groupDigits(valueAfter)}`,
      `Stale deliveries: ${formatCount(staleDeliveries)}`,
      '',
    ].join('\n'),
  );
  if (elements.length === 0) return;
  const shown = elements.slice(0, MAX_ELEMENTS);
  terminal.print(`\n${formatColumns(shown, ELEMENT_COLUMNS)}`);
  const more = elements.length - shown.length;
  if (more > 0) terminal.print(`and ${more} more elements\n`);
}

export interface RevertFlags extends EndpointOptions {
  readonly idempotencyKey?: string;
  readonly json?: boolean;
}

interface Receipt {
  readonly __typename: 'AllocationReceipt';
  readonly replayed: boolean;
  readonly stream: { readonly name: string };
  readonly operation: { readonly id: string; readonly insertedRecords: number; readonly hiddenRecords: number };
}

export function revertCommand(
  { terminal, env }: ClientContext,
  operationId: string,
  flags: RevertFlags,
): Promise<void> {
  return withEndpoint(flags, env, async (endpoint) => {
    const client = createGraphQLClient({ ...endpoint, signal: new AbortController().signal });
    const { revertOperation: result } = await client.request<{ revertOperation: Result<Receipt> }>(REVERT, {
      input: { operationId, idempotencyKey: flags.idempotencyKey ?? null },
    });
    if (!('operation' in result)) throw new CommandError(formatRefusal(result));
    const { operation, stream, replayed } = result;
    if (flags.json) {
      terminal.print(`${JSON.stringify({ ...operation, stream: stream.name, replayed })}\n`);
      return;
    }
    const { id, insertedRecords, hiddenRecords } = operation;
    terminal.print(
      `${replayed ? 'Already reverted' : 'Reverted'} the operation in the stream "${stream.name}": ${pluralize(hiddenRecords, 'record')} hidden, ${formatCount(insertedRecords)} inserted again.\nOperation: ${id}\n`,
    );
  });
}

function formatRefusal({ message, issues = [] }: Refusal): string {
  if (issues.length === 0) return replaceControlCharacters(message);
  return issues
    .map((issue) => replaceControlCharacters(`${issue.path.slice(2).join('.')}: ${issue.message}`))
    .join('\n');
}
