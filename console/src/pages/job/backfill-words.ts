// Pure: what the page says about a backfill, and what can be done with it.

export type BackfillStatusName = 'RUNNING' | 'PAUSED' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';

export interface BackfillState {
  readonly status: BackfillStatusName;
  readonly windows: number;
  readonly delivered: number;
  readonly skipped: number;
  readonly failed: number;
}

export const BACKFILL_STATUS: Readonly<
  Record<BackfillStatusName, readonly ['active' | 'waiting' | 'good' | 'bad' | 'neutral', string]>
> = {
  RUNNING: ['active', 'Running'],
  PAUSED: ['waiting', 'Paused'],
  SUCCEEDED: ['good', 'Succeeded'],
  FAILED: ['bad', 'Failed'],
  CANCELED: ['neutral', 'Canceled'],
};

export type BackfillAction = 'pause' | 'resume' | 'retry' | 'cancel';

/** Returns whether a backfill can still deliver windows without another request. */
export function isOpen({ status }: Pick<BackfillState, 'status'>): boolean {
  return status === 'RUNNING' || status === 'PAUSED';
}

/** Returns the actions that change a backfill. */
export function listActions({ status, failed }: Pick<BackfillState, 'status' | 'failed'>): BackfillAction[] {
  const retry: BackfillAction[] = failed > 0 ? ['retry'] : [];
  if (status === 'RUNNING') return ['pause', 'cancel'];
  if (status === 'PAUSED') return ['resume', ...retry, 'cancel'];
  return status === 'FAILED' ? retry : [];
}

/** Returns the percentages of windows that were delivered, skipped and failed. */
export function findShares({ windows, delivered, skipped, failed }: BackfillState): Record<'done' | 'failed', number> {
  const share = (count: number): number => (windows === 0 ? 0 : (count / windows) * 100);
  return { done: share(delivered + skipped), failed: share(failed) };
}

/** Returns the number of windows whose turn has not come or whose run has not ended. */
export function countLeft({ windows, delivered, skipped, failed }: BackfillState): number {
  return Math.max(0, windows - delivered - skipped - failed);
}

interface PreviewCounts {
  readonly windows: number;
  readonly missing: number;
  readonly stale: number;
}

/** Returns how many windows of a preview get a run. */
export function countRuns({ windows, missing, stale }: PreviewCounts, reprocess: string): number {
  if (reprocess === 'ALL') return windows;
  return reprocess === 'STALE' ? missing + stale : missing;
}
