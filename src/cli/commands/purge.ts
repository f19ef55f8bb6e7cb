import type { Config } from '../../config/config.ts';
import { LimitExceededError } from '../../errors/errors.ts';
import {
  countPurgeable,
  findDeletedStreams,
  findHiddenRecords,
  type Purgeable,
  type Purged,
  purgeStream,
} from '../../streams/purge/purge.ts';
import { type CommandContext, withDatabase } from '../command-context.ts';

export interface PurgeInput {
  readonly olderThanMs: number;
  /** Also records of live streams that a replace or delete has hidden. */
  readonly hidden: boolean;
  /** Counts, and removes nothing. */
  readonly dryRun: boolean;
}

export const purgeCommand = (context: CommandContext, { olderThanMs, hidden, dryRun }: PurgeInput): Promise<void> =>
  withDatabase(context, async ({ db, clock, config }) => {
    const { terminal } = context;
    const minimumMs = leastAgeMs(config);
    if (olderThanMs < minimumMs && !dryRun) throw new LimitExceededError(tooYoung(minimumMs), minimumMs, olderThanMs);
    const before = new Date(clock.now().getTime() - olderThanMs);
    const age = { before, assumedMs: config.intakeMaxSeconds * 1000 };
    const found = [...(await findDeletedStreams(db, age)), ...(hidden ? await findHiddenRecords(db, age) : [])];
    const sayKept = (stream: Purgeable): void =>
      terminal.say(`Kept ${nameOf(stream)}: a run that has not ended reads it as it was before. Purge again after it.`);
    let records = 0;
    let streams = 0;
    let waits = false;
    const onWait = (): void => {
      if (!waits) terminal.say('Waiting for transactions that were open when the records were chosen.');
      waits = true;
    };
    for (const stream of found) {
      if (stream.stillRead) {
        sayKept(stream);
        continue;
      }
      const purged = await (dryRun ? countPurgeable(db, stream, age) : purgeStream(db, stream, age, onWait));
      if (purged === null) {
        sayKept(stream);
        continue;
      }
      records += purged.records;
      streams += 1;
      terminal.answer(`${dryRun ? 'would remove' : 'removed'} ${amount(stream, purged)} of ${nameOf(stream)}\n`);
    }
    const since = before.toISOString().slice(0, 16).replace('T', ' ');
    terminal.answer(
      streams === 0
        ? `nothing to remove: nothing was ${hidden ? 'deleted or hidden' : 'deleted'} before ${since} UTC\n`
        : `in all ${counted(records, 'record')} of ${counted(streams, 'stream')}${dryRun ? '; nothing was removed' : ''}\n`,
    );
  });

/**
 * A usage query or checkJob that fixed its moment of the ledger before a record was hidden has ended after this time; the
 * second part covers how long the COMMIT of the write may take.
 */
const leastAgeMs = ({ requestTimeoutMs, intakeMaxSeconds }: Config): number =>
  requestTimeoutMs + intakeMaxSeconds * 1000;

const tooYoung = (minimumMs: number): string => {
  const seconds = Math.ceil(minimumMs / 1000);
  return `--older-than must be at least ${seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`}, which is REQUEST_TIMEOUT_MS plus INTAKE_MAX_SECONDS: requests may still read what was hidden later. A --dry-run takes less.`;
};

const nameOf = ({ streamName, accountName, deletedAt }: Purgeable): string =>
  deletedAt
    ? `the stream "${streamName}" of the account "${accountName}", deleted ${deletedAt.toISOString()}`
    : `the live stream "${streamName}" of the account "${accountName}"`;

const amount = ({ deletedAt }: Purgeable, { records, filters }: Purged): string =>
  deletedAt ? `${counted(records, 'record')} and ${counted(filters, 'filter')}` : counted(records, 'hidden record');

const counted = (count: number, noun: string): string =>
  `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
