const waiting: (() => void)[] = [];

/**
 * Lets all that waits in this process have its turn. To be awaited in the middle of work that takes long without it.
 * Of those who wait here one goes on at a time, in order, and what came from outside is looked at before the next: ten
 * requests with work of 2 ms each keep a reader waiting for 2 ms and not for 20.
 */
export const yieldToEventLoop = (): Promise<void> =>
  new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(resumeNext);
  });

const resumeNext = (): void => {
  waiting.shift()?.();
  // An immediate that is asked for in one runs after the next look at sockets and timers.
  if (waiting.length > 0) setImmediate(resumeNext);
};

/**
 * For work on what comes in piece by piece, awaited after each piece. ChunkBuffer that wait already are handed out in one turn of the
 * event loop, so work on each of them would hold up all others together.
 */
export const createTimeSlices = (mostMs = 5): (() => Promise<void> | undefined) => {
  let since = performance.now();
  return () => {
    if (performance.now() - since < mostMs) return undefined;
    return yieldToEventLoop().then(() => {
      since = performance.now();
    });
  };
};

/** Of a list: each step of an intake takes 1 to 3 ms for so many records. */
export const RECORDS_PER_TICK = 1000;

/** Bytes that are hashed, decoded or parsed in 1 to 2 ms. */
export const BYTES_PER_TICK = 256 * 1024;
