import type pg from 'pg';
import { ScopedPool } from '../../src/db/scoped-pool.ts';

/** A pool as a server's, with the setting in each of its transactions; its connections need `pipeline`. */
export const scopedTo = (pool: pg.Pool, setting: string): ScopedPool =>
  new ScopedPool(pool, {
    setting,
    needs: { statementTimeoutMs: 0, idleInTransactionMs: 0, searchPath: 'public' },
  });
