// Pure: exact sums of many decimals.
import { formatDecimal } from './decimal.ts';

/** Digits that are counted in doubles, which hold whole numbers up to 2^53: 15 and what was summed before. */
const SHORT = 15;
const HALF_FULL = 2 ** 52;

/** Sums plain decimals of 0 or more: most in whole doubles, by the digits behind their points; large ones in bigints. */
export class DecimalSum {
  count = 0;
  /** By the number of digits behind the point. */
  readonly #units: number[] = [];
  readonly #large: bigint[] = [];

  add(text: string): void {
    this.count += 1;
    const point = text.indexOf('.');
    const scale = point < 0 ? 0 : text.length - point - 1;
    const digits = point < 0 ? text : text.slice(0, point) + text.slice(point + 1);
    if (digits.length > SHORT) {
      this.#large[scale] = (this.#large[scale] ?? 0n) + BigInt(digits);
      return;
    }
    const sum = (this.#units[scale] ?? 0) + Number(digits);
    if (sum > HALF_FULL) {
      this.#large[scale] = (this.#large[scale] ?? 0n) + BigInt(sum);
      this.#units[scale] = 0;
    } else {
      this.#units[scale] = sum;
    }
  }

  /** In plain notation. */
  get text(): string {
    const most = Math.max(this.#units.length, this.#large.length, 1) - 1;
    let sum = 0n;
    for (let scale = 0; scale <= most; scale += 1) {
      sum += ((this.#large[scale] ?? 0n) + BigInt(this.#units[scale] ?? 0)) * 10n ** BigInt(most - scale);
    }
    return formatDecimal(sum, most);
  }
}
