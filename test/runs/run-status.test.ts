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

// QUEUED -> RUNNING -> SUCCEEDED | FAILED | CANCELED; RUNNING -> QUEUED between attempts; QUEUED -> CANCELED by cancelRun, by
// a later slot whose window contains that of the run, or because too many slots were missed.
const ARROWS: readonly (readonly [from: string, event: RunEvent, to: string])[] = [
  ['QUEUED', 'START', 'RUNNING'],
  ['RUNNING', 'SUCCEED', 'SUCCEEDED'],
  ['RUNNING', 'FAIL', 'FAILED'],
  ['RUNNING', 'SKIP', 'CANCELED'],
  ['RUNNING', 'RETRY', 'QUEUED'],
  ['RUNNING', 'CANCEL', 'CANCELED'],
  ['QUEUED', 'CANCEL', 'CANCELED'],
  ['QUEUED', 'SUPERSEDE', 'CANCELED'],
  ['QUEUED', 'MISS', 'CANCELED'],
];
const EVENTS: readonly RunEvent[] = ['START', 'RETRY', 'SUCCEED', 'FAIL', 'SKIP', 'CANCEL', 'SUPERSEDE', 'MISS'];

test('TRANSITIONS > has every status and event, and only these transitions', () => {
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

test('statusAfter > returns the one status to which an event leads', () => {
  for (const event of EVENTS) {
    const arrows = ARROWS.filter((one) => one[1] === event);
    expect(statusesBefore(event).toSorted()).toEqual(arrows.map(([from]) => from).toSorted());
    expect(statusAfter(event)).toBe(arrows[0]?.[2]);
  }
});

test('isEnded > is true for statuses without transitions', () => {
  expect(RUN_STATUSES.filter(isEnded)).toEqual(['SUCCEEDED', 'FAILED', 'CANCELED']);
});

test('retryDelayMs > is 1, 4, 15 and 60 s with a jitter of 25 %, and null after the fifth attempt', () => {
  expect(MAX_ATTEMPTS).toBe(5);
  expect([1, 2, 3, 4].map((attempt) => [0, 0.5, 1].map((random) => retryDelayMs(attempt, random)))).toEqual([
    [750, 1000, 1250],
    [3000, 4000, 5000],
    [11_250, 15_000, 18_750],
    [45_000, 60_000, 75_000],
  ]);
  expect([5, 6, 100].map((attempt) => retryDelayMs(attempt, 0.5))).toEqual([null, null, null]);
});

test('sources > change the status of a run only by the table', async () => {
  const files = await readSourceFiles('src');
  const updates = files.flatMap(({ path, code }) =>
    // Up to the condition. UPDATEs of runs in other SQL do not set a status.
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
  // Runs are inserted as QUEUED, or with the status that MISS leads to.
  const inserts = files.flatMap(({ code }) => [
    ...code.matchAll(/\bstatus: ('[A-Z]+'|statusAfter\('MISS'\)),\s*(?:scheduledFor|finishedAt)/g),
  ]);
  expect(inserts.map((match) => match[1] ?? '').toSorted()).toEqual(["'QUEUED'", "statusAfter('MISS')"]);
});
