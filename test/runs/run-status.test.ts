import { expect, test } from 'vitest';
import {
  isEnded,
  MAX_ATTEMPTS,
  retryDelayMs,
  RUN_STATUSES,
  type RunEvent,
  statusesBefore,
  statusAfter,
  TRANSITIONS,
} from '../../src/runs/run-status.ts';
import { readSourceFiles } from '../support/source-files.ts';

// QUEUED -> RUNNING -> SUCCEEDED | FAILED | CANCELED; RUNNING -> QUEUED between attempts; and nothing else but that what
// waits is canceled: by somebody, by a later slot that holds its window, or as one missed slot too many.
const ARROWS: readonly (readonly [from: string, event: RunEvent, to: string])[] = [
  ['QUEUED', 'START', 'RUNNING'],
  ['RUNNING', 'SUCCEED', 'SUCCEEDED'],
  ['RUNNING', 'FAIL', 'FAILED'],
  ['RUNNING', 'RETRY', 'QUEUED'],
  ['RUNNING', 'CANCEL', 'CANCELED'],
  ['QUEUED', 'CANCEL', 'CANCELED'],
  ['QUEUED', 'SUPERSEDE', 'CANCELED'],
  ['QUEUED', 'MISS', 'CANCELED'],
];
const EVENTS: readonly RunEvent[] = ['START', 'RETRY', 'SUCCEED', 'FAIL', 'CANCEL', 'SUPERSEDE', 'MISS'];

test('the table has every state and event, and no arrow but these', () => {
  expect(RUN_STATUSES).toEqual(['QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED']);
  expect(Object.keys(TRANSITIONS)).toEqual([...RUN_STATUSES]);
  for (const from of RUN_STATUSES) {
    expect(Object.keys(TRANSITIONS[from]).toSorted()).toEqual(EVENTS.toSorted());
    for (const event of EVENTS) {
      const arrow = ARROWS.find((one) => one[0] === from && one[1] === event);
      expect([from, event, TRANSITIONS[from][event]]).toEqual([from, event, arrow?.[2] ?? null]);
    }
  }
});

test('an event leads to one status, from the statuses that have it', () => {
  for (const event of EVENTS) {
    const arrows = ARROWS.filter((one) => one[1] === event);
    expect(statusesBefore(event).toSorted()).toEqual(arrows.map(([from]) => from).toSorted());
    expect(statusAfter(event)).toBe(arrows[0]?.[2]);
  }
});

test('a run has ended where no arrow leads on', () => {
  expect(RUN_STATUSES.filter(isEnded)).toEqual(['SUCCEEDED', 'FAILED', 'CANCELED']);
});

test('pauses are about 1, 4, 15 and 60 seconds, a quarter more or less, and there is no sixth attempt', () => {
  expect(MAX_ATTEMPTS).toBe(5);
  expect([1, 2, 3, 4].map((attempt) => [0, 0.5, 1].map((random) => retryDelayMs(attempt, random)))).toEqual([
    [750, 1000, 1250],
    [3000, 4000, 5000],
    [11_250, 15_000, 18_750],
    [45_000, 60_000, 75_000],
  ]);
  expect([5, 6, 100].map((attempt) => retryDelayMs(attempt, 0.5))).toEqual([null, null, null]);
});

test('no code changes the status of a run but by the table', async () => {
  const files = await readSourceFiles('src');
  const updates = files.flatMap(({ path, code }) =>
    // Up to the condition; whoever updates runs in SQL of his own sets no status at all.
    [...code.matchAll(/\.update\(runs\)([^]*?)\.where\(|\bUPDATE runs\b([^]*?)\bWHERE\b/g)].map((match) => ({
      path,
      written: [...(match[1] ?? match[2] ?? '').matchAll(/\bstatus\b\s*[:=]\s*([^,\n]+)/g)].map((one) => one[1]),
    })),
  );
  expect(updates.length).toBeGreaterThanOrEqual(9);
  expect(updates.flatMap(({ written }) => written).length).toBeGreaterThanOrEqual(6);
  expect(
    updates.flatMap(({ path, written }) =>
      written.filter((value) => !value?.startsWith('statusAfter(')).map((value) => `${path}: ${value}`),
    ),
  ).toEqual([]);
  // And none is made with another than QUEUED, or MISSED by the table.
  const inserts = files.flatMap(({ code }) => [
    ...code.matchAll(/\bstatus: ('[A-Z]+'|statusAfter\('MISS'\)),\s*(?:scheduledFor|finishedAt)/g),
  ]);
  expect(inserts.map((match) => match[1] ?? '').toSorted()).toEqual(["'QUEUED'", "statusAfter('MISS')"]);
});
