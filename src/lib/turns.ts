import { setImmediate as immediate } from 'node:timers/promises';

/** Lets all that waits in this process have its turn. To be awaited in the middle of work that takes long without it. */
export const afterOthers = (): Promise<void> => immediate();

/** Of a list: each step of an intake takes 1 to 3 ms for so many records. */
export const RECORDS_IN_ONE_GO = 1000;

/** Bytes that are hashed, decoded or parsed in 1 to 2 ms. */
export const BYTES_IN_ONE_GO = 256 * 1024;
