// Pure: exact arithmetic with the decimal strings of the API. Number() would round long ones.

interface Scaled {
  readonly units: bigint;
  readonly decimals: number;
}

function parseScaled(text: string): Scaled {
  const [whole = '0', fraction = ''] = text.split('.');
  return {
    units: BigInt(whole.replace('-', '') + fraction) * (text.startsWith('-') ? -1n : 1n),
    decimals: fraction.length,
  };
}

function alignUnits(a: string, b: string): { readonly a: bigint; readonly b: bigint; readonly decimals: number } {
  const [left, right] = [parseScaled(a), parseScaled(b)];
  const decimals = Math.max(left.decimals, right.decimals);
  const scale = ({ units, decimals: own }: Scaled): bigint => units * 10n ** BigInt(decimals - own);
  return { a: scale(left), b: scale(right), decimals };
}

function formatUnits(units: bigint, decimals: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  return `${units < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

/** Returns the exact sum, without trailing zeros. */
export function addDecimals(values: readonly string[]): string {
  return values.reduce((sum, value) => {
    const { a, b, decimals } = alignUnits(sum, value);
    return formatUnits(a + b, decimals);
  }, '0');
}

/** Returns the exact difference `a - b`, without trailing zeros. */
export function subtractDecimals(a: string, b: string): string {
  const units = alignUnits(a, b);
  return formatUnits(units.a - units.b, units.decimals);
}

/** Compares two decimals for Array.sort, the smaller one first. */
export function compareDecimals(a: string, b: string): number {
  const units = alignUnits(a, b);
  if (units.a === units.b) return 0;
  return units.a < units.b ? -1 : 1;
}

/** Formats a part of a total such as `12.0 %`, rounded down; null if the total is not positive or the part is negative. */
export function formatShare(part: string, total: string): string | null {
  const { a, b } = alignUnits(part, total);
  if (a < 0n || b <= 0n || a > b) return null;
  const thousandths = (a * 1000n) / b;
  return `${thousandths / 10n}.${thousandths % 10n} %`;
}
