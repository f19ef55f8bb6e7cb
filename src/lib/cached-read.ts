/** A value that concurrent callers share, so that it is read once for all of them. */
export interface CachedReadOptions<Value> {
  readonly read: () => Promise<Value>;
  /** Milliseconds for which callers get the value of the last read. */
  readonly freshMs: number;
  /** Milliseconds that a caller waits. A read that takes longer continues, and no second one starts before it ends. */
  readonly waitMs: number;
}

/** Returns a function that reads the value; null if the read failed or takes longer than `waitMs`. */
export function createCachedRead<Value>(options: CachedReadOptions<Value>): () => Promise<Value | null> {
  const { read, freshMs, waitMs } = options;
  let last: { readonly value: Promise<Value | null>; readonly until: number } | undefined;
  let isReading = false;

  const readNow = async (): Promise<Value | null> => {
    isReading = true;
    try {
      return await read();
    } catch {
      return null;
    } finally {
      isReading = false;
    }
  };

  return async () => {
    const now = performance.now();
    if (!last || (!isReading && last.until <= now)) last = { value: readNow(), until: now + freshMs };
    const late = Promise.withResolvers<null>();
    const timer = setTimeout(() => late.resolve(null), waitMs);
    try {
      return await Promise.race([last.value, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  };
}
