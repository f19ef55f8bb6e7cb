// Pure: the life of a backfill, and how the runs that end change it.
import type { backfills } from '../../db/delivery-tables.ts';
import type { RunFailure } from '../../db/json-columns.ts';
import type { RunStatus } from '../run-status.ts';

export type BackfillRow = typeof backfills.$inferSelect;
export type BackfillStatus = BackfillRow['status'];
export type Reprocess = BackfillRow['reprocess'];

export const UNENDED = ['RUNNING', 'PAUSED'] as const satisfies readonly BackfillStatus[];

/**
 * Maximum number of runs of a backfill that have not ended: one writes, one waits. One if the newest window is first, because the
 * waiting runs of a job start by their slots.
 */
export function maxActiveRuns({ newestFirst }: Pick<BackfillRow, 'newestFirst'>): number {
  return newestFirst ? 1 : 2;
}

/** Number of windows in a row that fail until the backfill pauses: the cause is probably the destination. */
const MAX_FAILED_IN_ROW = 3;

export function isUnended(status: BackfillStatus): boolean {
  return UNENDED.some((one) => one === status);
}

/** States of a delivery in which a window gets a run. */
const NEEDED: Readonly<Record<Reprocess, ReadonlySet<string> | null>> = {
  MISSING: new Set(['MISSING']),
  STALE: new Set(['MISSING', 'TOUCHED', 'STALE', 'RETIRED']),
  ALL: null,
};

export function needsRun(reprocess: Reprocess, state: string): boolean {
  return NEEDED[reprocess]?.has(state) ?? true;
}

/** Why a run of a backfill was CANCELED without writing anything. */
export const DELIVERED = {
  code: 'DELIVERED',
  message: 'The window needed no run any more when this run of the backfill started. Nothing was written.',
  retryable: false,
} as const satisfies RunFailure;

/** The columns that ended runs change. */
export type Progress = Pick<
  BackfillRow,
  'status' | 'error' | 'delivered' | 'skipped' | 'failed' | 'failedInRow' | 'rows' | 'bytes' | 'activeRuns'
>;

/** A run of the backfill that has ended. */
export interface EndedRun {
  readonly id: string;
  readonly status: RunStatus;
  readonly error: BackfillRow['error'];
  readonly rowsWritten: number;
  readonly bytesWritten: number;
}

/**
 * Counts runs in the order of their ends. A window that needed no run any more counts as skipped. One whose run was canceled counts as
 * failed, so that it can be tried again, but not as one in a row. After MAX_FAILED_IN_ROW the backfill is paused with the error of the
 * last one.
 */
export function countEndedRuns(before: Progress, ended: readonly EndedRun[]): Progress {
  let progress = before;
  for (const run of ended) {
    const activeRuns = progress.activeRuns.filter((id) => id !== run.id);
    if (run.status === 'SUCCEEDED') {
      progress = {
        ...progress,
        activeRuns,
        delivered: progress.delivered + 1,
        failedInRow: 0,
        rows: progress.rows + run.rowsWritten,
        bytes: progress.bytes + run.bytesWritten,
      };
      continue;
    }
    if (run.error?.code === DELIVERED.code) {
      progress = { ...progress, activeRuns, skipped: progress.skipped + 1 };
      continue;
    }
    const failedInRow = progress.failedInRow + (run.status === 'FAILED' ? 1 : 0);
    progress = { ...progress, activeRuns, failed: progress.failed + 1, failedInRow };
    if (progress.status === 'RUNNING' && failedInRow >= MAX_FAILED_IN_ROW) {
      progress = { ...progress, status: 'PAUSED', error: run.error };
    }
  }
  return progress;
}
