import { createGraphQLClient } from '../../api-client/graphql-client.ts';
import { startOfRange } from '../../jobs/schedule/window.ts';
import { formatInZone } from '../../lib/zoned-time.ts';
import { type AggregationBucket, computeBuckets, floorToBucket } from '../../usage/buckets.ts';
import { type ApiEndpoint, type EndpointOptions, withEndpoint } from '../api-endpoint.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError, UsageError } from '../command-error.ts';
import { formatPercent, formatUsageTable } from '../output/usage-table.ts';
import { requireTime } from '../time-range.ts';
import { USER_ERRORS } from '../user-errors.ts';
import { type GroupUsage, summarizeUsage, type UsageSeries, type UsageSummary } from '../usage-summary.ts';

export interface UsageFlags extends EndpointOptions {
  readonly groupBy: readonly string[];
  readonly bucket: 'hour' | 'day' | 'week' | 'month';
  /** Such as `ago(30d)`. */
  readonly range?: string;
  readonly from?: string;
  readonly to?: string;
  readonly timeZone: string;
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly top?: number;
  readonly json?: boolean;
}

const DEFAULT_RANGE = 'ago(30d)';
const DEFAULT_TOP = 20;

interface UsageResponse {
  readonly stream: {
    readonly dimensions: readonly string[];
    readonly firstTimestamp: string | null;
    readonly lastTimestamp: string | null;
  } | null;
  readonly usage: {
    readonly message?: string;
    readonly issues?: readonly { readonly message: string }[];
    readonly from: string;
    readonly to: string;
    readonly series: readonly UsageSeries[];
  };
}

const QUERY = `query ($stream: String!, $input: UsageInput!) {
  stream(name: $stream) { dimensions firstTimestamp lastTimestamp }
  usage(input: $input) {
    ... on Usage { from to series { group { dimension values } others groupCount total points { bucketStart value } } }
    ${USER_ERRORS}
  }
}`;

export async function usageCommand(context: ClientContext, stream: string, flags: UsageFlags): Promise<void> {
  const span = parseSpan(flags, context.clock.now());
  await withEndpoint(flags, context.env, (endpoint) => showUsage(context, stream, { flags, span, endpoint }));
}

interface UsageRequest {
  readonly flags: UsageFlags;
  readonly span: { readonly from: Date; readonly to: Date };
  readonly endpoint: ApiEndpoint;
}

const toAggregationBucket = (bucket: UsageFlags['bucket']) => bucket.toUpperCase() as AggregationBucket;

async function showUsage(
  { terminal }: ClientContext,
  name: string,
  { flags, span: { from, to }, endpoint }: UsageRequest,
): Promise<void> {
  const { groupBy, bucket, timeZone, filter } = flags;
  const aggregationBucket = toAggregationBucket(bucket);
  const client = createGraphQLClient({ ...endpoint, signal: new AbortController().signal });
  const { stream, usage } = await client.request<UsageResponse>(QUERY, {
    stream: name,
    input: {
      meterApiNames: [name],
      from: from.toISOString(),
      to: to.toISOString(),
      aggregationBucket,
      timeZone,
      groupBy,
      ...(filter.length > 0 && { filter }),
      // Every group with --json, for programs.
      top: flags.top ?? (flags.json ? null : DEFAULT_TOP),
    },
  });
  if (!stream) throw new CommandError(`Stream "${name}" does not exist.`);
  if (usage.message !== undefined) {
    throw new CommandError(usage.issues?.map(({ message }) => message).join('\n') ?? usage.message);
  }
  assertDimensions(name, stream.dimensions, [...groupBy, ...filter.map(({ dimension }) => dimension)]);

  const window = { start: new Date(usage.from), end: new Date(usage.to) };
  const starts = computeBuckets(window, aggregationBucket, timeZone).starts.map((start) => start.getTime());
  const summary = summarizeUsage(usage.series, groupBy, starts);
  const start = formatInZone(window.start, timeZone);
  const end = formatInZone(window.end, timeZone);
  if (flags.json) {
    const head = { stream: name, from: start, to: end, timeZone, bucket };
    const bucketStarts = starts.map((time) => formatInZone(new Date(time), timeZone));
    terminal.print(`${JSON.stringify({ ...head, bucketStarts, ...toJson(summary, groupBy) })}\n`);
    return;
  }
  const [first, last] = [start, end].map((time) => time.slice(0, bucket === 'hour' ? 16 : 10).replace('T', ' '));
  const buckets = starts.length === 1 ? `1 ${bucket}` : `${starts.length} ${bucket}s`;
  terminal.print(
    `${terminal.style('bold', name)} by ${groupBy.join(', ')}, ${first} until ${last} (${timeZone}), ${buckets}\n\n`,
  );
  if (summary.groups.length > 0) terminal.print(formatUsageTable(summary, groupBy, bucket, terminal));
  else if (stream.firstTimestamp === null) terminal.message('No usage: the stream has no live records.');
  else {
    terminal.message(
      `No usage in this range. The stream has records from ${stream.firstTimestamp} to ${stream.lastTimestamp}.`,
    );
  }
}

/** The API returns no series for a dimension that the stream does not have, which looks like no usage. */
function assertDimensions(stream: string, dimensions: readonly string[], names: readonly string[]): void {
  const known = ['element', ...dimensions];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length === 0) return;
  throw new CommandError(
    `Stream "${stream}" does not have the dimension "${unknown.join('", "')}". It has: ${known.join(', ')}.`,
  );
}

/** Ends with the last whole bucket by default: a bar of a part of a day looks like a fall of usage. */
function parseSpan(flags: UsageFlags, now: Date): UsageRequest['span'] {
  const { range = DEFAULT_RANGE, timeZone } = flags;
  if (flags.range !== undefined && flags.from !== undefined) throw new UsageError('Use either --range or --from.');
  const to =
    flags.to === undefined
      ? floorToBucket(now, toAggregationBucket(flags.bucket), timeZone)
      : requireTime(flags.to, '--to', timeZone);
  const from =
    flags.from === undefined ? startOfRange(range, to, timeZone) : requireTime(flags.from, '--from', timeZone);
  if (from < to) return { from, to };
  throw new UsageError(
    flags.to === undefined
      ? `No whole ${flags.bucket} has ended since --from. Enter --to, or an earlier --from.`
      : '--to must be after --from.',
  );
}

function toJson({ groups, others, all }: UsageSummary, groupBy: readonly string[]): object {
  const toFigures = ({ total, share, min, max, values }: GroupUsage): object => ({
    total,
    share: formatPercent(share),
    min,
    max,
    values,
  });
  // As in an export: the element is a string, the values of a dimension are a list.
  const toGroup = ({ group }: GroupUsage): object =>
    Object.fromEntries(
      groupBy.map((name, index) => {
        const values = group[index] ?? null;
        return [name, name === 'element' ? (values?.[0] ?? null) : values];
      }),
    );
  return {
    groups: groups.map((usage) => ({ group: toGroup(usage), ...toFigures(usage) })),
    others: others && { count: others.count, ...toFigures(others.sum) },
    all: groups.length === 0 ? null : toFigures(all),
  };
}
