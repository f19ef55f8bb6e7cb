import { expect, test } from 'vitest';
import { groupDigits } from '../../src/lib/format-amounts.ts';

test.each([
  ['0', '0'],
  ['999', '999'],
  ['1000', '1,000'],
  ['-999.123456', '-999.123456'],
  ['-1234567.000001', '-1,234,567.000001'],
  ['12345678901234567890123456789012345678', '12,345,678,901,234,567,890,123,456,789,012,345,678'],
])('groupDigits > separates the thousands of %s and keeps every digit', (decimal, expected) => {
  expect(groupDigits(decimal)).toBe(expected);
});
