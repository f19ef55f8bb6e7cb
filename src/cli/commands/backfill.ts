import prettyBytes from 'pretty-bytes';
import { createGraphQLClient, type GraphQLClient } from '../../api-client/graphql-client.ts';
import { followSubscription } from '../../api-client/retry.ts';
import { pluralize } from '../../lib/format-amounts.ts';
import { listenForStopSignals } from '../../process/shutdown-signals.ts';
import { createProgressBar } from '../../terminal/progress-bar.ts';
import { formatTable } from '../../terminal/table.ts';
import { replaceControlCharacters, type Terminal } from '../../terminal/terminal.ts';
import { type EndpointOptions, withEndpoint } from '../api-endpoint.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { findJobId } from '../find-job.ts';
import { requireTime } from '../time-range.ts';

export interface BackfillSpanFlags extends EndpointOptions {
  readonly from: string;
  readonly to: string;
  readonly timeZone: string;
  readonly order: string;
  readonly reprocess: string;
  readonly json?: boolean;
}

export interface BackfillFlags extends EndpointOptions {
  readonly watch?: boolean;
  readonly json?: boolean;
}

export interface BackfillListFlags extends EndpointOptions {
  readonly job?: string;
  readonly json?: boolean;
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

interface Refusal {
  readonly message: string;
}

const FIELDS = `id job { jobName } from to order reprocess status createdAt finishedAt windows delivered skipped failed
  rowsWritten bytesWritten error { code message }`;

const isActive = ({ status }: ShownBackfill): boolean => status === 'RUNNING';

/** Creates a backfill; with `watch`, follows it until it ends or is paused. */
export async function createBackfillCommand(
  context: ClientContext,
  job: string,
  flags: BackfillSpanFlags & BackfillFlags,
): Promise<void> {
  await run(context, flags, async (client, signal) => {
    const { createBackfill } = await client.request<{ createBackfill: ShownBackfill | Refusal }>(
      `mutation ($input: BackfillInput!) { createBackfill(input: $input) { ... on Backfill { ${FIELDS} } ... on UserError { message } } }`,
      { input: await readInput(client, job, flags) },
    );
    await show(context, client, requireBackfill(createBackfill), flags, signal);
  });
}

/** Prints the windows of a backfill by state, and the first ones. */
export async function previewBackfillCommand(
  context: ClientContext,
  job: string,
  flags: BackfillSpanFlags,
): Promise<void> {
  const { terminal } = context;
  await run(context, flags, async (client) => {
    const { previewBackfill: preview } = await client.request<{ previewBackfill: Preview | Refusal }>(
      `query ($input: BackfillInput!) { previewBackfill(input: $input) { ... on BackfillPreview { windows missing stale current
        estimatedRows estimatedBytes firstWindows { windowStart windowEnd state manifestKey } } ... on UserError { message } } }`,
      { input: await readInput(client, job, flags) },
    );
    if (!('windows' in preview)) throw new CommandError(replaceControlCharacters(preview.message));
    terminal.print(flags.json ? `${JSON.stringify(preview)}\n` : formatPreview(preview));
  });
}

export type BackfillChange = 'pauseBackfill' | 'resumeBackfill' | 'cancelBackfill' | 'retryBackfill';

export async function changeBackfillCommand(
  context: ClientContext,
  change: BackfillChange,
  id: string,
  flags: BackfillFlags,
): Promise<void> {
  await run(context, flags, async (client, signal) => {
    const { changed } = await client.request<{ changed: ShownBackfill | Refusal }>(
      `mutation ($id: ID!) { changed: ${change}(id: $id) { ... on Backfill { ${FIELDS} } ... on UserError { message } } }`,
      { id },
    );
    await show(context, client, requireBackfill(changed), flags, signal);
  });
}

export async function showBackfillCommand(context: ClientContext, id: string, flags: BackfillFlags): Promise<void> {
  await run(context, flags, async (client, signal) => {
    const { node } = await client.request<{ node: ShownBackfill | null }>(
      `query ($id: ID!) { node(id: $id) { ... on Backfill { ${FIELDS} } } }`,
      { id },
    );
    if (!node || !('windows' in node)) throw new CommandError(`Backfill ${id} does not exist.`);
    await show(context, client, node, flags, signal);
  });
}

/** Prints the newest 100 backfills. */
export async function listBackfillsCommand(context: ClientContext, flags: BackfillListFlags): Promise<void> {
  const { terminal } = context;
  await run(context, flags, async (client) => {
    const { backfills } = await client.request<{ backfills: { edges: { node: ShownBackfill }[] } }>(
      `query ($jobId: ID) { backfills(first: 100, jobId: $jobId) { edges { node { ${FIELDS} } } } }`,
      { jobId: flags.job === undefined ? null : await findJobId(client, flags.job) },
    );
    const found = backfills.edges.map(({ node }) => node);
    if (flags.json) {
      for (const backfill of found) terminal.print(`${JSON.stringify(backfill)}\n`);
      return;
    }
    const rows = found.map((one) => [
      replaceControlCharacters(one.job?.jobName ?? '(deleted)'),
      one.from,
      one.to,
      one.status,
      `${countDone(one)} of ${one.windows}`,
      String(one.failed),
      one.id,
    ]);
    terminal.print(formatTable([['JOB', 'FROM', 'TO', 'STATUS', 'WINDOWS', 'FAILED', 'ID'], ...rows]));
  });
}

async function run(
  context: ClientContext,
  flags: EndpointOptions,
  work: (client: GraphQLClient, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  await withEndpoint(flags, context.env, async (endpoint) => {
    const { signal } = listenForStopSignals();
    try {
      await work(createGraphQLClient({ ...endpoint, signal }), signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      context.onInterrupted();
    }
  });
}

async function readInput(client: GraphQLClient, job: string, flags: BackfillSpanFlags) {
  return {
    jobId: await findJobId(client, job),
    from: requireTime(flags.from, '--from', flags.timeZone).toISOString(),
    to: requireTime(flags.to, '--to', flags.timeZone).toISOString(),
    order: flags.order.replace('-', '_').toUpperCase(),
    reprocess: flags.reprocess.toUpperCase(),
  };
}

function requireBackfill(result: ShownBackfill | Refusal): ShownBackfill {
  if ('id' in result) return result;
  throw new CommandError(replaceControlCharacters(result.message));
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
  const failures = failed === 0 ? '' : `, ${failed} failed`;
  return `${countDone(backfill)} of ${pluralize(windows, 'window')}${failures}, ${pluralize(rowsWritten, 'row')}, ${prettyBytes(bytesWritten)}`;
}

function formatBackfill(backfill: ShownBackfill): string {
  const { id, job, from, to, status, windows, delivered, skipped, failed, rowsWritten, bytesWritten, error } = backfill;
  const rows = [
    ['Backfill:', id],
    ['Job:', replaceControlCharacters(job?.jobName ?? '(deleted)')],
    ['Span:', `${from} to ${to}`],
    ['Status:', status],
    ['Windows:', `${windows}: ${delivered} delivered, ${skipped} skipped, ${failed} failed`],
    ['Written:', `${pluralize(rowsWritten, 'row')}, ${prettyBytes(bytesWritten)}`],
    ...(error === null ? [] : [['Error:', replaceControlCharacters(`${error.code}: ${error.message}`)]]),
  ];
  return formatTable(rows);
}

function formatPreview(preview: Preview): string {
  const { windows, missing, stale, current, estimatedRows, estimatedBytes, firstWindows } = preview;
  const estimate =
    estimatedRows === null || estimatedBytes === null
      ? 'unknown, because the job has no deliveries'
      : `about ${pluralize(estimatedRows, 'row')}, ${prettyBytes(estimatedBytes)}`;
  return [
    formatTable([
      ['Windows:', `${windows}: ${missing} missing, ${stale} stale, ${current} current`],
      ['Output:', estimate],
    ]),
    formatTable([
      ['FROM', 'TO', 'STATE', 'MANIFEST'],
      ...firstWindows.map(({ windowStart, windowEnd, state, manifestKey }) => [
        windowStart,
        windowEnd,
        state,
        manifestKey,
      ]),
    ]),
    windows > firstWindows.length ? `and ${windows - firstWindows.length} more\n` : '',
  ].join('\n');
}
