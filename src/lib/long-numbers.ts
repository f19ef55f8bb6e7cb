// Pure: numbers of a JSON text with more digits than a double holds. JSON.parse shortens them in silence:
// 100000000000000000001 becomes 1e20, and nobody behind it can tell.

/** Stands in the place of such a number, with its digits as they were sent. */
export interface LongNumber {
  readonly [DIGITS]: string;
}

const DIGITS = 'sluice:digits';

/** Cheap, and never wrong where it says no: 16 digits in a row behind what can precede a number. */
const MAY_HOLD_ONE = /[\s:,[]-?[\d.]{16,}/;

/** Digits that count: zeros at either end are held by the exponent. */
const significant = (source: string): number =>
  source
    .replace(/[eE].*$/, '')
    .replace(/[-.]/g, '')
    .replace(/^0+|0+$/g, '').length;

/** The third argument of a reviver (ES2026), which TypeScript's library does not know yet. */
type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/**
 * The same JSON with a LongNumber in the place of each number of more than 15 significant digits. Text that holds none
 * comes back as it is, after one look; so does text that is no JSON, for its reader to refuse.
 */
export const keepLongNumbers = (text: string): string => {
  if (!MAY_HOLD_ONE.test(text)) return text;
  const revive: Reviver = (_, value, { source = '' }) =>
    typeof value === 'number' && significant(source) > 15 ? { [DIGITS]: source } : value;
  try {
    return JSON.stringify(JSON.parse(text, revive as (key: string, value: unknown) => unknown));
  } catch {
    return text;
  }
};

export const isLongNumber = (value: unknown): value is LongNumber =>
  typeof value === 'object' && value !== null && DIGITS in value;
