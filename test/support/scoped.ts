import type pg from 'pg';
import { ScopedPool } from '../../src/db/scoped-pool.ts';

/** Wraps a pool like a server does, with the setting in each transaction. Its connections need `pipeline`. */
export function scopedTo(pool: pg.Pool, setting: string): ScopedPool {
  return new ScopedPool(pool, {
    setting,
    needs: { statementTimeoutMs: 0, idleInTransactionMs: 0, searchPath: 'public' },
  });
}
