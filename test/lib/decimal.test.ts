import { expect, test } from 'vitest';
import { sumDecimals } from '../../src/lib/decimal.ts';

test('sumDecimals > sums as many values as a usage query may return', () => {
  const values = Array.from({ length: 500_000 }, (_, index) => (index % 2 === 0 ? '0.1' : '99999999999999999999.25'));
  expect(sumDecimals(values)).toBe('24999999999999999999837500');
});
