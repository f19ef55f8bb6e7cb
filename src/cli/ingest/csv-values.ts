// Pure: parses values in cells of CSV, and explains why a cell is not a value.
import { IssueCollector } from '../../errors/errors.ts';
import { parseDecimal, roundDecimal } from '../../lib/decimal.ts';
import { parseRecordValue } from '../../streams/pipeline/inputs.ts';

export interface ReadValue {
  /** The value with a decimal point. */
  readonly value: string;
  readonly isRounded: boolean;
}

/**
 * Returns the value, or what is wrong with the cell and how to fix it. A value that has no more than `round` decimals is not changed,
 * so that a file without such values has the same records with and without rounding.
 */
export function readValue(
  cell: string,
  decimalComma: boolean,
  round: number | null,
): ReadValue | { readonly problem: string } {
  if (decimalComma && cell.includes('.')) {
    return { problem: 'With --decimal-comma a value contains no point, and thousands must not be separated.' };
  }
  const text = decimalComma ? cell.replace(',', '.') : cell;
  const value = round === null ? text : roundValue(text, round);
  const issues = new IssueCollector();
  if (parseRecordValue(value, () => [], issues) !== null) return { value, isRounded: value !== text };
  const [issue] = issues.issues;
  if (issue !== undefined && issue.code !== 'BAD_DECIMAL') return { problem: issue.message };
  const example = `Must be a decimal number such as "${decimalComma ? '12,5' : '12.5'}".`;
  const hint = findHint(cell.slice(0, MAX_EXAMINED), decimalComma);
  return { problem: hint === null ? example : `${example} ${hint}` };
}

/** Returns a text that is not a decimal of 0 or more unchanged. */
function roundValue(text: string, decimals: number): string {
  const decimal = parseDecimal(text);
  return decimal === null || decimal.negative || decimal.scale <= decimals
    ? text
    : roundDecimal(decimal.text, decimals);
}

/** Maximum number of characters that are examined for a hint. */
const MAX_EXAMINED = 100;

/** Digits with any separators of thousands: points, commas, apostrophes, underscores and spaces. */
const GROUPED = /^[+-]?[\d.,'’_\s]*\d[.,]?$/;
const AMOUNT_WITH_UNIT = /[\p{Sc}%‰\p{L}]/u;
const EXPONENT = /^[+-]?[\d.,]+[Ee][+-]?\d+$/;

function findHint(cell: string, decimalComma: boolean): string | null {
  if (cell.trim() !== cell) return 'The cell begins or ends with a space.';
  if (GROUPED.test(cell)) return findSeparatorHint(cell.replace(/[\d+-]/g, ''), decimalComma);
  if (/\d/.test(cell) && AMOUNT_WITH_UNIT.test(cell) && !EXPONENT.test(cell)) {
    return 'Send the number alone, without a currency, percent sign or unit.';
  }
  return null;
}

/** `separators` are the characters of a number other than digits and its sign. */
function findSeparatorHint(separators: string, decimalComma: boolean): string {
  if (separators === ',' && !decimalComma) {
    return 'If the file has decimal commas, use --decimal-comma. Thousands must not be separated.';
  }
  const commas = separators.split(',').length - 1;
  const hasDecimalComma = !decimalComma && commas === 1 && separators.endsWith(',');
  return hasDecimalComma
    ? 'Thousands must not be separated: remove the separators, and use --decimal-comma for the decimal comma.'
    : 'Thousands must not be separated.';
}
