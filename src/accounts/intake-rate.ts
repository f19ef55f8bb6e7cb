import { RateLimitedError } from '../errors/errors.ts';
import { createTokenBuckets } from '../lib/token-buckets.ts';
import type { Principal } from './keys.ts';

/** How many records a key may send to this server. */
export interface IntakeRate {
  /** Throws RateLimitedError where the key has used up what it may send. */
  admit(principal: Principal): void;
  /** Counts what was sent. More than was left is taken all the same: who was admitted is not cut off in the middle. */
  spend(principal: Principal, records: number): void;
}

export interface IntakeRateOptions {
  /** 0: as many as come. */
  readonly recordsPerSecond: number;
  readonly burst: number;
}

const UNLIMITED: IntakeRate = { admit: () => undefined, spend: () => undefined };

export const createIntakeRate = ({ recordsPerSecond, burst }: IntakeRateOptions): IntakeRate => {
  if (recordsPerSecond === 0) return UNLIMITED;
  const buckets = createTokenBuckets({ perSecond: recordsPerSecond, burst });
  return {
    admit: ({ key }) => {
      const waitMs = buckets.waitMs(key.id, performance.now());
      if (waitMs === 0) return;
      throw new RateLimitedError(
        `This key may send ${recordsPerSecond} records a second, and ${burst} at once after a pause. Nothing was stored; come again later.`,
        Math.ceil(waitMs / 1000),
      );
    },
    spend: ({ key }, records) => buckets.take(key.id, records, performance.now()),
  };
};
