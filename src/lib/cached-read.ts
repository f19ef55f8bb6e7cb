/** Something that many may ask for at once, and that is read for all of them together. */
export interface CachedReadOptions<Value> {
  readonly read: () => Promise<Value>;
  /** Who asks within so long of the last reading gets that one. */
  readonly freshMs: number;
  /** Nobody waits longer; a reading that takes longer goes on, and no second one is begun beside it. */
  readonly waitMs: number;
}

/** Null where the reading failed or is late. */
export const createCachedRead = <Value>(options: CachedReadOptions<Value>): (() => Promise<Value | null>) => {
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
};
