import { type AccountRow, createAccount, findAccount, listAccounts } from '../../accounts/accounts.ts';
import { type CommandContext, type OpenCommand, withDatabase } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { formatTable } from '../../terminal/table.ts';

export function createAccountCommand(context: CommandContext, name: string): Promise<void> {
  return withDatabase(context, async (open) => {
    await createAccount(open, name);
    context.terminal.message(
      `Created the account "${name}". Create its first API key: npm run -s sluice -- key create --account "${name}" --scopes ADMIN`,
    );
  });
}

export function listAccountsCommand(context: CommandContext): Promise<void> {
  return withDatabase(context, async ({ db }) => {
    const accounts = await listAccounts(db);
    const rows = accounts.map(({ name, createdAt }) => [name, createdAt.toISOString()]);
    context.terminal.print(formatTable([['ACCOUNT', 'CREATED'], ...rows]));
  });
}

/** Throws CommandError if there is no such account. */
export async function requireAccount({ db }: OpenCommand, name: string): Promise<AccountRow> {
  const account = await findAccount(db, name);
  if (account) return account;
  throw new CommandError(`Account "${name}" does not exist. List all accounts: npm run -s sluice -- account list`);
}
