// Pure: usage as a table of buckets and groups, with exact sums.
import { countOf } from '../../ui/exact-number.ts';
import { addDecimals, compareDecimals } from './decimals.ts';

interface Point {
  readonly bucketStart: string;
  readonly bucketEnd: string;
  readonly value: string;
}

interface Series {
  readonly group: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly groupCount: number;
  readonly others: boolean;
  readonly total: string;
  readonly points: readonly Point[];
}

export interface UsageGroup {
  readonly name: string;
  /** Values of the group: several if records name several of a dimension. Empty for the others and for the sum of all. */
  readonly values: readonly string[];
  readonly isOthers: boolean;
  readonly total: string;
}

export interface UsageRow {
  readonly start: string;
  readonly end: string;
  /** Value of each group; null if the group has no record in the bucket. */
  readonly values: readonly (string | null)[];
  readonly total: string;
}

export interface UsageModel {
  /** The largest total first, the others last. */
  readonly groups: readonly UsageGroup[];
  /** Buckets with records, oldest first. */
  readonly rows: readonly UsageRow[];
  readonly total: string;
}

function nameGroup({ group, others, groupCount }: Series): string {
  if (others) return countOf(groupCount, 'other');
  const values = group.flatMap((one) => one.values);
  return values.length === 0 ? 'All' : values.join(' | ');
}

/** Builds the table of the series that the server returned. */
export function buildUsage(series: readonly Series[]): UsageModel {
  const sorted = series.toSorted((a, b) => Number(a.others) - Number(b.others) || compareDecimals(b.total, a.total));
  const rows = new Map<string, { readonly start: string; readonly end: string; readonly values: (string | null)[] }>();
  for (const [index, { points }] of sorted.entries()) {
    for (const { bucketStart, bucketEnd, value } of points) {
      const row = rows.get(bucketStart) ?? { start: bucketStart, end: bucketEnd, values: sorted.map(() => null) };
      row.values[index] = value;
      rows.set(bucketStart, row);
    }
  }
  return {
    groups: sorted.map((one) => ({
      name: nameGroup(one),
      values: one.group.flatMap(({ values }) => values),
      isOthers: one.others,
      total: one.total,
    })),
    rows: [...rows.values()]
      .toSorted((a, b) => Date.parse(a.start) - Date.parse(b.start))
      .map((row) => ({ ...row, total: addDecimals(row.values.filter((value) => value !== null)) })),
    total: addDecimals(sorted.map(({ total }) => total)),
  };
}

/** Returns the groups without the sum of the others. The totals remain those of all groups. */
export function removeOthers({ groups, rows, total }: UsageModel): UsageModel {
  const count = groups.filter(({ isOthers }) => !isOthers).length;
  return {
    groups: groups.slice(0, count),
    rows: rows.map((row) => ({ ...row, values: row.values.slice(0, count) })),
    total,
  };
}
