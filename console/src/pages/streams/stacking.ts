// Pure: geometry of stacked bars. Pixels need no exact figures, so values are doubles here.

export interface Segment {
  /** Index of the group. */
  readonly group: number;
  readonly from: number;
  readonly to: number;
}

/** Stacks the values of one bucket: positive ones upwards from zero, negative ones downwards. Zeros have no segment. */
export function stackValues(values: readonly (string | null)[]): Segment[] {
  const ends = { up: 0, down: 0 };
  return values.flatMap((text, group) => {
    const value = Number(text ?? 0);
    if (value === 0) return [];
    const side = value > 0 ? 'up' : 'down';
    const from = ends[side];
    ends[side] += value;
    return [{ group, from, to: ends[side] }];
  });
}

/** Returns the range of the value axis, which contains zero; 0 to 1 if all values are zero. */
export function findRange(stacks: readonly (readonly Segment[])[]): readonly [number, number] {
  let [lowest, highest] = [0, 0];
  for (const { to } of stacks.flat()) {
    lowest = Math.min(lowest, to);
    highest = Math.max(highest, to);
  }
  if (lowest === 0 && highest === 0) return [0, 1];
  const margin = (highest - lowest) * 0.05;
  return [lowest === 0 ? 0 : lowest - margin, highest === 0 ? 0 : highest + margin];
}

/** Formats a value of the axis in few characters, such as `1.2M`. */
export function formatAxisValue(value: number): string {
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e15)) {
    return value.toExponential(2).replace(/\.?0+e/, 'e');
  }
  return new Intl.NumberFormat('en-GB', { notation: 'compact', maximumSignificantDigits: 4 })
    .format(value)
    .toUpperCase();
}
