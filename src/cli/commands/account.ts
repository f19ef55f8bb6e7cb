import { type AccountRow, createAccount, findAccount, listAccounts } from '../../accounts/accounts.ts';
import { apiKeyInput } from '../../accounts/key-input.ts';
import { type ApiKeyRow, createApiKey, findApiKey, listApiKeys, revokeApiKey } from '../../accounts/keys.ts';
import type { Scope } from '../../accounts/scopes.ts';
import { encodeCursor, MAX_PAGE } from '../../db/paging.ts';
import { NotFoundError } from '../../errors/errors.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import { parseInput } from '../../validation/zod-issues.ts';
import { aligned } from '../output/table.ts';
import { type CommandContext, type OpenCommand, withDatabase } from '../command-context.ts';

export const createAccountCommand = (context: CommandContext, name: string): Promise<void> =>
  withDatabase(context, async (open) => {
    await createAccount(open, name);
    context.terminal.say(
      `Created the account "${name}". Its first key: npm run -s sluice -- key create --account "${name}" --scopes ADMIN`,
    );
  });

export const listAccountsCommand = (context: CommandContext): Promise<void> =>
  withDatabase(context, async ({ db }) => {
    const rows = await listAccounts(db);
    const lines = rows.map((account) => [account.name, account.createdAt.toISOString()]);
    context.terminal.answer(aligned([['ACCOUNT', 'CREATED'], ...lines]));
  });

export interface NewKey {
  readonly account: string;
  readonly scopes: readonly Scope[];
  readonly name: string;
}

/** Answers the secret alone, so that a script can take it as it is. */
export const createKeyCommand = (context: CommandContext, input: NewKey): Promise<void> =>
  withDatabase(context, async (open) => {
    const account = await requireAccount(open, input.account);
    const { key, secret } = await createApiKey(open, account.id, parseInput(apiKeyInput, input));
    context.terminal.say(
      `Created the key ${shownId(key)} "${key.name}" of the account "${account.name}" with ${key.scopes.join(', ')}. Its secret is shown this once:`,
    );
    context.terminal.answer(`${secret}\n`);
  });

export const listKeysCommand = (context: CommandContext, accountName: string): Promise<void> =>
  withDatabase(context, async (open) => {
    const account = await requireAccount(open, accountName);
    const keys = await allKeys(open, account.id);
    const lines = keys.map((key) => [
      shownId(key),
      key.name,
      `${key.prefix}...`,
      key.scopes.join(','),
      key.createdAt.toISOString(),
      key.lastUsedAt?.toISOString() ?? 'never',
      key.revokedAt?.toISOString() ?? '-',
    ]);
    const head = ['ID', 'NAME', 'BEGINS', 'SCOPES', 'CREATED', 'LAST USED', 'REVOKED'];
    context.terminal.answer(aligned([head, ...lines]));
  });

export const revokeKeyCommand = (context: CommandContext, id: string): Promise<void> =>
  withDatabase(context, async (open) => {
    // As `key list` and the API show it; or as the database holds it.
    const key = await findApiKey(open.db, parseGlobalId('ApiKey', id) || id);
    if (!key)
      throw new NotFoundError(`There is no key ${id}. \`npm run -s sluice -- key list --account NAME\` shows the ids.`);
    const revoked = await revokeApiKey(open, key.accountId, key.id);
    context.terminal.say(
      key.revokedAt
        ? `The key ${shownId(revoked)} was revoked before.`
        : `Revoked the key ${shownId(revoked)}. It stops working within a second on every server.`,
    );
  });

/** The id as the API shows it, so that what one of them says can be given to the other. */
const shownId = (key: ApiKeyRow): string => encodeGlobalId('ApiKey', key.id);

export const requireAccount = async ({ db }: OpenCommand, name: string): Promise<AccountRow> => {
  const account = await findAccount(db, name);
  if (!account)
    throw new NotFoundError(`There is no account "${name}". \`npm run -s sluice -- account list\` shows them.`);
  return account;
};

const allKeys = async ({ db }: OpenCommand, accountId: bigint): Promise<ApiKeyRow[]> => {
  const keys: ApiKeyRow[] = [];
  for (let after: string | null = null; ;) {
    const page = await listApiKeys(db, accountId, { first: MAX_PAGE, after });
    keys.push(...page.rows);
    const last = page.rows.at(-1);
    if (!page.hasNextPage || !last) return keys;
    after = encodeCursor([last.createdAt.toISOString(), last.id]);
  }
};
