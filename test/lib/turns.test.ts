import { setImmediate as nextLook } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { afterOthers } from '../../src/lib/turns.ts';

test('of those who let others go first one goes on at a time, in order, and the sockets are looked at before the next', async () => {
  const steps: string[] = [];
  const work = async (name: string): Promise<void> => {
    for (const part of [1, 2, 3]) {
      await afterOthers();
      steps.push(`${name}${part}`);
    }
  };
  const all = Promise.all(['a', 'b', 'c'].map(work));
  // An immediate ends each round of the loop, as what came from outside begins it.
  for (let round = 1; round <= 9; round += 1) {
    await nextLook();
    steps.push(`look ${round}`);
  }
  await all;
  const parts = ['a1', 'b1', 'c1', 'a2', 'b2', 'c2', 'a3', 'b3', 'c3'];
  expect(steps).toEqual(parts.flatMap((part, index) => [part, `look ${index + 1}`]));
});

test('who lets others go first goes on although nobody else waits, again and again', async () => {
  const steps: number[] = [];
  for (const step of [1, 2, 3]) {
    await afterOthers();
    steps.push(step);
  }
  expect(steps).toEqual([1, 2, 3]);
});
