import { asc, isNull } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import { accounts, apiKeys } from '../db/tables.ts';

const COMMAND = 'npm run -s sluice --';
const DEFAULT_ACCOUNT = 'default';

/** Returns how to create the first key if no valid one exists, otherwise null. */
export async function describeMissingKey(db: Db): Promise<string | null> {
  const [valid] = await db.select({ id: apiKeys.id }).from(apiKeys).where(isNull(apiKeys.revokedAt)).limit(1);
  if (valid) return null;
  const [account] = await db.select({ name: accounts.name }).from(accounts).orderBy(asc(accounts.id)).limit(1);
  const name = account?.name ?? DEFAULT_ACCOUNT;
  const commands = [
    ...(account ? [] : [`${COMMAND} account create ${name}`]),
    `${COMMAND} key create --account ${/^[\w.-]+$/.test(name) ? name : `"${name}"`} --scopes ADMIN`,
  ];
  return `no valid API key exists, so every request is rejected. Create the first one with \`${commands.join(' && ')}\`, or start with API_KEY`;
}
