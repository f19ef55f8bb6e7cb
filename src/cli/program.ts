import { Command, InvalidArgumentError, Option } from 'commander';
import { addClientCommands } from './client-commands.ts';
import { loadConfig } from '../config/config.ts';
import { isScope, type Scope, SCOPES } from '../accounts/scopes.ts';
import { systemClock } from '../lib/clock.ts';
import type { LocalLog } from '../local/log.ts';
import type { NewKey } from './commands/account.ts';
import type { CommandContext, DrawnTerminal } from './command-context.ts';

export interface ProgramOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: DrawnTerminal;
  readonly log: LocalLog;
  /** Told where a command ran and found something broken, which is no error of its own. */
  readonly onBroken: () => void;
  /** Told where a signal ended a command that listens to it. */
  readonly onInterrupted: () => void;
}

/** Loaded by the command that needs it: what knows the database takes half a second, and help should not. */
const load = { accounts: () => import('./commands/account.ts'), buckets: () => import('./commands/bucket.ts') };

/** The operator's commands. Nothing runs before parseAsync; usage errors are thrown as CommanderError. */
export const createProgram = ({ env, terminal, log, onBroken, onInterrupted }: ProgramOptions): Command => {
  const context: CommandContext = { terminal, log, loadConfig: () => loadConfig(env) };
  const program = new Command('npm run -s sluice --')
    .description(
      'Operates Sluice: accounts, keys, buckets, the database, with the settings of the server, from the environment. usage, export and ingest speak to a server, as clients do.',
    )
    .configureOutput({ writeOut: (text) => terminal.answer(text), writeErr: (text) => terminal.say(text.trimEnd()) })
    .helpCommand(false)
    .showHelpAfterError('(--help tells how it is used)')
    .exitOverride();

  const account = program.command('account').description('Accounts, to which everything else belongs');
  account
    .command('create')
    .description('Create an account')
    .argument('<name>')
    .action(async (name: string) => (await load.accounts()).createAccountCommand(context, name));
  account
    .command('list')
    .description('List all accounts')
    .action(async () => (await load.accounts()).listAccountsCommand(context));

  const key = program.command('key').description('API keys');
  key
    .command('create')
    .description('Create a key; its secret is all that goes to standard output, and is shown this once')
    .requiredOption('--account <name>', 'the account that it opens')
    .requiredOption('--scopes <list>', `${SCOPES.join(', ')}; several with commas between them`, readScopes)
    .option('--name <name>', 'to tell keys apart by', 'command line')
    .action(async (input: NewKey) => (await load.accounts()).createKeyCommand(context, input));
  key
    .command('list')
    .description('List the keys of an account, newest first, revoked ones too')
    .requiredOption('--account <name>')
    .action(async (input: { account: string }) => (await load.accounts()).listKeysCommand(context, input.account));
  key
    .command('revoke')
    .description('Revoke a key; it stops working within a second')
    .argument('<id>', 'as `key list` and the API show it')
    .action(async (id: string) => (await load.accounts()).revokeKeyCommand(context, id));

  const bucket = program
    .command('bucket')
    .description('Whose the buckets are: the first account that wrote to one has it');
  bucket
    .command('list')
    .description('List all buckets that were written to, with their accounts')
    .action(async () => (await load.buckets()).listBucketsCommand(context));
  bucket
    .command('move')
    .description('Give a bucket to an account; runs of other accounts that name it fail')
    .argument('<bucket>')
    .requiredOption('--account <name>')
    .action(async (name: string, { account: to }: { account: string }) =>
      (await load.buckets()).moveBucketCommand(context, name, to),
    );
  bucket
    .command('release')
    .description('Take a bucket away from its account; the next account that writes to it has it')
    .argument('<bucket>')
    .action(async (name: string) => (await load.buckets()).releaseBucketCommand(context, name));

  program
    .command('migrate')
    .description('Bring the database up to date, as the start of a server does')
    .action(async () => (await import('./commands/migrate.ts')).migrateCommand(context));
  program
    .command('purge')
    .description('Remove the records of deleted streams for good; receipts and idempotency keys stay')
    .addOption(
      new Option(
        '--older-than <time>',
        'deleted (or hidden) longer ago than this: 30d, 12h, 90m, 120s; at least REQUEST_TIMEOUT_MS plus INTAKE_MAX_SECONDS, unless with --dry-run',
      )
        .argParser(readMilliseconds)
        .default(30 * DAY_MS, '30d'),
    )
    .option(
      '--hidden',
      'of live streams too what a replace or delete has hidden; the past can no longer be told then',
      false,
    )
    .option('--dry-run', 'only say what would be removed', false)
    .option('--yes', 'remove it', false)
    .action(async ({ olderThan, hidden, dryRun, yes }: PurgeFlags, command: Command) => {
      if (dryRun === yes)
        command.error('error: say --dry-run to see what would be removed, or --yes to remove it for good');
      const { purgeCommand } = await import('./commands/purge.ts');
      await purgeCommand(context, { olderThanMs: olderThan, hidden, dryRun });
    });
  program
    .command('doctor')
    .description(
      'Check settings, database, direct connection, version, migrations, queue, ledger, accounts, keys, clock, pool, schedule, read replica, S3 credentials and store, mail, the collector of traces, and on a Citus cluster everything that `scale-out check` does',
    )
    .action(async () => {
      const { doctorCommand } = await import('./commands/doctor.ts');
      if (!(await doctorCommand({ env, terminal, log }))) onBroken();
    });
  program
    .command('scale-out')
    .description('A database that Citus distributes over several nodes')
    .command('check')
    .description(
      'Check the cluster: citus (versions), nodes, tables (distributed, reference or local), references (foreign keys), policies, session, commits, moves (of shards), limits (of connections) and ledger',
    )
    .action(async () => {
      const { scaleOutCheckCommand } = await import('./commands/scale-out-check.ts');
      if (!(await scaleOutCheckCommand(context))) onBroken();
    });
  addClientCommands(program, { env, terminal, clock: systemClock, onBroken, onInterrupted });
  return program;
};

interface PurgeFlags {
  readonly olderThan: number;
  readonly hidden: boolean;
  readonly dryRun: boolean;
  readonly yes: boolean;
}

const readScopes = (text: string): Scope[] =>
  text.split(',').map((part) => {
    const scope = part.trim().toUpperCase();
    if (!isScope(scope)) throw new InvalidArgumentError(`"${part.trim()}" is none of ${SCOPES.join(', ')}.`);
    return scope;
  });

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { d: DAY_MS, h: 3_600_000, m: 60_000, s: 1000 };

const readMilliseconds = (text: string): number => {
  const match = /^(\d{1,5})([dhms])$/.exec(text);
  if (!match) throw new InvalidArgumentError('Must be a number followed by d, h, m or s, such as 30d.');
  return Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0);
};
