// Pure: the cells of rows on their way to Parquet. Values become the unscaled integers of DECIMAL(38, 18), and never a JavaScript
// number.

/**
 * Separate the cells of a row, and the values of a dimension in its cell. Names and values have no control characters, so that no
 * cell needs an escape.
 */
export const CELL_SEPARATOR = '\x01';
export const VALUE_SEPARATOR = '\x03';

export const DECIMAL_PRECISION = 38;
export const DECIMAL_SCALE = 18;
/** Length of a decimal: a signed integer of 128 bits holds 38 digits. */
export const DECIMAL_BYTES = 16;
const INTEGER_DIGITS = DECIMAL_PRECISION - DECIMAL_SCALE;

/** A value that DECIMAL(38, 18) cannot hold, so that the export fails. */
export class ValueTooLargeError extends Error {
  readonly value: string;

  constructor(value: string) {
    super(
      `The value ${value} has more than ${INTEGER_DIGITS} digits before the point, which Parquet's DECIMAL(${DECIMAL_PRECISION}, ${DECIMAL_SCALE}) cannot hold. Export as CSV, JSON or NDJSON, or make the values smaller with rescaleFunction.`,
    );
    this.name = 'ValueTooLargeError';
    this.value = value;
  }
}

const ZEROS = '0'.repeat(DECIMAL_SCALE);

/** Text of the value in units of 10^-18, and whether it was rounded. */
export interface Unscaled {
  readonly units: bigint;
  readonly rounded: boolean;
}

/**
 * Converts a plain decimal without leading zeros to units of 10^-18, rounded half to even. Throws ValueTooLargeError if the integer
 * part, after rounding, has more than 20 digits.
 */
export function toUnscaled(text: string): Unscaled {
  const point = text.indexOf('.');
  const integerEnd = point < 0 ? text.length : point;
  const integerDigits = text.startsWith('-') ? integerEnd - 1 : integerEnd;
  if (integerDigits > INTEGER_DIGITS) throw new ValueTooLargeError(text);
  if (point < 0) return { units: BigInt(text + ZEROS), rounded: false };
  const kept = point + 1 + DECIMAL_SCALE;
  if (text.length <= kept) {
    return {
      units: BigInt(text.slice(0, point) + text.slice(point + 1) + ZEROS.slice(text.length - point - 1)),
      rounded: false,
    };
  }
  const units = BigInt(text.slice(0, point) + text.slice(point + 1, kept));
  const rest = text.slice(kept);
  if (/^0*$/.test(rest)) return { units, rounded: false };
  const isUp = rest[0] === '5' && /^50*$/.test(rest) ? units % 2n !== 0n : (rest[0] ?? '0') >= '5';
  if (!isUp) return { units, rounded: true };
  const away = text.startsWith('-') ? units - 1n : units + 1n;
  if (away > LARGEST || away < -LARGEST) throw new ValueTooLargeError(text);
  return { units: away, rounded: true };
}

const LARGEST = 10n ** BigInt(DECIMAL_PRECISION) - 1n;

/** Reused: the buffer of each value would be allocated outside of V8's heap. */
const scratch = new Uint8Array(DECIMAL_BYTES);
const scratchView = new DataView(scratch.buffer);

/** Returns a signed integer in two's complement, most significant byte first. */
export function toDecimalBytes(units: bigint): Uint8Array {
  scratchView.setBigInt64(0, units >> 64n);
  scratchView.setBigInt64(8, BigInt.asIntN(64, units));
  return scratch.slice();
}
