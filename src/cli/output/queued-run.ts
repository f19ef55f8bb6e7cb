import type { PlainTerminal } from '../../terminal/terminal.ts';

/** A run that was just queued. */
export interface QueuedRun {
  readonly id: string;
  readonly status: string;
  readonly scheduledFor: string;
  readonly windowStart: string;
  readonly windowEnd: string;
}

export const QUEUED_RUN_FIELDS = 'id jobName job { id } status trigger scheduledFor windowStart windowEnd';

export function printQueuedRun(terminal: PlainTerminal, run: QueuedRun, { json = false }: { json?: boolean }): void {
  terminal.print(
    json
      ? `${JSON.stringify(run)}\n`
      : `Queued the run ${run.id}. Follow it: npm run -s sluice -- run watch ${run.id}\n`,
  );
}
