import { createGraphQLClient, type GraphQLClient } from '../../api-client/graphql-client.ts';
import { formatTable } from '../../terminal/table.ts';
import { replaceControlCharacters } from '../../terminal/terminal.ts';
import { type EndpointOptions, withEndpoint } from '../api-endpoint.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { findJobId } from '../find-job.ts';
import { requireTime } from '../time-range.ts';

export interface DeliveryListFlags extends EndpointOptions {
  readonly job?: string;
  readonly state?: readonly string[];
  readonly limit: number;
  readonly json?: boolean;
}

export interface CoverageFlags extends EndpointOptions {
  readonly from: string;
  readonly to?: string;
  readonly timeZone: string;
  readonly json?: boolean;
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

interface DeliveryPage {
  readonly deliveries: {
    readonly edges: readonly { readonly node: ListedDelivery }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

const PAGE_SIZE = 100;

function openClient(endpoint: { readonly url: string; readonly key: string }): GraphQLClient {
  return createGraphQLClient({ ...endpoint, signal: new AbortController().signal });
}

/** Prints deliveries by the end of their windows, newest first, as a table or as one JSON object per line. */
export async function listDeliveriesCommand({ terminal, env }: ClientContext, flags: DeliveryListFlags): Promise<void> {
  await withEndpoint(flags, env, async (endpoint) => {
    const client = openClient(endpoint);
    const jobId = flags.job === undefined ? null : await findJobId(client, flags.job);
    const { deliveries, hasMore } = await fetchDeliveries(client, jobId, flags);
    if (flags.json) {
      for (const delivery of deliveries) terminal.print(`${JSON.stringify(delivery)}\n`);
    } else {
      const rows = deliveries.map((one) => [
        replaceControlCharacters(one.job?.jobName ?? '(deleted)'),
        one.windowStart,
        one.windowEnd,
        one.state,
        String(one.revision),
        one.deliveredAt ?? '-',
        one.id,
      ]);
      terminal.print(formatTable([['JOB', 'FROM', 'TO', 'STATE', 'REVISION', 'DELIVERED', 'ID'], ...rows]));
    }
    if (hasMore) terminal.message(`There are more than ${deliveries.length} deliveries. List more with --limit.`);
  });
}

async function fetchDeliveries(
  client: GraphQLClient,
  jobId: string | null,
  { state, limit }: DeliveryListFlags,
): Promise<{ readonly deliveries: readonly ListedDelivery[]; readonly hasMore: boolean }> {
  const deliveries: ListedDelivery[] = [];
  for (let after: string | null = null; ;) {
    const page: DeliveryPage = await client.request<DeliveryPage>(
      `query ($first: Int, $after: String, $jobId: ID, $state: [DeliveryState!]) {
        deliveries(first: $first, after: $after, jobId: $jobId, state: $state) {
          edges { node { id job { jobName } windowStart windowEnd state revision deliveredAt manifestKey } }
          pageInfo { hasNextPage endCursor }
        }
      }`,
      { first: Math.min(PAGE_SIZE, limit - deliveries.length), after, jobId, state: state ?? null },
    );
    deliveries.push(...page.deliveries.edges.map(({ node }) => node));
    const { hasNextPage, endCursor } = page.deliveries.pageInfo;
    if (!hasNextPage || deliveries.length >= limit) return { deliveries, hasMore: hasNextPage };
    after = endCursor;
  }
}

type Redelivered = { readonly id: string } | { readonly message: string };

export async function redeliverCommand(
  { terminal, env }: ClientContext,
  deliveryId: string,
  flags: EndpointOptions,
): Promise<void> {
  await withEndpoint(flags, env, async (endpoint) => {
    const { redeliver } = await openClient(endpoint).request<{ redeliver: Redelivered }>(
      'mutation ($id: ID!) { redeliver(deliveryId: $id) { ... on Run { id } ... on UserError { message } } }',
      { id: deliveryId },
    );
    if (!('id' in redeliver)) throw new CommandError(redeliver.message);
    terminal.print(`Queued the run ${redeliver.id}. Follow it: npm run -s sluice -- export watch ${redeliver.id}\n`);
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
  { terminal, env, clock }: ClientContext,
  jobNameOrId: string,
  flags: CoverageFlags,
): Promise<void> {
  const from = requireTime(flags.from, '--from', flags.timeZone);
  const to = flags.to === undefined ? clock.now() : requireTime(flags.to, '--to', flags.timeZone);
  await withEndpoint(flags, env, async (endpoint) => {
    const client = openClient(endpoint);
    const { job } = await client.request<{ job: { readonly coverage: Coverage } | null }>(
      `query ($id: ID!, $from: DateTime!, $to: DateTime!) {
        job(id: $id) { coverage(from: $from, to: $to) { from to delivered { from to } stale { from to } gaps { from to } } }
      }`,
      { id: await findJobId(client, jobNameOrId), from: from.toISOString(), to: to.toISOString() },
    );
    if (!job) throw new CommandError(`Job "${jobNameOrId}" does not exist.`);
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
