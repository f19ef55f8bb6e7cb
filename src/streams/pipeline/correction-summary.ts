// Pure: summarizes what a previewed write changes.
import { formatDecimal, largestScale, parseUnits } from '../../lib/decimal.ts';

/** A bucket, filter and element whose value or number of live records a write changes. */
export interface ChangedKey {
  readonly bucketStart: Date;
  readonly filterId: string;
  readonly element: string;
  /** Plain decimal notation; null without a live record. */
  readonly valueBefore: string | null;
  readonly valueAfter: string | null;
}

export interface ElementChange {
  readonly element: string;
  readonly valueBefore: string;
  readonly valueAfter: string;
}

export interface ChangeSummary {
  readonly valueBefore: string;
  readonly valueAfter: string;
  /** The elements that change most, first. */
  readonly elements: readonly ElementChange[];
}

/** Maximum elements, and maximum keys, that a preview lists. */
export const MAX_LISTED_CHANGES = 100;

/** Sums the keys, in total and by element. Exact. */
export function summarizeChanges(keys: readonly ChangedKey[]): ChangeSummary {
  const scale = largestScale(keys.flatMap(({ valueBefore, valueAfter }) => [valueBefore ?? '0', valueAfter ?? '0']));
  const total = { before: 0n, after: 0n };
  const byElement = new Map<string, { before: bigint; after: bigint }>();
  for (const { element, valueBefore, valueAfter } of keys) {
    let sums = byElement.get(element);
    if (!sums) byElement.set(element, (sums = { before: 0n, after: 0n }));
    for (const one of [total, sums]) {
      one.before += parseUnits(valueBefore ?? '0', scale);
      one.after += parseUnits(valueAfter ?? '0', scale);
    }
  }
  const changeOf = ({ before, after }: { before: bigint; after: bigint }): bigint =>
    after > before ? after - before : before - after;
  const format = (units: bigint): string => formatDecimal(units, scale);
  const elements = [...byElement]
    .map(([element, sums]) => ({ element, sums, change: changeOf(sums) }))
    .sort((a, b) => (a.change === b.change ? 0 : a.change > b.change ? -1 : 1))
    .slice(0, MAX_LISTED_CHANGES)
    .map(({ element, sums: { before, after } }) => ({
      element,
      valueBefore: format(before),
      valueAfter: format(after),
    }));
  return { valueBefore: format(total.before), valueAfter: format(total.after), elements };
}
