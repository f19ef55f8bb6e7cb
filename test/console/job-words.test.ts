import { describe, expect, test } from 'vitest';
import {
  BACKFILL_STATUS,
  countLeft,
  countRuns,
  findShares,
  isOpen,
  listActions,
} from '../../console/src/pages/job/backfill-words.ts';
import { DELIVERY_STATES, describeState } from '../../console/src/pages/job/delivery-words.ts';
import {
  applyUpdates,
  describeActivity,
  describeRange,
  formatDuration,
  formatRunDuration,
  isDestinationError,
  type RunState,
  splitPolicy,
} from '../../console/src/pages/job/run-words.ts';

const RUN: RunState & { readonly id: string } = {
  id: 'a',
  status: 'QUEUED',
  attempt: 0,
  startedAt: null,
  finishedAt: null,
  rowsWritten: 0,
  bytesWritten: 0,
  waitsUntil: null,
  nextAttemptAt: null,
};

describe('console > run', () => {
  test.each([
    [{}, 'Waits for a worker'],
    [
      { waitsUntil: '2026-11-29T05:15:00Z' },
      'Waits until its streams are complete, at most until 29 Nov 2026, 06:15 Europe/Berlin',
    ],
    [
      { attempt: 2, nextAttemptAt: '2026-11-29T05:15:04Z' },
      'Attempt 2 of 5 failed. The next one starts at 06:15:04 Europe/Berlin',
    ],
    [{ attempt: 2 }, 'Waits for a worker'],
    [{ status: 'RUNNING', attempt: 1, rowsWritten: 12_000, bytesWritten: 1_500_000 }, '12,000 rows, 1.5 MB'],
    [{ status: 'RUNNING', attempt: 3, rowsWritten: 1 }, '1 row, 0 bytes, attempt 3 of 5'],
    [{ status: 'SUCCEEDED', attempt: 1 }, null],
    [{ status: 'FAILED', attempt: 5 }, null],
  ] as const)('with %j is described as %j', (change, text) => {
    expect(describeActivity({ ...RUN, ...change }, 'Europe/Berlin')).toBe(text);
  });

  test.each([
    [0, '< 0.1 s'],
    [360, '0.4 s'],
    [9_960, '10 s'],
    [59_400, '59 s'],
    [185_000, '3 min 5 s'],
    [7_800_000, '2 h 10 min'],
  ])('that took %d ms took %s', (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  test('has a duration from its start until now or its end', () => {
    const now = Date.parse('2026-11-29T05:15:30Z');
    expect(formatRunDuration(RUN, now)).toBe(null);
    const startedAt = '2026-11-29T05:15:00Z';
    expect(formatRunDuration({ ...RUN, startedAt }, now)).toBe('30 s');
    expect(formatRunDuration({ ...RUN, startedAt, finishedAt: '2026-11-29T05:15:12Z' }, now)).toBe('12 s');
  });

  test.each([
    ['ago(7d)', 'the last 7 days'],
    ['ago(1h)', 'the last hour'],
    ['previous(month)', 'the last whole month'],
    ['toDate(year)', 'the year until the slot'],
    ['ago(3x)', 'ago(3x)'],
  ])('has the window %s: %s', (range, text) => {
    expect(describeRange(range)).toBe(text);
  });

  test('has the bucket policy of its error as indented text', () => {
    const { message, policy } = splitPolicy('Not allowed. The policy to attach: { "Version": "1", "Statement": [] }');
    expect(message).toBe('Not allowed.');
    expect(policy).toBe('{\n  "Version": "1",\n  "Statement": []\n}');
    expect(splitPolicy('Not allowed.')).toEqual({ message: 'Not allowed.', policy: null });
    const damaged = 'Not allowed. The policy to attach: { "Ver';
    expect(splitPolicy(damaged)).toEqual({ message: damaged, policy: null });
  });

  test('has an error of its destination or of its own', () => {
    expect(
      ['ACCESS_DENIED', 'NO_SUCH_BUCKET', 'S3_TIMEOUT', 'MISSED', 'VALUE_TOO_LARGE'].filter(isDestinationError),
    ).toEqual(['ACCESS_DENIED', 'NO_SUCH_BUCKET', 'S3_TIMEOUT']);
  });

  test('in a list is replaced by its update unless the list says that it has ended', () => {
    const update = { ...RUN, status: 'RUNNING', rowsWritten: 5 } as const;
    const updates = new Map([['a', update]]);
    expect(applyUpdates([RUN, { ...RUN, id: 'b' }], updates)).toEqual([update, { ...RUN, id: 'b' }]);
    const ended = { ...RUN, status: 'SUCCEEDED', rowsWritten: 9 } as const;
    expect(applyUpdates<typeof RUN>([ended], updates)).toEqual([ended]);
  });
});

describe('console > backfill', () => {
  const counts = { windows: 200, delivered: 40, skipped: 10, failed: 50 };

  test('offers what its status allows', () => {
    const offered = Object.keys(BACKFILL_STATUS).map((status) => {
      const state = { status: status as keyof typeof BACKFILL_STATUS, failed: 1 };
      return [status, isOpen(state), listActions(state).join(' ')];
    });
    expect(offered).toEqual([
      ['RUNNING', true, 'pause cancel'],
      ['PAUSED', true, 'resume retry cancel'],
      ['SUCCEEDED', false, ''],
      ['FAILED', false, 'retry'],
      ['CANCELED', false, ''],
    ]);
    expect(listActions({ status: 'PAUSED', failed: 0 })).toEqual(['resume', 'cancel']);
  });

  test('has shares and a rest', () => {
    const state = { status: 'RUNNING', ...counts } as const;
    expect([findShares(state), countLeft(state)]).toEqual([{ done: 25, failed: 25 }, 100]);
    expect(findShares({ ...state, windows: 0, delivered: 0, skipped: 0, failed: 0 })).toEqual({ done: 0, failed: 0 });
  });

  test.each([
    ['MISSING', 3],
    ['STALE', 5],
    ['ALL', 9],
  ])('with %s delivers %d windows of its preview', (reprocess, runs) => {
    expect(countRuns({ windows: 9, missing: 3, stale: 2 }, reprocess)).toBe(runs);
  });
});

test('console > deliveries have a description of each state', () => {
  expect(DELIVERY_STATES.map(({ value }) => describeState(value)).every((text) => text.length > 20)).toBe(true);
});
