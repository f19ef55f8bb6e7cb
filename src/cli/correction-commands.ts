import { type Command, Option } from 'commander';
import type { ClientContext } from './command-context.ts';
import type { PreviewFlags, PreviewWriteFlags, RevertFlags } from './commands/preview.ts';
import { addEndpointOptions, addGroup } from './endpoint-options.ts';
import { parseFilter } from './option-values.ts';

const WRITES = { sum: 'adds records', replace: 'replaces records, or a scope', delete: 'hides records' } as const;

/** Adds the commands that preview and undo writes. */
export function addCorrectionCommands(program: Command, context: ClientContext): void {
  const preview = addGroup(program, 'preview', 'Show what a write would change, without writing it');
  for (const kind of ['sum', 'replace', 'delete'] as const) {
    const command = addEndpointOptions(preview.command(kind))
      .description(
        `Show what a write that ${WRITES[kind]} would change. The exit code is 1 if the write would be rejected`,
      )
      .option(
        '-f, --file <file>',
        `JSON object with the fields of ${kind === 'delete' ? 'AllocationDeleteInput' : 'AllocationInput'} in GraphQL, or an array of its records; - for standard input`,
      )
      .option('--stream <name>', 'stream of the records (default: `stream` of the file)')
      .option('--timestamp <time>', 'add one record: any time in its bucket, such as 2026-01-25')
      .addOption(
        new Option('--granularity <granularity>', 'granularity of that record').choices(['hourly', 'daily', 'monthly']),
      )
      .option('--element <name>', 'element of that record')
      .addOption(
        new Option('--filter <dimension=value>', 'dimension of that record; repeat it for more values or dimensions')
          .argParser(parseFilter)
          .default([], 'none'),
      );
    if (kind !== 'delete') command.option('--value <decimal>', 'value of that record');
    if (kind === 'replace') {
      command
        .option('--from <time>', 'start of the scope; without --timestamp, --element and --filter limit the scope')
        .option('--to <time>', 'end of the scope, exclusive');
    }
    command
      .option('--json', 'print JSON, with decimals as strings')
      .action(async (flags: PreviewWriteFlags) =>
        (await import('./commands/preview.ts')).previewWriteCommand(context, kind, flags),
      );
  }
  addEndpointOptions(preview.command('revert'))
    .description('Show what a revert would change. The exit code is 1 if the operation cannot be reverted')
    .argument('<operation>', 'id of the operation')
    .option('--json', 'print JSON, with decimals as strings')
    .action(async (id: string, flags: PreviewFlags) =>
      (await import('./commands/preview.ts')).previewRevertCommand(context, id, flags),
    );
  addEndpointOptions(program.command('revert'))
    .description('Undo an operation with a new one. The exit code is 1 if the operation cannot be reverted')
    .argument('<operation>', 'id of the operation')
    .option('--idempotency-key <key>', 'key with which the command can be repeated')
    .option('--json', 'print the new operation as JSON')
    .action(async (id: string, flags: RevertFlags) =>
      (await import('./commands/preview.ts')).revertCommand(context, id, flags),
    );
}
