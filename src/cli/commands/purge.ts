import type { Config } from '../../config/config.ts';
import { pluralize } from '../../lib/format-amounts.ts';
import {
  countPurgeable,
  findDeletedStreams,
  findHiddenRecords,
  type KeptReason,
  type Purgeable,
  type PurgedCounts,
} from '../../streams/purge/find-purgeable.ts';
import { purgeStream } from '../../streams/purge/purge.ts';
import { type CommandContext, withDatabase } from '../command-context.ts';
import { UsageError } from '../command-error.ts';

export interface PurgeInput {
  readonly olderThanMs: number;
  /** Also purge records of live streams that a replace or delete has hidden. */
  readonly hidden: boolean;
  /** Only count. */
  readonly dryRun: boolean;
}

const KEPT: Readonly<Record<KeptReason, string>> = {
  READ: 'an active run reads its earlier state. Purge again after the run.',
  COMPARED:
    'a delivery is compared with its earlier state, in a check of corrections or in an active run. Purge again after it.',
};

export async function purgeCommand(
  context: CommandContext,
  { olderThanMs, hidden, dryRun }: PurgeInput,
): Promise<void> {
  const minimumMs = minimumAgeMs(context.loadConfig());
  if (olderThanMs < minimumMs && !dryRun) throw new UsageError(formatTooRecent(minimumMs));
  await withDatabase(context, async ({ db, clock, config }) => {
    const { terminal } = context;
    const before = new Date(clock.now().getTime() - olderThanMs);
    const age = { before, assumedMs: config.intakeMaxSeconds * 1000 };
    const found = [...(await findDeletedStreams(db, age)), ...(hidden ? await findHiddenRecords(db, age) : [])];
    let isWaiting = false;
    const onWait = (): void => {
      if (!isWaiting) terminal.message('Waiting for transactions that were open when the records were selected.');
      isWaiting = true;
    };
    let records = 0;
    let streams = 0;
    for (const stream of found) {
      const purge = (): Promise<PurgedCounts | KeptReason> =>
        dryRun ? countPurgeable(db, stream, age) : purgeStream(db, stream, age, onWait);
      const purged = stream.kept ?? (await purge());
      if (typeof purged === 'string') {
        terminal.message(`Kept ${formatStream(stream)}: ${KEPT[purged]}`);
        continue;
      }
      records += purged.records;
      streams += 1;
      terminal.print(
        `${dryRun ? 'would remove' : 'removed'} ${formatPurged(stream, purged)} of ${formatStream(stream)}\n`,
      );
    }
    const since = before.toISOString().slice(0, 16).replace('T', ' ');
    terminal.print(
      streams === 0
        ? `nothing to remove: nothing was ${hidden ? 'deleted or hidden' : 'deleted'} before ${since} UTC\n`
        : `total: ${pluralize(records, 'record')} of ${pluralize(streams, 'stream')}${dryRun ? '; nothing was removed' : ''}\n`,
    );
  });
}

/**
 * After this time every usage query and checkJob has ended that reads the ledger as of a time before the record was hidden. The
 * second term covers the COMMIT of the write.
 */
function minimumAgeMs({ requestTimeoutMs, intakeMaxSeconds }: Config): number {
  return requestTimeoutMs + intakeMaxSeconds * 1000;
}

function formatTooRecent(minimumMs: number): string {
  const seconds = Math.ceil(minimumMs / 1000);
  const minimum = seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
  return `--older-than must be at least ${minimum} (REQUEST_TIMEOUT_MS plus INTAKE_MAX_SECONDS), because active requests may still read what was hidden since. --dry-run accepts less.`;
}

function formatStream({ streamName, accountName, deletedAt }: Purgeable): string {
  return deletedAt
    ? `the stream "${streamName}" of the account "${accountName}", deleted ${deletedAt.toISOString()}`
    : `the live stream "${streamName}" of the account "${accountName}"`;
}

function formatPurged({ deletedAt }: Purgeable, { records, filters }: PurgedCounts): string {
  return deletedAt
    ? `${pluralize(records, 'record')} and ${pluralize(filters, 'filter')}`
    : pluralize(records, 'hidden record');
}
