import { describe, expect, test } from 'vitest';
import { readAddresses } from '../../console/src/api/address.ts';
import { readKeyFragment } from '../../console/src/api/key-in-fragment.ts';
import { findProblem, listOtherIssues } from '../../console/src/api/problem.ts';
import { countOf, formatBytes, groupDigits } from '../../console/src/ui/exact-number.ts';
import { formatDay, formatDistance, formatInstant, formatSpan, formatUtc } from '../../console/src/ui/time-text.ts';

describe('console > addresses', () => {
  test.each([
    ['http://127.0.0.1:4000/console/', '/console', '/'],
    ['https://tools.example/billing/v2/console/', '/billing/v2/console', '/billing/v2/'],
  ])('of %s are computed from the base address', (baseUri, basename, server) => {
    expect(readAddresses(baseUri)).toEqual({ basename, server });
  });
});

describe('console > key in the fragment', () => {
  test.each([
    ['#key=abc', 'abc'],
    ['#key=a%20b+c%2F', 'a b+c/'],
    ['#x=1&key=abc', 'abc'],
    ['#key=', null],
    ['#section', null],
    ['', null],
  ])('of %s is %s', (hash, key) => {
    expect(readKeyFragment(hash)).toBe(key);
  });
});

describe('console > exact numbers', () => {
  test.each([
    ['0', '0'],
    ['999', '999'],
    ['1000', '1,000'],
    ['-1234567.1250', '-1,234,567.1250'],
    [
      '12345678901234567890123456789012345678.000000000000000001',
      '12,345,678,901,234,567,890,123,456,789,012,345,678.000000000000000001',
    ],
  ])('%s is shown as %s', (value, shown) => {
    expect(groupDigits(value)).toBe(shown);
  });

  test('have the plural of their noun', () => {
    expect([countOf(1, 'delivery', 'deliveries'), countOf(2000, 'record')]).toEqual(['1 delivery', '2,000 records']);
  });

  test('of bytes have a unit', () => {
    expect([0, 999, 1000, 1_250_000].map(formatBytes)).toEqual(['0 bytes', '999 bytes', '1 kB', '1.3 MB']);
  });
});

describe('console > times', () => {
  test('are shown in their zone, with its name', () => {
    expect(formatInstant('2026-11-29T05:15:00Z', 'Europe/Berlin')).toBe('29 Nov 2026, 06:15 Europe/Berlin');
    expect(formatSpan('2026-11-28T23:00:00Z', '2026-11-29T23:00:00Z', 'Europe/Berlin')).toBe(
      '29 Nov 2026, 00:00 – 30 Nov 2026, 00:00 Europe/Berlin',
    );
    expect(formatSpan('2026-11-29T05:00:00Z', '2026-11-29T06:00:00Z', 'Europe/Berlin')).toBe(
      '29 Nov 2026, 06:00 – 07:00 Europe/Berlin',
    );
    expect(formatUtc('2026-11-29T05:15:00Z')).toBe('2026-11-29 05:15:00 UTC');
  });

  test('are shown in UTC when the browser does not know their zone', () => {
    expect(formatInstant('2026-11-29T05:15:00Z', 'Europe/Nowhere')).toBe('29 Nov 2026, 05:15 UTC');
    expect(formatDay('2026-11-29T05:15:00Z', 'Europe/Nowhere')).toBe('29 Nov 2026');
  });

  test('are compared with now in the largest unit', () => {
    const now = Date.parse('2026-11-29T12:00:00Z');
    const shown = ['2026-11-29T12:00:30Z', '2026-11-29T11:59:00Z', '2026-11-29T14:30:00Z', '2026-11-26T11:00:00Z'];
    expect(shown.map((iso) => formatDistance(iso, now))).toEqual(['now', '1 minute ago', 'in 2 hours', '3 days ago']);
  });
});

describe('console > problems', () => {
  test('of an error type have its issues by field', () => {
    const problem = findProblem({
      data: {
        createJob: {
          __typename: 'ValidationError',
          code: 'BAD_INPUT',
          message: '3 problems.',
          issues: [
            { path: ['input', 'filter', '0', 'values'], message: 'One.' },
            { path: ['input', 'filter', '0', 'values'], message: 'Two.' },
            { path: ['input'], message: 'Three.' },
          ],
        },
      },
    });
    expect(problem).toEqual({
      code: 'BAD_INPUT',
      message: '3 problems.',
      issues: { 'filter.0.values': 'One. Two.', '': 'Three.' },
    });
    expect(listOtherIssues(problem, ['filter'])).toEqual(['Three.']);
    expect(listOtherIssues(problem, [])).toEqual(['filter.0.values: One. Two.', 'Three.']);
  });

  test('of the request come before those of its data', () => {
    const error = { graphQLErrors: [{ message: 'Too deep.', extensions: { code: 'LIMIT' } }] };
    expect(findProblem({ data: null, error })).toEqual({ code: 'LIMIT', message: 'Too deep.', issues: {} });
    expect(findProblem({ error: { graphQLErrors: [] } })?.message).toMatch(/^The server cannot be reached/);
    expect(findProblem({ data: { job: { __typename: 'Job', code: 'x', message: 'y' } } })).toBe(null);
  });
});
