import { formatValue, type ModelStream, ONE } from '../streams/model.ts';

// Computes usage by loops over the records of a model. A bucket is identified by its wall time, such as `2026-01-25 13`,
// which Intl computes here and temporal-polyfill in Sluice. Not for hours that a clock shows twice.

export interface UsageQuestion {
  readonly from: string;
  readonly to: string;
  readonly aggregationBucket: 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';
  readonly timeZone: string;
  readonly groupBy: readonly string[];
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
}

/** Identifies a row: stream, label of the bucket, and the values of each group (null if the record has none). */
export type RowKey = readonly [string, string, ...(readonly string[] | null)[]];

const formats = new Map<string, Intl.DateTimeFormat>();

const wallTime = (at: Date, timeZone: string): string => {
  let format = formats.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat('sv-SE', {
      timeZone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      hourCycle: 'h23',
    });
    formats.set(timeZone, format);
  }
  return format.format(at);
};

/** Returns `2026-01-25 13`, `2026-01-25`, `2026-01-19` (a Monday) or `2026-01` for the wall time `2026-01-25 13`. */
const labelOfWall = (wall: string, bucket: UsageQuestion['aggregationBucket']): string => {
  if (bucket === 'HOUR') return wall;
  if (bucket === 'DAY') return wall.slice(0, 10);
  if (bucket === 'MONTH') return wall.slice(0, 7);
  const date = new Date(wall.slice(0, 10));
  while (date.getUTCDay() !== 1) date.setUTCDate(date.getUTCDate() - 1);
  return date.toISOString().slice(0, 10);
};

export const labelAt = (at: Date, { aggregationBucket, timeZone }: UsageQuestion): string =>
  labelOfWall(wallTime(at, timeZone), aggregationBucket);

const HOUR = 3_600_000;

/** Returns the labels of all buckets of the window, which it walks through hour by hour. */
export const labelsOf = (question: UsageQuestion): string[] => {
  const end = Date.parse(question.to) - 1;
  const labels = new Set<string>();
  for (let at = Date.parse(question.from); at < end; at += HOUR) labels.add(labelAt(new Date(at), question));
  return [...labels.add(labelAt(new Date(end), question))];
};

/** Returns the rows of a sparse result: key -> sum in 10^-30. */
export const usageOf = (streams: readonly ModelStream[], question: UsageQuestion): Map<string, bigint> => {
  const labels = new Set(labelsOf(question));
  const rows = new Map<string, bigint>();
  for (const stream of streams) {
    for (const record of stream.live) {
      const valuesOf = (name: string): readonly string[] | undefined =>
        name === 'element' ? [record.element] : record.filter.get(name);
      // An hourly bucket is an instant. A daily or monthly one is a date, the same in every zone, which begins with its first hour.
      const label =
        stream.granularity === 'HOURLY'
          ? labelAt(new Date(record.bucket), question)
          : labelOfWall(`${record.bucket.slice(0, 10)} 00`, question.aggregationBucket);
      const passes = question.filter.every((entry) =>
        valuesOf(entry.dimension)?.some((value) => entry.values.includes(value)),
      );
      if (!passes || !labels.has(label)) continue;
      const key = JSON.stringify([stream.name, label, ...question.groupBy.map((name) => valuesOf(name) ?? null)]);
      rows.set(key, (rows.get(key) ?? 0n) + record.value);
    }
  }
  return rows;
};

const compareTexts = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

const compareGroups = (a: readonly string[] | null, b: readonly string[] | null): number => {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  for (const [index, value] of a.entries()) {
    const other = b[index];
    if (other === undefined) return 1;
    if (value !== other) return compareTexts(value, other);
  }
  return a.length - b.length;
};

/** Sorts by stream, bucket and groups, bytewise, nulls first. */
export const compareRows = (one: string, other: string): number => {
  const [streamA, labelA, ...groupsA] = JSON.parse(one) as RowKey;
  const [streamB, labelB, ...groupsB] = JSON.parse(other) as RowKey;
  const byBucket = compareTexts(streamA, streamB) || compareTexts(labelA, labelB);
  if (byBucket !== 0) return byBucket;
  for (const [index, group] of groupsA.entries()) {
    const order = compareGroups(group, groupsB[index] ?? null);
    if (order !== 0) return order;
  }
  return 0;
};

/** Formats the sums, multiplied by a coefficient in 10^-30. */
export const rescaled = (rows: ReadonlyMap<string, bigint>, coefficient: bigint = ONE): Map<string, string> =>
  new Map([...rows].map(([key, value]) => [key, formatValue(value * coefficient, 60)]));
