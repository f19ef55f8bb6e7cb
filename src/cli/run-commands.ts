import type { Command } from 'commander';
import { RUN_STATUSES } from '../runs/run-status.ts';
import type { ClientContext } from './command-context.ts';
import type { RunListFlags } from './commands/run.ts';
import type { WatchFlags } from './commands/run-watch.ts';
import { addClientOptions, addGroup, addListOptions, type ClientFlags } from './endpoint-options.ts';
import { parseStatuses } from './option-values.ts';

/** Adds the commands that show, follow and cancel runs. */
export function addRunCommands(program: Command, context: ClientContext): void {
  const run = addGroup(program, 'run', 'Show, follow and cancel runs of export jobs');
  const load = () => import('./commands/run.ts');
  addListOptions(run.command('list'))
    .description('List runs, newest first, including those of deleted jobs')
    .option('--job <name or id>', 'only runs of this job')
    .option('--status <statuses>', `comma-separated: ${RUN_STATUSES.join(', ')}`, parseStatuses(RUN_STATUSES))
    .action(async (flags: RunListFlags) => (await load()).listRunsCommand(context, flags));
  addClientOptions(run.command('show'))
    .description('Show a run: its window, objects with SHA-256, error, warnings and changes')
    .argument('<id>', 'id as shown by `run list`')
    .action(async (id: string, flags: ClientFlags) => (await load()).showRunCommand(context, id, flags));
  addClientOptions(run.command('watch'))
    .description('Follow a run until it ends. The exit code is 0 if it succeeded and 1 if it did not')
    .argument('[id]', 'id as shown by `run list`')
    .option('--job <name or id>', 'follow the newest run of this job, instead of an id')
    .option('--next', 'with --job: follow its active run, or else the next one')
    .action(async (id: string | undefined, flags: WatchFlags) =>
      (await import('./commands/run-watch.ts')).watchRunCommand(context, id, flags),
    );
  addClientOptions(run.command('cancel'))
    .description('Cancel a queued or running run')
    .argument('<id>', 'id as shown by `run list`')
    .action(async (id: string, flags: ClientFlags) => (await load()).cancelRunCommand(context, id, flags));
}
