// Pure: usage by group, with exact sums.
import { formatDecimal, largestScale, parseUnits } from '../lib/decimal.ts';

export interface UsageSeries {
  readonly group: readonly { readonly dimension: string; readonly values: readonly string[] }[];
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

/** Ranks the groups by total and adds up those after the first `top`. `bucketStarts` are in milliseconds. */
export function summarizeUsage(
  series: readonly UsageSeries[],
  groupBy: readonly string[],
  bucketStarts: readonly number[],
  top: number,
): UsageSummary {
  const scale = largestScale(series.flatMap(({ points }) => points.map(({ value }) => value)));
  const bucketIndexes = new Map(bucketStarts.map((start, index) => [start, index]));
  const rows = series
    .map(({ group, total, points }): Row => {
      const units = bucketStarts.map(() => 0n);
      for (const { bucketStart, value } of points) {
        const index = bucketIndexes.get(Date.parse(bucketStart));
        if (index === undefined) throw new Error(`The bucket ${bucketStart} is not in the window.`);
        units[index] = parseUnits(value, scale);
      }
      const values = groupBy.map((name) => group.find(({ dimension }) => dimension === name)?.values ?? null);
      return { group: values, units, total: parseUnits(total, scale) };
    })
    .toSorted((a, b) => Number(b.total > a.total) - Number(b.total < a.total));
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
  const addUp = (some: readonly Row[]): GroupUsage =>
    describe({
      group: [],
      units: bucketStarts.map((_, bucket) => addUnits(some.map(({ units }) => units[bucket] ?? 0n))),
      total: addUnits(some.map(({ total }) => total)),
    });
  const rest = rows.slice(top);
  return {
    groups: rows.slice(0, top).map(describe),
    others: rest.length === 0 ? null : { count: rest.length, sum: addUp(rest) },
    all: addUp(rows),
  };
}

const addUnits = (units: readonly bigint[]): bigint => units.reduce((sum, unit) => sum + unit, 0n);
