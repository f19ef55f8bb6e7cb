const waiting: (() => void)[] = [];

/**
 * Yields to timers and sockets. Await it inside long work. Callers resume one per turn of the event loop, in order, with
 * sockets polled in between: if ten requests have work of 2 ms each, another request waits 2 ms instead of 20.
 */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(resumeNext);
  });
}

function resumeNext(): void {
  waiting.shift()?.();
  // An immediate that is set in an immediate runs after the next poll of sockets and timers.
  if (waiting.length > 0) setImmediate(resumeNext);
}

/**
 * Returns a function to await after each chunk of a stream. It yields if more than `mostMs` have passed since the last yield.
 * Chunks that have already arrived are delivered in one turn of the event loop, so work on all of them would block it.
 */
export function createTimeSlices(mostMs = 5): () => Promise<void> | undefined {
  let since = performance.now();
  return () => {
    if (performance.now() - since < mostMs) return undefined;
    return yieldToEventLoop().then(() => {
      since = performance.now();
    });
  };
}

/** Each step of an intake takes 1 to 3 ms for this many records of a list. */
export const RECORDS_PER_TICK = 1000;

/** Bytes that are hashed, decoded or parsed in 1 to 2 ms. */
export const BYTES_PER_TICK = 256 * 1024;
