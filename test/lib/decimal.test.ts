import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDecimal, parseUnits, roundDecimal, sumDecimals } from '../../src/lib/decimal.ts';

test('sumDecimals > sums as many values as a usage query may return', () => {
  const values = Array.from({ length: 500_000 }, (_, index) => (index % 2 === 0 ? '0.1' : '99999999999999999999.25'));
  expect(sumDecimals(values)).toBe('24999999999999999999837500');
});

describe('roundDecimal', () => {
  test.each([
    ['2.5', 0, '3'],
    ['0.5', 0, '1'],
    ['0.49999999999999999999999999999999', 0, '0'],
    ['1.005', 2, '1.01'],
    ['1.0049', 2, '1'],
    ['9.995', 2, '10'],
    ['99999999999999999999.999', 2, '100000000000000000000'],
    ['1.25', 2, '1.25'],
    ['12', 3, '12'],
  ])('%s to %i decimals is %s', (value, decimals, rounded) => {
    expect(roundDecimal(value, decimals)).toBe(rounded);
  });

  test('differs from the value by at most half of the last digit', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 10n ** 38n }),
        fc.nat({ max: 30 }),
        fc.nat({ max: 30 }),
        (units, scale, to) => {
          const value = formatDecimal(units, scale);
          const rounded = roundDecimal(value, to);
          expect(rounded.split('.')[1]?.length ?? 0).toBeLessThanOrEqual(to);
          const difference = 2n * (parseUnits(rounded, 30) - parseUnits(value, 30));
          const step = 10n ** BigInt(30 - to);
          expect(difference <= step && difference > -step).toBe(true);
        },
      ),
    );
  });
});
