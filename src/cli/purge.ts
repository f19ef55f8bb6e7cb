import {
  countPurgeable,
  findDeletedStreams,
  findHiddenRecords,
  type Purgeable,
  type Purged,
  purgeStream,
} from '../streams/purge.ts';
import { type CommandContext, withDatabase } from './command.ts';

export interface PurgeInput {
  readonly olderThanMs: number;
  /** Also records of live streams that a replace or delete has hidden. */
  readonly hidden: boolean;
  /** Counts, and removes nothing. */
  readonly dryRun: boolean;
}

export const purgeCommand = (context: CommandContext, { olderThanMs, hidden, dryRun }: PurgeInput): Promise<void> =>
  withDatabase(context, async ({ db, clock }) => {
    const { terminal } = context;
    const before = new Date(clock.now().getTime() - olderThanMs);
    const found = [...(await findDeletedStreams(db, before)), ...(hidden ? await findHiddenRecords(db, before) : [])];
    let records = 0;
    let streams = 0;
    for (const stream of found) {
      if (stream.stillRead) {
        terminal.say(
          `Kept ${nameOf(stream)}: a run that has not ended reads it as it was before. Purge again after it.`,
        );
        continue;
      }
      const purged = await (dryRun ? countPurgeable(db, stream, before) : purgeStream(db, stream, before));
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

const nameOf = ({ streamName, accountName, deletedAt }: Purgeable): string =>
  deletedAt
    ? `the stream "${streamName}" of the account "${accountName}", deleted ${deletedAt.toISOString()}`
    : `the live stream "${streamName}" of the account "${accountName}"`;

const amount = ({ deletedAt }: Purgeable, { records, filters }: Purged): string =>
  deletedAt ? `${counted(records, 'record')} and ${counted(filters, 'filter')}` : counted(records, 'hidden record');

const counted = (count: number, noun: string): string =>
  `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
