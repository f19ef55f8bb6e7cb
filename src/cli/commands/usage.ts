import { createGraphQLClient } from '../../api-client/graphql-client.ts';
import { NotFoundError, ValidationError } from '../../errors/errors.ts';
import { startOfRange } from '../../jobs/schedule/window.ts';
import { formatInZone } from '../../lib/zoned-time.ts';
import { type AggregationBucket, computeBuckets } from '../../usage/buckets.ts';
import type { ClientContext } from '../command-context.ts';
import { type ServerFlags, type ServerPlace, withServer } from '../api-endpoint.ts';
import {
  drawUsage,
  percentText,
  summarize,
  type UsageGroup,
  type UsageSeries,
  type UsageSummary,
} from '../output/usage-table.ts';
import { readMoment } from '../time-range.ts';

export interface UsageFlags extends ServerFlags {
  readonly by: readonly string[];
  readonly bucket: 'hour' | 'day' | 'week' | 'month';
  /** As `ago(#x)`. */
  readonly range?: string;
  readonly from?: string;
  readonly to?: string;
  readonly timeZone: string;
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly top?: number;
  readonly json: boolean;
}

const DEFAULT_RANGE = 'ago(30d)';
const DEFAULT_TOP = 20;

interface UsageAnswer {
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
    ... on Usage { from to series { group { dimension values } total points { bucketStart value } } }
    ... on UserError { message }
    ... on ValidationError { issues { message } }
  }
}`;

export const usageCommand = (context: ClientContext, name: string, flags: UsageFlags): Promise<void> =>
  withServer(flags, context.env, (server) => showUsage(context, name, flags, server));

const showUsage = async (
  context: ClientContext,
  name: string,
  flags: UsageFlags,
  server: ServerPlace,
): Promise<void> => {
  const { terminal } = context;
  const aggregationBucket = flags.bucket.toUpperCase() as AggregationBucket;
  const { from, to } = windowOf(flags, context.clock.now());
  const client = createGraphQLClient({ ...server, signal: new AbortController().signal });
  const { stream, usage } = await client.request<UsageAnswer>(QUERY, {
    stream: name,
    input: {
      meterApiNames: [name],
      from: from.toISOString(),
      to: to.toISOString(),
      aggregationBucket,
      timeZone: flags.timeZone,
      groupBy: flags.by,
      ...(flags.filter.length > 0 && { filter: flags.filter }),
    },
  });
  if (!stream) throw new NotFoundError(`There is no stream "${name}".`);
  if (usage.message !== undefined) {
    throw new NotFoundError(usage.issues?.map(({ message }) => message).join('\n') ?? usage.message);
  }
  const unknown = [...flags.by, ...flags.filter.map(({ dimension }) => dimension)].filter(
    (dimension) => dimension !== 'element' && !stream.dimensions.includes(dimension),
  );
  if (unknown.length > 0) {
    throw new NotFoundError(
      `The stream "${name}" has no dimension "${unknown.join('", "')}". It has: ${['element', ...stream.dimensions].join(', ')}.`,
    );
  }
  const window = { start: new Date(usage.from), end: new Date(usage.to) };
  const starts = computeBuckets(window, aggregationBucket, flags.timeZone).starts.map((start) => start.getTime());
  const top = flags.top ?? (flags.json ? Number.POSITIVE_INFINITY : DEFAULT_TOP);
  const summary = summarize(usage.series, flags.by, starts, top);
  const shown = { from: formatInZone(window.start, flags.timeZone), to: formatInZone(window.end, flags.timeZone) };
  if (flags.json) {
    terminal.answer(`${JSON.stringify(asJson(summary, flags, { stream: name, ...shown }, starts))}\n`);
    return;
  }
  const cut = flags.bucket === 'hour' ? 16 : 10;
  const [first, last] = [shown.from, shown.to].map((text) => text.slice(0, cut).replace('T', ' '));
  const { answers } = terminal;
  const count = starts.length === 1 ? `1 ${flags.bucket}` : `${starts.length} ${flags.bucket}s`;
  terminal.answer(
    `${answers.paint('bold', name)} by ${flags.by.join(', ')}, ${first} until ${last} (${flags.timeZone}), ${count}\n\n`,
  );
  if (summary.groups.length > 0) {
    terminal.answer(drawUsage(summary, flags.by, flags.bucket, answers));
    return;
  }
  terminal.say(
    stream.firstTimestamp === null || stream.lastTimestamp === null
      ? 'Nothing was used: the stream has no live records.'
      : `Nothing was used. The records of the stream lie from ${stream.firstTimestamp} to ${stream.lastTimestamp}.`,
  );
};

/** What the flags mean. Errors: ValidationError. */
const windowOf = (flags: UsageFlags, now: Date): { from: Date; to: Date } => {
  const { timeZone } = flags;
  if (flags.range !== undefined && flags.from !== undefined) throw problem('Give either --range or --from.');
  const to = flags.to === undefined ? now : moment(flags.to, '--to', timeZone);
  if (flags.from === undefined) return { from: startOfRange(flags.range ?? DEFAULT_RANGE, to, timeZone), to };
  return { from: moment(flags.from, '--from', timeZone), to };
};

const moment = (text: string, flag: string, timeZone: string): Date => {
  const found = readMoment(text, timeZone);
  if (!found) throw problem(`${flag} is a date such as 2026-01-25, or a moment such as 2026-01-25T06:00:00Z.`);
  return found;
};

const problem = (message: string): ValidationError => new ValidationError([{ path: [], code: 'BAD_VALUE', message }]);

const asJson = (
  { groups, others, all }: UsageSummary,
  { by, bucket, timeZone }: UsageFlags,
  head: object,
  starts: readonly number[],
): object => {
  const figures = ({ total, share, least, most, values }: UsageGroup): object => ({
    total,
    share: percentText(share),
    min: least,
    max: most,
    values,
  });
  return {
    ...head,
    timeZone,
    bucket,
    bucketStarts: starts.map((start) => formatInZone(new Date(start), timeZone)),
    groups: groups.map((group) => ({
      group: Object.fromEntries(by.map((name, index) => [name, groupJson(name, group.names[index] ?? null)])),
      ...figures(group),
    })),
    others: others && { count: others.count, ...figures(others.sum) },
    all: groups.length === 0 ? null : figures(all),
  };
};

/** As in an export: the element is one word, a dimension a list. */
const groupJson = (name: string, values: readonly string[] | null): unknown =>
  name === 'element' ? (values?.[0] ?? null) : values;
