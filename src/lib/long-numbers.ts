// Pure: numbers of a JSON text that a double does not hold as they were sent. JSON.parse changes them in silence:
// 100000000000000000001 becomes 1e20, 1e-400 becomes 0, and nobody behind it can tell.

/** Stands in the place of such a number, with its digits as they were sent. */
export class ExactNumber {
  readonly digits: string;

  constructor(digits: string) {
    this.digits = digits;
  }

  toJSON(): LongNumber {
    return { [DIGITS]: this.digits };
  }
}

/** The same in JSON, for a parser that comes later. */
export interface LongNumber {
  readonly [DIGITS]: string;
}

const DIGITS = 'sluice:digits';

/** Cheap, and never wrong where it says no: 16 digits in a row behind what can precede a number, or a large exponent. */
const MAY_HOLD_ONE = /[\s:,[]-?[\d.]{16,}|\d[eE][+-]?\d{3}|^-?[\d.]{16,}/;

/** Digits that count: zeros at either end are held by the exponent. */
const significant = (source: string): number =>
  source
    .replace(/[eE].*$/, '')
    .replace(/[-.]/g, '')
    .replace(/^0+|0+$/g, '').length;

/** Beyond 1e±308 a double ends; what is shorter, with an exponent of two digits, is far from that. */
const MAX_WRITTEN_OUT = 200;

/** Up to 15 digits survive a double; beyond 1e±308 it ends, and near that it has fewer digits (IEEE 754). */
const isLong = (source: string): boolean =>
  significant(source) > 15 || source.length > MAX_WRITTEN_OUT || /[eE][+-]?\d{3,}$/.test(source);

/** The third argument of a reviver (ES2026), which TypeScript's library does not know yet. */
type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

const revive: Reviver = (_, value, { source = '' }) =>
  typeof value === 'number' && isLong(source) ? new ExactNumber(source) : value;

/** JSON.parse with an ExactNumber in the place of each number that it would change. Throws SyntaxError. */
export const parseExactly = (text: string): unknown =>
  MAY_HOLD_ONE.test(text)
    ? JSON.parse(text, revive as (key: string, value: unknown) => unknown)
    : (JSON.parse(text) as unknown);

/** The same JSON with LongNumbers, for a parser that comes later. Text that is none comes back as it is, for it to refuse. */
export const keepLongNumbers = (text: string): string => {
  if (!MAY_HOLD_ONE.test(text)) return text;
  try {
    return JSON.stringify(parseExactly(text));
  } catch {
    return text;
  }
};

export const isLongNumber = (value: unknown): value is LongNumber =>
  typeof value === 'object' && value !== null && DIGITS in value;
