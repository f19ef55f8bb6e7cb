import { apiKeyInput } from '../../accounts/key-input.ts';
import { type ApiKeyRow, createApiKey, findApiKey, listApiKeys, revokeApiKey } from '../../accounts/keys.ts';
import type { Scope } from '../../accounts/scopes.ts';
import { encodeCursor, MAX_PAGE } from '../../db/paging.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import { parseInput } from '../../validation/zod-issues.ts';
import { type CommandContext, type OpenCommand, withDatabase } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { formatTable } from '../../terminal/table.ts';
import { requireAccount } from './account.ts';

export interface NewKey {
  readonly account: string;
  readonly scopes: readonly Scope[];
  readonly name: string;
}

/** Prints only the secret, so that a script can capture it. */
export async function createKeyCommand(context: CommandContext, input: NewKey): Promise<void> {
  const parsed = parseInput(apiKeyInput, input);
  await withDatabase(context, async (open) => {
    const account = await requireAccount(open, input.account);
    const { key, secret } = await createApiKey(open, account.id, parsed);
    context.terminal.message(
      `Created the API key ${publicId(key)} "${key.name}" of the account "${account.name}" with ${key.scopes.join(', ')}. Store its secret, which is not shown again:`,
    );
    context.terminal.print(`${secret}\n`);
  });
}

const HEADER = ['ID', 'NAME', 'BEGINS', 'SCOPES', 'CREATED', 'LAST USED', 'REVOKED'];

export function listKeysCommand(context: CommandContext, accountName: string): Promise<void> {
  return withDatabase(context, async (open) => {
    const account = await requireAccount(open, accountName);
    const keys = await listAllKeys(open, account.id);
    const rows = keys.map((key) => [
      publicId(key),
      key.name,
      `${key.prefix}...`,
      key.scopes.join(','),
      key.createdAt.toISOString(),
      key.lastUsedAt?.toISOString() ?? 'never',
      key.revokedAt?.toISOString() ?? '-',
    ]);
    context.terminal.print(formatTable([HEADER, ...rows]));
  });
}

/** The id is that of the API, or that of the database. */
export function revokeKeyCommand(context: CommandContext, id: string): Promise<void> {
  return withDatabase(context, async (open) => {
    const key = await findApiKey(open.db, parseGlobalId('ApiKey', id) || id);
    if (!key) {
      throw new CommandError(
        `API key ${id} does not exist. List the ids: npm run -s sluice -- key list --account NAME`,
      );
    }
    const revoked = await revokeApiKey(open, key.accountId, key.id);
    context.terminal.message(
      key.revokedAt
        ? `The API key ${publicId(revoked)} was already revoked.`
        : `Revoked the API key ${publicId(revoked)}. Every server rejects it within a second.`,
    );
  });
}

const publicId = (key: ApiKeyRow): string => encodeGlobalId('ApiKey', key.id);

async function listAllKeys({ db }: OpenCommand, accountId: bigint): Promise<ApiKeyRow[]> {
  const keys: ApiKeyRow[] = [];
  for (let after: string | null = null; ;) {
    const page = await listApiKeys(db, accountId, { first: MAX_PAGE, after });
    keys.push(...page.rows);
    const last = page.rows.at(-1);
    if (!page.hasNextPage || !last) return keys;
    after = encodeCursor([last.createdAt.toISOString(), last.id]);
  }
}
