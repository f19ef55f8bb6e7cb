// Pure: which usage of a stream a page shows: range, buckets and groups, as its address contains them.
import type { VariablesOf } from '../../api/graphql.ts';
import { addDays, addMonths, countDays, dateOf, isDate, startOfDay } from '../../ui/zone-dates.ts';
import type { READ_USAGE } from './streams-documents.ts';

export type Granularity = 'HOURLY' | 'DAILY' | 'MONTHLY';
export type UsageBucket = 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';

export interface StreamSpan {
  readonly granularity: Granularity;
  readonly dimensions: readonly string[];
  /** Start of the first and last bucket with a live record. */
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
}

export interface Filter {
  readonly dimension: string;
  readonly value: string;
}

export interface Selection {
  /** Calendar dates in the zone, both inclusive. */
  readonly from: string;
  readonly through: string;
  /** A range up to the newest bucket, such as `30d`; null if the dates are chosen. */
  readonly range: string | null;
  readonly bucket: UsageBucket;
  /** Dimension, or `element`, of the groups; null for the sum of all. */
  readonly groupBy: string | null;
  readonly zone: string;
  readonly filters: readonly Filter[];
  /** Whether the chart leaves out the sum of the groups beyond the largest. */
  readonly areOthersHidden: boolean;
}

/** Number of groups that are shown. The server sums the others. */
const TOP = 10;
const ELEMENT = 'element';
const NO_GROUPS = 'none';

const BUCKETS: Readonly<Record<Granularity, readonly UsageBucket[]>> = {
  HOURLY: ['HOUR', 'DAY', 'WEEK', 'MONTH'],
  DAILY: ['DAY', 'WEEK', 'MONTH'],
  MONTHLY: ['MONTH'],
};

const RANGES: Readonly<Record<Granularity, readonly string[]>> = {
  HOURLY: ['1d', '7d', '30d', '90d', 'all'],
  DAILY: ['7d', '30d', '90d', '12m', 'all'],
  MONTHLY: ['12m', '36m', 'all'],
};
const DEFAULT_RANGE: Readonly<Record<Granularity, string>> = { HOURLY: '7d', DAILY: '30d', MONTHLY: '12m' };

export const RANGE_NAMES: Readonly<Record<string, string>> = {
  '1d': 'Newest day',
  '7d': 'Newest 7 days',
  '30d': 'Newest 30 days',
  '90d': 'Newest 90 days',
  '12m': 'Newest 12 months',
  '36m': 'Newest 36 months',
  all: 'All buckets',
};

/** Buckets that are at least as long as those of the stream. */
export function listBuckets(granularity: Granularity): readonly UsageBucket[] {
  return BUCKETS[granularity];
}

export function listRanges(granularity: Granularity): readonly string[] {
  return RANGES[granularity];
}

/** Returns the dimensions that usage can be grouped by, with `element` first. */
export function listGroupings({ dimensions }: Pick<StreamSpan, 'dimensions'>): readonly string[] {
  return [ELEMENT, ...dimensions];
}

/** Reads the selection of an address. What it lacks, or what the stream does not have, gets a default. */
export function readSelection(address: URLSearchParams, stream: StreamSpan, browserZone: string): Selection {
  const { granularity } = stream;
  // A DAILY or MONTHLY bucket is a calendar date: the same in every zone.
  const zone = granularity === 'HOURLY' ? readZone(address.get('zone'), browserZone) : 'UTC';
  const dates = readDates(address, stream, zone);
  const days = countDays(dates.from, dates.through) + 1;
  const grouping = address.get('by');
  return {
    ...dates,
    zone,
    bucket: BUCKETS[granularity].find((bucket) => bucket === address.get('bucket')) ?? chooseBucket(granularity, days),
    groupBy: grouping === NO_GROUPS ? null : (listGroupings(stream).find((name) => name === grouping) ?? ELEMENT),
    filters: address.getAll('only').flatMap((text) => readFilter(text, stream)),
    areOthersHidden: address.get('others') === 'hidden',
  };
}

function readZone(zone: string | null, browserZone: string): string {
  if (zone === null) return browserZone;
  try {
    return new Intl.DateTimeFormat('en-GB', { timeZone: zone }).resolvedOptions().timeZone;
  } catch {
    return browserZone;
  }
}

function readDates(
  address: URLSearchParams,
  { granularity, firstTimestamp, lastTimestamp }: StreamSpan,
  zone: string,
): Pick<Selection, 'from' | 'through' | 'range'> {
  const from = address.get('from') ?? '';
  const through = address.get('through') ?? '';
  if (isDate(from) && isDate(through) && from <= through) return { from, through, range: null };
  const named = address.get('range');
  const range = RANGES[granularity].find((one) => one === named) ?? DEFAULT_RANGE[granularity];
  const lastDate = dateOf(Date.parse(lastTimestamp), zone);
  // The last bucket of a MONTHLY stream ends with its month.
  const last = granularity === 'MONTHLY' ? addDays(firstOfMonth(lastDate, 1), -1) : lastDate;
  const first = dateOf(Date.parse(firstTimestamp), zone);
  const start = range === 'all' ? first : startOfRange(range, lastDate);
  return { from: start, through: last, range };
}

/** Returns the first date of a month that is a number of months after that of the date. */
function firstOfMonth(date: string, months: number): string {
  return `${addMonths(date.slice(0, 7), months)}-01`;
}

function startOfRange(range: string, last: string): string {
  const count = Number.parseInt(range, 10);
  return range.endsWith('m') ? firstOfMonth(last, 1 - count) : addDays(last, 1 - count);
}

function chooseBucket(granularity: Granularity, days: number): UsageBucket {
  if (granularity === 'MONTHLY' || days > 120) return 'MONTH';
  return granularity === 'HOURLY' && days <= 3 ? 'HOUR' : 'DAY';
}

function readFilter(text: string, stream: StreamSpan): Filter[] {
  const end = text.indexOf('=');
  const dimension = text.slice(0, end);
  return end > 0 && listGroupings(stream).includes(dimension) ? [{ dimension, value: text.slice(end + 1) }] : [];
}

/** Formats a filter for the parameter `only` of the address. */
export function formatFilter({ dimension, value }: Filter): string {
  return `${dimension}=${value}`;
}

/** Formats the first instant of a date. */
function formatStart(date: string, zone: string): string {
  return `${new Date(startOfDay(date, zone)).toISOString().slice(0, 19)}Z`;
}

/** Returns the input of the usage query. */
export function toUsageInput(stream: string, selection: Selection): VariablesOf<typeof READ_USAGE>['input'] {
  const { from, through, bucket, groupBy, zone, filters } = selection;
  return {
    meterApiNames: [stream],
    from: formatStart(from, zone),
    to: formatStart(addDays(through, 1), zone),
    aggregationBucket: bucket,
    timeZone: zone,
    sparse: true,
    ...(filters.length > 0 && { filter: filters.map(({ dimension, value }) => ({ dimension, values: [value] })) }),
    ...(groupBy !== null && { groupBy: [groupBy], top: TOP }),
  };
}
