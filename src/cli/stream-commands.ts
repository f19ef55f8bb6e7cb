import type { Command } from 'commander';
import type { ClientContext } from './command-context.ts';
import type { StreamDeleteFlags, StreamListFlags } from './commands/stream.ts';
import { addClientOptions, addGroup, addLimitOption, addListOptions, type ListFlags } from './endpoint-options.ts';

/** Adds the commands of streams. */
export function addStreamCommands(program: Command, context: ClientContext): void {
  const stream = addGroup(program, 'stream', 'Show and delete streams');
  const load = () => import('./commands/stream.ts');
  addListOptions(stream.command('list'))
    .description('List the live streams by name')
    .option('--search <text>', 'only streams whose names contain this text, ignoring case')
    .action(async (flags: StreamListFlags) => (await load()).listStreamsCommand(context, flags));
  addLimitOption(addClientOptions(stream.command('show')), 10)
    .description('Show a stream and the newest operations of its ledger')
    .argument('<name>', 'name of the stream')
    .action(async (name: string, flags: ListFlags) => (await load()).showStreamCommand(context, name, flags));
  addClientOptions(stream.command('delete'))
    .description(
      'Hide a stream with its records and free its name. If it has records, asks before, or requires --force',
    )
    .argument('<name>', 'name of the stream')
    .option('--force', 'delete without asking, also if the stream has records')
    .action(async (name: string, flags: StreamDeleteFlags) => (await load()).deleteStreamCommand(context, name, flags));
}
