/** Time is passed in, so that slots, leases and windows can be tested at any time. */
export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };
