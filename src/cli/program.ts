import { Argument, Command, Option } from 'commander';
import { SCOPES } from '../accounts/scopes.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { loadConfig } from '../config/config.ts';
import { systemClock } from '../lib/clock.ts';
import type { LocalLog } from '../local/log.ts';
import { addClientCommands } from './client-commands.ts';
import type { CommandContext } from './command-context.ts';
import type { NewKey } from './commands/key.ts';
import type { Shell } from './completion/completion-scripts.ts';
import { addGroup } from './endpoint-options.ts';
import { formatExitCodes } from './exit-codes.ts';
import { parseDuration, parseScopes } from './option-values.ts';
import type { Terminal } from '../terminal/terminal.ts';

export interface ProgramOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly log: LocalLog;
  /** Called when a command ran and found something broken. */
  readonly onBroken: () => void;
  /** Called when a signal ended a command that listens for it. */
  readonly onInterrupted: () => void;
}

// Commands are imported when they run: loading the database code takes half a second, which help does not need.

/** Builds the program. Nothing runs before parseAsync(), which throws CommanderError for wrong usage. */
export function createProgram({ env, terminal, log, onBroken, onInterrupted }: ProgramOptions): Command {
  const context: CommandContext = { terminal, log, loadConfig: () => loadConfig(env) };
  const program = new Command('npm run -s sluice --')
    .description(
      'Operate Sluice: accounts, API keys, S3 buckets and the database. Commands use the settings of the server, from the environment. usage, stream, run, job, delivery, backfill, destination, ingest, preview and revert are clients of a running server.',
    )
    .configureOutput({ writeOut: terminal.print, writeErr: (text) => terminal.message(text.trimEnd()) })
    .version(packageJson.version, '--version', 'print the version')
    .addHelpText('after', formatExitCodes())
    .helpCommand(false)
    .showHelpAfterError('(use --help for usage)')
    .exitOverride();

  addAccountCommands(program, context);
  addKeyCommands(program, context);
  addBucketCommands(program, context);
  addDatabaseCommands(program, context);
  program
    .command('doctor')
    .description(
      'Check what a server needs: settings, database, direct connection, version, migrations, queue, ledger, accounts, keys, clock, pool, schedule, read replica, S3 credentials and store, mail, collector of traces; on a Citus cluster also what `scale-out check` checks',
    )
    .action(async () => {
      const { doctorCommand } = await import('./commands/doctor.ts');
      if (!(await doctorCommand({ env, terminal, log }))) onBroken();
    });
  addGroup(program, 'scale-out', 'Operate a database that Citus distributes over several nodes')
    .command('check')
    .description(
      'Check the Citus cluster: citus (versions), nodes, tables (distributed, reference or local), references (foreign keys), policies, session, commits, moves (of shards), limits (of connections) and ledger',
    )
    .action(async () => {
      const { scaleOutCheckCommand } = await import('./commands/scale-out.ts');
      if (!(await scaleOutCheckCommand(context))) onBroken();
    });
  addClientCommands(program, { env, terminal, clock: systemClock, onBroken, onInterrupted });
  program
    .command('completion')
    .description('Print a script with which a shell completes commands, options and their values')
    .addArgument(new Argument('<shell>', 'shell that loads the script').choices(['bash', 'zsh', 'fish']))
    .action(async (shell: Shell) => {
      const { formatCompletion } = await import('./completion/completion-scripts.ts');
      terminal.print(formatCompletion(program, shell));
    });
  return program;
}

function addAccountCommands(program: Command, context: CommandContext): void {
  const account = addGroup(program, 'account', 'Manage accounts');
  account
    .command('create')
    .description('Create an account')
    .argument('<name>')
    .action(async (name: string) => (await import('./commands/account.ts')).createAccountCommand(context, name));
  account
    .command('list')
    .description('List all accounts')
    .action(async () => (await import('./commands/account.ts')).listAccountsCommand(context));
}

function addKeyCommands(program: Command, context: CommandContext): void {
  const key = addGroup(program, 'key', 'Manage API keys');
  key
    .command('create')
    .description('Create an API key. Only its secret is written to standard output; it is not shown again')
    .requiredOption('--account <name>', 'account of the API key')
    .requiredOption('--scopes <list>', `comma-separated: ${SCOPES.join(', ')}`, parseScopes)
    .option('--name <name>', 'name of the API key in lists', 'command line')
    .action(async (input: NewKey) => (await import('./commands/key.ts')).createKeyCommand(context, input));
  key
    .command('list')
    .description('List the API keys of an account, newest first, including revoked ones')
    .requiredOption('--account <name>', 'account of the API keys')
    .action(async ({ account }: { account: string }) =>
      (await import('./commands/key.ts')).listKeysCommand(context, account),
    );
  key
    .command('revoke')
    .description('Revoke an API key. It stops working within a second')
    .argument('<id>', 'id as shown by `key list` and the API')
    .action(async (id: string) => (await import('./commands/key.ts')).revokeKeyCommand(context, id));
}

function addBucketCommands(program: Command, context: CommandContext): void {
  const bucket = addGroup(
    program,
    'bucket',
    'Manage the ownership of S3 buckets. A bucket belongs to the first account that writes to it',
  );
  bucket
    .command('list')
    .description('List the S3 buckets and their owners')
    .action(async () => (await import('./commands/bucket.ts')).listBucketsCommand(context));
  bucket
    .command('move')
    .description('Assign an S3 bucket to an account. Runs of other accounts that write to it fail')
    .argument('<bucket>', 'name of the S3 bucket')
    .requiredOption('--account <name>', 'the new owner')
    .action(async (name: string, { account }: { account: string }) =>
      (await import('./commands/bucket.ts')).moveBucketCommand(context, name, account),
    );
  bucket
    .command('release')
    .description('Remove the owner of an S3 bucket. The next account that writes to it becomes its owner')
    .argument('<bucket>', 'name of the S3 bucket')
    .action(async (name: string) => (await import('./commands/bucket.ts')).releaseBucketCommand(context, name));
}

interface PurgeFlags {
  readonly olderThan: number;
  readonly hidden?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

function addDatabaseCommands(program: Command, context: CommandContext): void {
  program
    .command('migrate')
    .description('Apply pending migrations to the database, as a server does when it starts')
    .action(async () => (await import('./commands/migrate.ts')).migrateCommand(context));
  program
    .command('purge')
    .description('Remove the records of deleted streams permanently. Receipts and idempotency keys are kept')
    .addOption(
      new Option(
        '--older-than <duration>',
        'minimum time since the deletion (or since the records were hidden): 30d, 12h, 90m, 120s; at least REQUEST_TIMEOUT_MS plus INTAKE_MAX_SECONDS, except with --dry-run',
      )
        .argParser(parseDuration)
        .default(parseDuration('30d'), '30d'),
    )
    .option(
      '--hidden',
      'also remove records of live streams that were replaced or deleted; earlier states of these streams are lost',
    )
    .option('--dry-run', 'show what would be removed')
    .option('--yes', 'confirm the removal')
    .action(async ({ olderThan, hidden = false, dryRun = false, yes = false }: PurgeFlags, command: Command) => {
      if (dryRun === yes) command.error('error: use --dry-run to see what would be removed, or --yes to remove it');
      const { purgeCommand } = await import('./commands/purge.ts');
      await purgeCommand(context, { olderThanMs: olderThan, hidden, dryRun });
    });
}
