// The result of a measurement: a figure, its bound, and the details that it was computed from.

export interface Figure {
  /** Such as `REST JSON, 5,000 records per request, 3 clients`. */
  readonly what: string;
  readonly against: string;
  readonly value: number;
  readonly unit: 'x' | 'ms' | 's' | 'MB' | 'KB' | 'scans/s';
  readonly bound: { readonly atLeast: number } | { readonly atMost: number };
  /** The figures that it was computed from, with units in their names. */
  readonly details: Readonly<Record<string, number>>;
}

export function isKept({ value, bound }: Figure): boolean {
  return 'atLeast' in bound ? value >= bound.atLeast : value <= bound.atMost;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

export function describeFigure(figure: Figure): string {
  const { what, against, value, unit, bound, details } = figure;
  const limit = 'atLeast' in bound ? `at least ${bound.atLeast}` : `at most ${bound.atMost}`;
  const made = Object.entries(details)
    .map(([name, detail]) => `${name} ${round(detail)}`)
    .join(', ');
  return `${isKept(figure) ? 'ok  ' : 'FAIL'} ${round(value)} ${unit} (${limit} ${unit})  ${what}${against === '' ? '' : `, against ${against}`}\n     ${made}`;
}

/** Returns the value below which the given part of all values is. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}
