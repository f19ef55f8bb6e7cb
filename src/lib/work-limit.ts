/** Runs work of one kind, up to a maximum at the same time. */
export interface WorkLimit {
  /** Null if as much work as may wait waits already. */
  run<Value>(work: () => Promise<Value>): Promise<Value> | null;
}

/** Work beyond `maxRunning` waits in order of arrival. */
export const createWorkLimit = (maxRunning: number, maxWaiting: number): WorkLimit => {
  let running = 0;
  const waiting: (() => void)[] = [];
  const end = (): void => {
    const next = waiting.shift();
    // The next one takes the place over, so the count stays.
    if (next) next();
    else running -= 1;
  };
  return {
    run: (work) => {
      if (running >= maxRunning && waiting.length >= maxWaiting) return null;
      const start = (): ReturnType<typeof work> => work().finally(end);
      if (running < maxRunning) {
        running += 1;
        return start();
      }
      return new Promise<void>((resolve) => waiting.push(resolve)).then(start);
    },
  };
};
