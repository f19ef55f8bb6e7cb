import prettyBytes from 'pretty-bytes';
import type { GraphQLClient } from '../../api-client/graphql-client.ts';
import { followSubscription } from '../../api-client/retry.ts';
import { formatCount, pluralize } from '../../lib/format-amounts.ts';
import { createProgressBar } from '../../terminal/progress-bar.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import type { ClientFlags, ListFlags } from '../endpoint-options.ts';
import { fetchList } from '../fetch-list.ts';
import { findJobId } from '../find-job.ts';
import { type Column, formatColumns, formatFields, printList } from '../output/print-list.ts';
import { requireSpan } from '../time-range.ts';
import { type NameField, type Refusal, requireResult, USER_ERRORS } from '../user-errors.ts';
import { withClient } from '../with-client.ts';

export interface BackfillSpanFlags extends ClientFlags {
  readonly from: string;
  readonly to: string;
  readonly timeZone: string;
  readonly order: string;
  readonly reprocess: string;
}

export interface BackfillFlags extends ClientFlags {
  readonly watch?: boolean;
}

export interface BackfillListFlags extends ListFlags {
  readonly job?: string;
}

interface ShownBackfill {
  readonly id: string;
  readonly job: { readonly jobName: string } | null;
  readonly from: string;
  readonly to: string;
  readonly status: string;
  readonly windows: number;
  readonly delivered: number;
  readonly skipped: number;
  readonly failed: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

interface Preview {
  readonly windows: number;
  readonly missing: number;
  readonly stale: number;
  readonly current: number;
  readonly estimatedRows: number | null;
  readonly estimatedBytes: number | null;
  readonly firstWindows: readonly {
    readonly windowStart: string;
    readonly windowEnd: string;
    readonly state: string;
    readonly manifestKey: string;
  }[];
}

const FIELDS = `id job { jobName } from to order reprocess status createdAt finishedAt windows delivered skipped failed
  rowsWritten bytesWritten error { code message }`;

const nameOption: NameField = (field) => (field === 'from' || field === 'to' ? `--${field}` : null);

const isActive = ({ status }: ShownBackfill): boolean => status === 'RUNNING';

/** Creates a backfill; with `watch`, follows it until it ends or is paused. */
export async function createBackfillCommand(
  context: ClientContext,
  job: string,
  flags: BackfillSpanFlags & BackfillFlags,
): Promise<void> {
  const span = requireSpan(flags);
  await withClient(context, flags, async (client, signal) => {
    const { createBackfill } = await client.request<{ createBackfill: ShownBackfill | Refusal }>(
      `mutation ($input: BackfillInput!) { createBackfill(input: $input) { ... on Backfill { ${FIELDS} } ${USER_ERRORS} } }`,
      { input: { ...toInput(flags, span), jobId: await findJobId(client, job) } },
    );
    await show(context, client, requireResult(createBackfill, nameOption), flags, signal);
  });
}

/** Prints the windows of a backfill by state, and the first ones. */
export async function previewBackfillCommand(
  context: ClientContext,
  job: string,
  flags: BackfillSpanFlags,
): Promise<void> {
  const { terminal } = context;
  const span = requireSpan(flags);
  await withClient(context, flags, async (client) => {
    const { previewBackfill: preview } = await client.request<{ previewBackfill: Preview | Refusal }>(
      `query ($input: BackfillInput!) { previewBackfill(input: $input) { ... on BackfillPreview { windows missing stale current
        estimatedRows estimatedBytes firstWindows { windowStart windowEnd state manifestKey } } ${USER_ERRORS} } }`,
      { input: { ...toInput(flags, span), jobId: await findJobId(client, job) } },
    );
    const shown = requireResult(preview, nameOption);
    terminal.print(flags.json ? `${JSON.stringify(shown)}\n` : formatPreview(shown));
  });
}

export type BackfillChange = 'pauseBackfill' | 'resumeBackfill' | 'cancelBackfill' | 'retryBackfill';

export async function changeBackfillCommand(
  context: ClientContext,
  change: BackfillChange,
  id: string,
  flags: BackfillFlags,
): Promise<void> {
  await withClient(context, flags, async (client, signal) => {
    const { changed } = await client.request<{ changed: ShownBackfill | Refusal }>(
      `mutation ($id: ID!) { changed: ${change}(id: $id) { ... on Backfill { ${FIELDS} } ... on UserError { message } } }`,
      { id },
    );
    await show(context, client, requireResult(changed), flags, signal);
  });
}

export async function showBackfillCommand(context: ClientContext, id: string, flags: BackfillFlags): Promise<void> {
  await withClient(context, flags, async (client, signal) => {
    const { node } = await client.request<{ node: ShownBackfill | null }>(
      `query ($id: ID!) { node(id: $id) { ... on Backfill { ${FIELDS} } } }`,
      { id },
    );
    if (!node || !('windows' in node)) throw new CommandError(`Backfill ${id} does not exist.`);
    await show(context, client, node, flags, signal);
  });
}

const COLUMNS: readonly Column<ShownBackfill>[] = [
  { title: 'JOB', cell: ({ job }) => job?.jobName ?? '(deleted)' },
  { title: 'FROM', cell: ({ from }) => from },
  { title: 'TO', cell: ({ to }) => to },
  { title: 'STATUS', cell: ({ status }) => status },
  { title: 'WINDOWS', cell: (one) => `${formatCount(countDone(one))} of ${formatCount(one.windows)}`, isFigure: true },
  { title: 'FAILED', cell: ({ failed }) => formatCount(failed), isFigure: true },
  { title: 'ID', cell: ({ id }) => id },
];

export async function listBackfillsCommand(context: ClientContext, flags: BackfillListFlags): Promise<void> {
  await withClient(context, flags, async (client) => {
    const backfills = await fetchList<ShownBackfill>(client, {
      field: 'backfills',
      types: { jobId: 'ID' },
      values: { jobId: flags.job === undefined ? null : await findJobId(client, flags.job) },
      selection: FIELDS,
      limit: flags.limit,
    });
    printList(context.terminal, backfills, { columns: COLUMNS, json: flags.json ?? false, noun: 'backfills' });
  });
}

function toInput(flags: BackfillSpanFlags, { from, to }: { readonly from: Date; readonly to: Date }) {
  return {
    from: from.toISOString(),
    to: to.toISOString(),
    order: flags.order.replace('-', '_').toUpperCase(),
    reprocess: flags.reprocess.toUpperCase(),
  };
}

/** Prints the backfill; with `watch`, when it has ended or is paused. Calls `onBroken` if it has then not SUCCEEDED. */
async function show(
  context: ClientContext,
  client: GraphQLClient,
  backfill: ShownBackfill,
  { watch = false, json = false }: BackfillFlags,
  signal: AbortSignal,
): Promise<void> {
  const { terminal } = context;
  const last = watch && isActive(backfill) ? await follow(terminal, client, backfill, signal) : backfill;
  terminal.print(json ? `${JSON.stringify(last)}\n` : formatBackfill(last));
  if (watch && last.status !== 'SUCCEEDED') context.onBroken();
}

/** Minimum interval between two lines of progress if the output is not a terminal. */
const LINE_INTERVAL_MS = 5000;

async function follow(
  terminal: Terminal,
  client: GraphQLClient,
  { id }: ShownBackfill,
  signal: AbortSignal,
): Promise<ShownBackfill> {
  const bar = createProgressBar(terminal);
  let printedAt = Number.NEGATIVE_INFINITY;
  try {
    return await followSubscription(client, {
      query: `subscription ($id: ID!) { backfillUpdated(id: $id) { ${FIELDS} } }`,
      variables: { id },
      signal,
      onData: ({ backfillUpdated: backfill }: { backfillUpdated: ShownBackfill }) => {
        if (!isActive(backfill)) return backfill;
        bar.draw(countDone(backfill) / backfill.windows, backfill.status, formatProgress(backfill));
        if (!terminal.isInteractive && performance.now() - printedAt >= LINE_INTERVAL_MS) {
          printedAt = performance.now();
          terminal.message(formatProgress(backfill));
        }
        return undefined;
      },
      onReconnect: () => terminal.message('Connection lost. Reconnecting ...'),
    });
  } catch (error) {
    if (signal.aborted)
      terminal.message(`The backfill continues. Watch it again: npm run -s sluice -- backfill show ${id} --watch`);
    throw error;
  } finally {
    bar.clear();
  }
}

const countDone = ({ delivered, skipped, failed }: ShownBackfill): number => delivered + skipped + failed;

function formatProgress(backfill: ShownBackfill): string {
  const { windows, failed, rowsWritten, bytesWritten } = backfill;
  const failures = failed === 0 ? '' : `, ${formatCount(failed)} failed`;
  return `${formatCount(countDone(backfill))} of ${pluralize(windows, 'window')}${failures}, ${pluralize(rowsWritten, 'row')}, ${prettyBytes(bytesWritten)}`;
}

function formatBackfill(backfill: ShownBackfill): string {
  const { id, job, from, to, status, windows, delivered, skipped, failed, rowsWritten, bytesWritten, error } = backfill;
  return formatFields([
    ['Backfill', id],
    ['Job', job?.jobName ?? '(deleted)'],
    ['Span', `${from} to ${to}`],
    ['Status', status],
    [
      'Windows',
      `${formatCount(windows)}: ${formatCount(delivered)} delivered, ${formatCount(skipped)} skipped, ${formatCount(failed)} failed`,
    ],
    ['Written', `${pluralize(rowsWritten, 'row')}, ${prettyBytes(bytesWritten)}`],
    ...(error === null ? [] : [['Error', `${error.code}: ${error.message}`] as const]),
  ]);
}

const WINDOW_COLUMNS: readonly Column<Preview['firstWindows'][number]>[] = [
  { title: 'FROM', cell: ({ windowStart }) => windowStart },
  { title: 'TO', cell: ({ windowEnd }) => windowEnd },
  { title: 'STATE', cell: ({ state }) => state },
  { title: 'MANIFEST', cell: ({ manifestKey }) => manifestKey },
];

function formatPreview(preview: Preview): string {
  const { windows, missing, stale, current, estimatedRows, estimatedBytes, firstWindows } = preview;
  const estimate =
    estimatedRows === null || estimatedBytes === null
      ? 'unknown, because the job has no deliveries'
      : `about ${pluralize(estimatedRows, 'row')}, ${prettyBytes(estimatedBytes)}`;
  return [
    formatFields([
      [
        'Windows',
        `${formatCount(windows)}: ${formatCount(missing)} missing, ${formatCount(stale)} stale, ${formatCount(current)} current`,
      ],
      ['Output', estimate],
    ]),
    formatColumns(firstWindows, WINDOW_COLUMNS),
    windows > firstWindows.length ? `and ${formatCount(windows - firstWindows.length)} more\n` : '',
  ].join('\n');
}
