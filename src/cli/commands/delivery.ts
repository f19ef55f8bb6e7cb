import { formatCount } from '../../lib/format-amounts.ts';
import { formatTable } from '../../terminal/table.ts';
import type { ClientContext } from '../command-context.ts';
import type { ClientFlags, ListFlags } from '../endpoint-options.ts';
import { fetchList } from '../fetch-list.ts';
import { findJobId, unknownJob } from '../find-job.ts';
import { type Column, printList } from '../output/print-list.ts';
import { printQueuedRun, QUEUED_RUN_FIELDS, type QueuedRun } from '../output/queued-run.ts';
import { requireSpan } from '../time-range.ts';
import { type Refusal, requireResult } from '../user-errors.ts';
import { withClient } from '../with-client.ts';

export interface DeliveryListFlags extends ListFlags {
  readonly job?: string;
  readonly state?: readonly string[];
}

export interface CoverageFlags extends ClientFlags {
  readonly from: string;
  readonly to?: string;
  readonly timeZone: string;
}

interface ListedDelivery {
  readonly id: string;
  readonly job: { readonly jobName: string } | null;
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly state: string;
  readonly revision: number;
  readonly deliveredAt: string | null;
  readonly manifestKey: string;
}

const COLUMNS: readonly Column<ListedDelivery>[] = [
  { title: 'JOB', cell: ({ job }) => job?.jobName ?? '(deleted)' },
  { title: 'FROM', cell: ({ windowStart }) => windowStart },
  { title: 'TO', cell: ({ windowEnd }) => windowEnd },
  { title: 'STATE', cell: ({ state }) => state },
  { title: 'REVISION', cell: ({ revision }) => formatCount(revision), isFigure: true },
  { title: 'DELIVERED', cell: ({ deliveredAt }) => deliveredAt ?? '-' },
  { title: 'ID', cell: ({ id }) => id },
];

/** Prints deliveries by the end of their windows, newest first. */
export function listDeliveriesCommand(context: ClientContext, flags: DeliveryListFlags): Promise<void> {
  return withClient(context, flags, async (client) => {
    const deliveries = await fetchList<ListedDelivery>(client, {
      field: 'deliveries',
      types: { jobId: 'ID', state: '[DeliveryState!]' },
      values: {
        jobId: flags.job === undefined ? null : await findJobId(client, flags.job),
        state: flags.state ?? null,
      },
      selection: 'id job { id jobName } windowStart windowEnd state revision deliveredAt manifestKey',
      limit: flags.limit,
    });
    printList(context.terminal, deliveries, { columns: COLUMNS, json: flags.json ?? false, noun: 'deliveries' });
  });
}

export function redeliverCommand(context: ClientContext, deliveryId: string, flags: ClientFlags): Promise<void> {
  return withClient(context, flags, async (client) => {
    const { redeliver } = await client.request<{ redeliver: QueuedRun | Refusal }>(
      `mutation ($id: ID!) { redeliver(deliveryId: $id) { ... on Run { ${QUEUED_RUN_FIELDS} } ... on UserError { message } } }`,
      { id: deliveryId },
    );
    printQueuedRun(context.terminal, requireResult(redeliver), flags);
  });
}

interface Span {
  readonly from: string;
  readonly to: string;
}

interface Coverage extends Span {
  readonly delivered: readonly Span[];
  /** Parts of the delivered spans. */
  readonly stale: readonly Span[];
  readonly gaps: readonly Span[];
}

/** Prints the delivered, the stale and the missing parts of a span, in the order of time. */
export async function coverageCommand(
  context: ClientContext,
  jobNameOrId: string,
  flags: CoverageFlags,
): Promise<void> {
  const { terminal, clock } = context;
  const { from, to } = requireSpan({ ...flags, to: flags.to ?? clock.now().toISOString() });
  await withClient(context, flags, async (client) => {
    const { job } = await client.request<{ job: { readonly coverage: Coverage } | null }>(
      `query ($id: ID!, $from: DateTime!, $to: DateTime!) {
        job(id: $id) { coverage(from: $from, to: $to) { from to delivered { from to } stale { from to } gaps { from to } } }
      }`,
      { id: await findJobId(client, jobNameOrId), from: from.toISOString(), to: to.toISOString() },
    );
    if (!job) throw unknownJob(jobNameOrId);
    terminal.print(flags.json ? `${JSON.stringify(job.coverage)}\n` : formatCoverage(job.coverage));
  });
}

function formatCoverage({ delivered, stale, gaps }: Coverage): string {
  const rows = [
    ...delivered.map((span) => [span.from, span.to, 'delivered']),
    ...stale.map((span) => [span.from, span.to, 'stale']),
    ...gaps.map((span) => [span.from, span.to, 'gap']),
  ];
  return formatTable([['FROM', 'TO', 'COVERAGE'], ...rows.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1))]);
}
