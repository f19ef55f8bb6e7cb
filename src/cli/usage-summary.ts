// Pure: usage by group, with exact sums.
import { formatDecimal, largestScale, parseUnits } from '../lib/decimal.ts';

export interface UsageSeries {
  readonly group: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  /** Whether the series sums groups beyond the largest ones. */
  readonly others: boolean;
  readonly groupCount: number;
  readonly total: string;
  readonly points: readonly { readonly bucketStart: string; readonly value: string }[];
}

/** The usage of one group, or the sum of several. */
export interface GroupUsage {
  /** The values of each dimension of `groupBy`, in its order; null if the stream does not have the dimension. Empty for a sum. */
  readonly group: readonly (readonly string[] | null)[];
  readonly total: string;
  /** Tenths of a percent of the whole usage, rounded. */
  readonly share: number;
  /** Smallest and largest value of a bucket; buckets without usage count as 0. */
  readonly min: string;
  readonly max: string;
  /** One value per bucket. */
  readonly values: readonly string[];
}

export interface UsageSummary {
  /** The groups with the largest totals, largest first. */
  readonly groups: readonly GroupUsage[];
  /** The sum of all other groups; null if there are none. */
  readonly others: { readonly count: number; readonly sum: GroupUsage } | null;
  readonly all: GroupUsage;
}

interface Row {
  readonly group: GroupUsage['group'];
  readonly units: readonly bigint[];
  readonly total: bigint;
}

/** Ranks the groups by total. The server has summed the others. `bucketStarts` are in milliseconds. */
export function summarizeUsage(
  series: readonly UsageSeries[],
  groupBy: readonly string[],
  bucketStarts: readonly number[],
): UsageSummary {
  const scale = largestScale(series.flatMap(({ points }) => points.map(({ value }) => value)));
  const bucketIndexes = new Map(bucketStarts.map((start, index) => [start, index]));
  const toRow = ({ group, total, points }: UsageSeries): Row => {
    const units = bucketStarts.map(() => 0n);
    for (const { bucketStart, value } of points) {
      const index = bucketIndexes.get(Date.parse(bucketStart));
      if (index === undefined) throw new Error(`The bucket ${bucketStart} is not in the window.`);
      units[index] = parseUnits(value, scale);
    }
    const values = groupBy.map((name) => group.find(({ dimension }) => dimension === name)?.values ?? null);
    return { group: values, units, total: parseUnits(total, scale) };
  };
  const groups = series
    .filter(({ others }) => !others)
    .map(toRow)
    .toSorted((a, b) => Number(b.total > a.total) - Number(b.total < a.total));
  const rest = series.find(({ others }) => others);
  const others = rest && { ...toRow(rest), group: [] };
  const rows = others ? [...groups, others] : groups;
  const whole = addUnits(rows.map(({ total }) => total));
  const describe = ({ group, units, total }: Row): GroupUsage => ({
    group,
    total: formatDecimal(total, scale),
    share: whole === 0n ? 0 : Number((total * 2000n + whole) / (whole * 2n)),
    min: formatDecimal(
      units.reduce((min, unit) => (unit < min ? unit : min)),
      scale,
    ),
    max: formatDecimal(
      units.reduce((max, unit) => (unit > max ? unit : max)),
      scale,
    ),
    values: units.map((unit) => formatDecimal(unit, scale)),
  });
  return {
    groups: groups.map(describe),
    others: others && rest ? { count: rest.groupCount, sum: describe(others) } : null,
    all: describe({
      group: [],
      units: bucketStarts.map((_, bucket) => addUnits(rows.map(({ units }) => units[bucket] ?? 0n))),
      total: whole,
    }),
  };
}

const addUnits = (units: readonly bigint[]): bigint => units.reduce((sum, unit) => sum + unit, 0n);
