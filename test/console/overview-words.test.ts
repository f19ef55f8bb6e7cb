import { describe, expect, test } from 'vitest';
import {
  computeHeights,
  countDeliveries,
  describeDay,
  formatLag,
  isEmptyAccount,
  readCause,
} from '../../console/src/pages/overview/overview-words.ts';

const counts = (staleDeliveryCount: number, missingDeliveryCount: number) =>
  ({ staleDeliveryCount, missingDeliveryCount }) as Parameters<typeof countDeliveries>[0];

describe('console > overview', () => {
  test.each([
    [1, 0, '1 stale delivery'],
    [0, 1, '1 missing delivery'],
    [2, 1, '2 stale and 1 missing delivery'],
    [1, 1200, '1 stale and 1,200 missing deliveries'],
  ])('counts %d stale and %d missing deliveries', (stale, missing, words) => {
    expect(countDeliveries(counts(stale, missing))).toBe(words);
  });

  test.each([
    ['Not allowed to write. Attach the bucket policy.', 'Not allowed to write.'],
    ['Attach this policy: {"Version": "1"}', 'Attach this policy.'],
    ['The bucket my.bucket does not exist', 'The bucket my.bucket does not exist'],
  ])('reads the cause of "%s"', (message, cause) => {
    expect(readCause(message)).toBe(cause);
  });

  test('calls an account empty that has no stream, no job and no run', () => {
    const none = { jobs: { edges: [] }, runs: { edges: [] }, streams: { totalCount: 0, edges: [] } };
    expect(isEmptyAccount(none)).toBe(true);
    expect(isEmptyAccount({ ...none, jobs: { edges: [{ node: { id: 'job' } }] } })).toBe(false);
  });

  test.each([
    [61, '61 seconds'],
    [200, '3 minutes'],
    [90_000, '25 hours'],
  ])('formats a lag of %d seconds', (seconds, words) => {
    expect(formatLag(seconds)).toBe(words);
  });

  test('describes days, and draws a bar for each with operations', () => {
    const day = { date: '2026-11-29T00:00:00Z', operations: 3, insertedRecords: 2000, hiddenRecords: 5 };
    const others = [
      { ...day, operations: 1, insertedRecords: 0, hiddenRecords: 0 },
      { ...day, operations: 0, insertedRecords: 0, hiddenRecords: 0 },
    ];
    expect([day, ...others].map(describeDay)).toEqual([
      '29 Nov 2026: 3 operations, 2,000 records inserted, 5 hidden',
      '29 Nov 2026: 1 operation, 0 records inserted',
      '29 Nov 2026: no operations',
    ]);
    expect(computeHeights([day, ...others])).toEqual([100, 3, 0]);
  });
});
