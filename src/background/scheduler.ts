import type { PgBoss } from 'pg-boss';
import type { Db } from '../db/client.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { queueDueSlots } from '../runs/due-slots.ts';

export interface SchedulerOptions {
  readonly db: Db;
  readonly queue: PgBoss;
  readonly everyMs: number;
  readonly maxCatchUp: number;
  readonly onError: (error: unknown) => void;
}

/** Jobs whose slots are queued in one transaction. */
const BATCH = 200;

/** Asks the database which jobs are due. It only nominates: the database decides who takes which slot. */
export const startScheduler = ({ db, queue, everyMs, maxCatchUp, onError }: SchedulerOptions): Stoppable =>
  repeat(() => queueDueSlots(db, queue, { batch: BATCH, maxCatchUp }), { everyMs, onError });
