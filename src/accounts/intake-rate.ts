import { RateLimitedError } from '../errors/errors.ts';
import { createTokenBuckets } from '../lib/token-buckets.ts';
import type { Principal } from './keys.ts';

/** Limit of the records that an API key may send to this server. */
export interface IntakeRate {
  /** Throws RateLimitedError if the key has exhausted its limit. */
  admit(principal: Principal): void;
  /** Counts records. An admitted request may exceed the limit, so that it is not interrupted. */
  spend(principal: Principal, records: number): void;
}

export interface IntakeRateOptions {
  /** 0 means no limit. */
  readonly recordsPerSecond: number;
  readonly burst: number;
}

const UNLIMITED: IntakeRate = { admit: () => undefined, spend: () => undefined };

export function createIntakeRate({ recordsPerSecond, burst }: IntakeRateOptions): IntakeRate {
  if (recordsPerSecond === 0) return UNLIMITED;
  const buckets = createTokenBuckets({ perSecond: recordsPerSecond, burst });
  return {
    admit: ({ key }) => {
      const waitMs = buckets.waitMs(key.id, performance.now());
      if (waitMs === 0) return;
      throw new RateLimitedError(
        `Rate limit exceeded: this API key may send ${recordsPerSecond} records per second, and up to ${burst} after a pause. Nothing was stored. Retry later.`,
        Math.ceil(waitMs / 1000),
      );
    },
    spend: ({ key }, records) => buckets.take(key.id, records, performance.now()),
  };
}
