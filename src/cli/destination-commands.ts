import { type Command, Option } from 'commander';
import type { ClientContext } from './command-context.ts';
import type { DestinationTestFlags } from './commands/destination.ts';
import { addClientOptions, addGroup } from './endpoint-options.ts';

/** Adds the commands of destinations. */
export function addDestinationCommands(program: Command, context: ClientContext): void {
  addClientOptions(addGroup(program, 'destination', 'Test destinations of exports').command('test'))
    .description(
      'Write one object to a destination as a run would, and print its key, or the error and the bucket policy to attach. The exit code is 0 if it was written and 1 if it was not',
    )
    .argument('[s3Url]', 'bucket, or s3://bucket/path')
    .option('--job <name or id>', 'test the destination of this job, instead of an s3Url')
    .option('--region <region>', 'with s3Url: region of the bucket (default: AWS_REGION of the server)')
    .addOption(
      new Option(
        '--encryption <encryption>',
        'with s3Url: server-side encryption (default: that of the bucket)',
      ).choices(['aes256', 'kms']),
    )
    .option('--kms-key-id <key>', 'with s3Url and kms: key id, key ARN or alias ARN')
    .option('--bucket-owner <account>', 'with s3Url: AWS account that owns the bucket')
    .action(async (s3Url: string | undefined, flags: DestinationTestFlags) =>
      (await import('./commands/destination.ts')).testDestinationCommand(context, s3Url, flags),
    );
}
