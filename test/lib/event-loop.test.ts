import { setImmediate as nextLook } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { yieldToEventLoop } from '../../src/lib/event-loop.ts';

test('yielding to the event loop > resumes one waiting task per round of the loop, in order, and polls the sockets in between', async () => {
  const steps: string[] = [];
  const work = async (name: string): Promise<void> => {
    for (const part of [1, 2, 3]) {
      await yieldToEventLoop();
      steps.push(`${name}${part}`);
    }
  };
  const all = Promise.all(['a', 'b', 'c'].map(work));
  // An immediate runs at the end of each round of the loop, after the sockets were polled.
  for (let round = 1; round <= 9; round += 1) {
    await nextLook();
    steps.push(`look ${round}`);
  }
  await all;
  const parts = ['a1', 'b1', 'c1', 'a2', 'b2', 'c2', 'a3', 'b3', 'c3'];
  expect(steps).toEqual(parts.flatMap((part, index) => [part, `look ${index + 1}`]));
});

test('yielding to the event loop > resumes the only waiting task each time', async () => {
  const steps: number[] = [];
  for (const step of [1, 2, 3]) {
    await yieldToEventLoop();
    steps.push(step);
  }
  expect(steps).toEqual([1, 2, 3]);
});
