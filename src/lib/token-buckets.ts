// Pure: how much each of many callers may do, by token buckets.

export interface TokenBuckets {
  /** Returns the milliseconds until the caller may continue; 0 if it may now. */
  waitMs(caller: string, now: number): number;
  /** Takes tokens, even more than there are. The caller may continue when the debt is paid off. */
  take(caller: string, tokens: number, now: number): void;
}

export interface TokenBucketOptions {
  /** Tokens that come back each second. */
  readonly perSecond: number;
  /** Capacity of a bucket in tokens. */
  readonly burst: number;
}

/** If there are more callers, those with full buckets are removed: a new bucket is full too. */
const MAX_CALLERS = 10_000;

/** Times are milliseconds of a clock that never goes back. */
export function createTokenBuckets({ perSecond, burst }: TokenBucketOptions): TokenBuckets {
  const buckets = new Map<string, { readonly tokens: number; readonly at: number }>();
  const tokensOf = (caller: string, now: number): number => {
    const bucket = buckets.get(caller);
    return bucket ? Math.min(burst, bucket.tokens + ((now - bucket.at) * perSecond) / 1000) : burst;
  };
  const forgetFull = (now: number): void => {
    for (const caller of buckets.keys()) if (tokensOf(caller, now) >= burst) buckets.delete(caller);
  };
  return {
    waitMs: (caller, now) => {
      const tokens = tokensOf(caller, now);
      // One whole token, since a fraction of one lets nothing through.
      return tokens >= Math.min(1, burst) ? 0 : Math.ceil(((1 - tokens) * 1000) / perSecond);
    },
    take: (caller, tokens, now) => {
      if (buckets.size >= MAX_CALLERS) forgetFull(now);
      buckets.set(caller, { tokens: tokensOf(caller, now) - tokens, at: now });
    },
  };
}
