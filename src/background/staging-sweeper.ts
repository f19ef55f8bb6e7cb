import type { Db } from '../db/client.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { clearAbandoned } from '../streams/staging/staging-table.ts';

export interface StagingSweeperOptions {
  readonly db: Db;
  readonly everyMs: number;
  readonly olderThanMs: number;
  readonly onError: (error: unknown) => void;
}

/** Deletes staged batches of servers that died before the end of the request. */
export function startStagingSweeper({ db, everyMs, olderThanMs, onError }: StagingSweeperOptions): Stoppable {
  return repeat(() => clearAbandoned(db, olderThanMs), { everyMs, onError });
}
