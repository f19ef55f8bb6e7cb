// Pure: a number of places that are taken and left again; what asks first is served first.

export interface Places {
  /** Waits for a free place. The answer leaves it, once however often it is called. */
  take(): Promise<() => void>;
}

export const createPlaces = (count: number): Places => {
  let free = count;
  const waiting: (() => void)[] = [];
  const leaveOnce = (): (() => void) => {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    };
  };
  return {
    take: async () => {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      return leaveOnce();
    },
  };
};
