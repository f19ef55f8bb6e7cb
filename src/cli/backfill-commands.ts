import { type Command, Option } from 'commander';
import type { ClientContext } from './command-context.ts';
import type { BackfillFlags, BackfillListFlags, BackfillSpanFlags } from './commands/backfill.ts';
import { addClientOptions, addGroup, addListOptions } from './endpoint-options.ts';
import { parseTimeZone } from './option-values.ts';

/** Adds the commands of backfills. */
export function addBackfillCommands(program: Command, context: ClientContext): void {
  const backfill = addGroup(program, 'backfill', 'Deliver past windows of export jobs');
  const load = () => import('./commands/backfill.ts');
  const watch = 'follow the backfill until it ends or is paused; the exit code is 1 unless it succeeded';
  addSpanOptions(backfill.command('create'))
    .description('Deliver the windows of a job that lie in a span, one after the other')
    .option('--watch', watch)
    .action(async (job: string, flags: BackfillSpanFlags & BackfillFlags) =>
      (await load()).createBackfillCommand(context, job, flags),
    );
  addSpanOptions(backfill.command('preview'))
    .description('Show the windows that a backfill would contain, by state, and estimates of its output')
    .action(async (job: string, flags: BackfillSpanFlags) =>
      (await load()).previewBackfillCommand(context, job, flags),
    );
  addListOptions(backfill.command('list'))
    .description('List backfills, newest first')
    .option('--job <name or id>', 'only backfills of this job')
    .action(async (flags: BackfillListFlags) => (await load()).listBackfillsCommand(context, flags));
  const addId = (command: Command): Command =>
    addClientOptions(command).argument('<id>', 'id as shown by `backfill list`');
  addId(backfill.command('show'))
    .description('Show a backfill')
    .option('--watch', watch)
    .action(async (id: string, flags: BackfillFlags) => (await load()).showBackfillCommand(context, id, flags));
  const changes = {
    pause: ['pauseBackfill', 'Pause a backfill: a run that has started ends, no other starts'],
    resume: ['resumeBackfill', 'Continue a paused backfill'],
    cancel: ['cancelBackfill', 'Cancel a backfill and its runs'],
    retry: ['retryBackfill', 'Deliver the windows of a backfill that failed again, after all others'],
  } as const;
  for (const [name, [change, description]] of Object.entries(changes)) {
    const command = addId(backfill.command(name)).description(description);
    if (name === 'resume' || name === 'retry') command.option('--watch', watch);
    command.action(async (id: string, flags: BackfillFlags) =>
      (await load()).changeBackfillCommand(context, change, id, flags),
    );
  }
}

function addSpanOptions(command: Command): Command {
  return addClientOptions(command)
    .argument('<job>', 'name or id of the job, which needs a cron')
    .requiredOption('--from <time>', 'start: 2026-01-25 or 2026-01-25T06:00:00Z')
    .requiredOption('--to <time>', 'end, exclusive')
    .option('--time-zone <zone>', 'IANA time zone of dates', parseTimeZone, 'UTC')
    .addOption(
      new Option('--order <order>', 'order of the windows')
        .choices(['oldest-first', 'newest-first'])
        .default('oldest-first'),
    )
    .addOption(
      new Option('--reprocess <windows>', 'windows to deliver: never delivered; also touched, stale or retired; all')
        .choices(['missing', 'stale', 'all'])
        .default('missing'),
    );
}
