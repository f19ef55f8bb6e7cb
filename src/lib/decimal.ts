// Pure: exact decimals as text. A value never becomes a JavaScript number, whose 53 bits lose digits.

/** A number that arrived as a double. It is exact up to 15 significant digits; NaN if digits were lost on arrival. */
export class DoubleValue {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A decimal: the text as sent, or a double. */
export type DecimalInput = string | DoubleValue;

/** A decimal taken apart: plain text without exponent, leading or trailing zeros, `0` and never `-0`. */
export interface ParsedDecimal {
  readonly text: string;
  /** Significant digits: every digit of the integer part counts, zeros before the first other digit do not. */
  readonly digits: number;
  /** Digits behind the point. */
  readonly scale: number;
  readonly negative: boolean;
}

const SYNTAX = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?$/;

/** Beyond it a number has more digits than any limit here allows; checked before zeros are written out. */
const MAX_EXPONENT = 400;

/**
 * Reads `12`, `-0.5`, `.5`, `5.`, `1e3`. Returns null if the text is not a decimal, or if its exponent
 * is beyond ±400: such a number exceeds every limit of Sluice, and writing out its zeros would cost memory.
 */
export function parseDecimal(text: string): ParsedDecimal | null {
  if (text.length > 1000) return null;
  const match = SYNTAX.exec(text);
  if (!match) return null;
  const [, sign = '', whole = '', fraction = '', exponentText = '0'] = match;
  if (whole === '' && fraction === '') return null;
  const exponent = Number(exponentText);
  if (Math.abs(exponent) > MAX_EXPONENT) return null;
  const allDigits = whole + fraction;
  const point = whole.length + exponent;
  const padded =
    point < 0 ? '0'.repeat(-point) + allDigits : allDigits + '0'.repeat(Math.max(0, point - allDigits.length));
  const split = Math.max(0, point);
  const integer = padded.slice(0, split).replace(/^0+/, '');
  const decimals = withoutZerosAtEnd(padded.slice(split));
  const isZero = integer === '' && decimals === '';
  const negative = sign === '-' && !isZero;
  return {
    text: `${negative ? '-' : ''}${integer === '' ? '0' : integer}${decimals === '' ? '' : `.${decimals}`}`,
    digits: (integer === '' ? decimals.replace(/^0+/, '') : integer + decimals).length,
    scale: decimals.length,
    negative,
  };
}

/** Not by /0+$/, which is quadratic: it starts again at each zero of a run that is not at the end. */
function withoutZerosAtEnd(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === '0') end -= 1;
  return digits.slice(0, end);
}

/** How many digits of a number count: 15 survive the way through a double, 16 may not (IEEE 754). */
export function significantDigits(value: number): number {
  const [mantissa = ''] = Math.abs(value).toExponential().split('e');
  return withoutZerosAtEnd(mantissa.replace('.', '')).length;
}

/**
 * Rounds a plain decimal of 0 or more to `decimals` digits after the point. Half of the last digit is rounded up, as by `round` in
 * PostgreSQL and in spreadsheets. A decimal with fewer digits is returned unchanged.
 */
export function roundDecimal(text: string, decimals: number): string {
  const point = text.indexOf('.');
  if (point < 0 || text.length - point - 1 <= decimals) return text;
  const kept = BigInt(text.slice(0, point) + text.slice(point + 1, point + 1 + decimals));
  return formatDecimal(text.charAt(point + 1 + decimals) >= '5' ? kept + 1n : kept, decimals);
}

/** The exact sum of decimals in plain notation. */
export function sumDecimals(texts: readonly string[]): string {
  const scale = largestScale(texts);
  let sum = 0n;
  for (const text of texts) sum += parseUnits(text, scale);
  return formatDecimal(sum, scale);
}

/** The exact difference of two decimals in plain notation. */
export function subtractDecimals(minuend: string, subtrahend: string): string {
  const scale = largestScale([minuend, subtrahend]);
  return formatDecimal(parseUnits(minuend, scale) - parseUnits(subtrahend, scale), scale);
}

/** Returns a plain decimal as an integer in units of 10^-scale. The decimal has at most `scale` digits after the point. */
export function parseUnits(text: string, scale: number): bigint {
  return BigInt(text.replace('.', '') + '0'.repeat(scale - countDecimals(text)));
}

/** Formats an integer in units of 10^-scale as a decimal. */
export function formatDecimal(sum: bigint, scale: number): string {
  const digits = (sum < 0n ? -sum : sum).toString().padStart(scale + 1, '0');
  const point = digits.length - scale;
  return parseDecimal(`${sum < 0n ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`)?.text ?? '0';
}

/** The most digits behind the point of any of the plain decimals. Not by spreading: a call has about 120,000 arguments at most. */
export function largestScale(texts: Iterable<string>): number {
  let largest = 0;
  for (const text of texts) largest = Math.max(largest, countDecimals(text));
  return largest;
}

/** Digits behind the point of a plain decimal. */
function countDecimals(text: string): number {
  const point = text.indexOf('.');
  return point < 0 ? 0 : text.length - point - 1;
}
