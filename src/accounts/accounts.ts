import { asc, eq } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import { accounts, apiKeys } from '../db/tables.ts';
import { ConflictError, IssueCollector } from '../errors/errors.ts';
import type { Clock } from '../lib/clock.ts';
import { newId } from '../lib/ids.ts';
import { hashSecret, shownPrefix } from './secrets.ts';

export type AccountRow = typeof accounts.$inferSelect;

const DEFAULT_ACCOUNT = 'default';

export async function findAccount(db: Db, name: string): Promise<AccountRow | undefined> {
  const [row] = await db.select().from(accounts).where(eq(accounts.name, name));
  return row;
}

/** Sorted by name. */
export const listAccounts = (db: Db): Promise<AccountRow[]> => db.select().from(accounts).orderBy(asc(accounts.name));

/** Names for the log, each loaded once, because accounts are never renamed. Null if the account cannot be loaded. */
export function createAccountNames(db: Db): (id: bigint) => Promise<string | null> {
  const names = new Map<bigint, string>();
  return async (id) => {
    const known = names.get(id);
    if (known !== undefined) return known;
    try {
      const [row] = await db.select({ name: accounts.name }).from(accounts).where(eq(accounts.id, id));
      if (row) names.set(id, row.name);
      return row?.name ?? null;
    } catch {
      return null;
    }
  };
}

export async function createAccount(
  { db, clock }: { readonly db: Db; readonly clock: Clock },
  name: string,
): Promise<AccountRow> {
  const issues = new IssueCollector();
  if (!/^[A-Za-z0-9][A-Za-z0-9_. -]{0,254}$/.test(name) || name.endsWith(' ')) {
    issues.add(
      ['name'],
      'BAD_ACCOUNT_NAME',
      'An account name has 1 to 255 characters out of A-Z, a-z, 0-9, "_", ".", "-" and space, begins with a letter or digit and does not end with a space.',
    );
  }
  issues.throwIfAny();
  const [account] = await db
    .insert(accounts)
    .values({ name, createdAt: clock.now() })
    .onConflictDoNothing()
    .returning();
  if (!account) throw new ConflictError(`The account "${name}" already exists.`);
  return account;
}

/**
 * Makes sure that the account `default` has an ADMIN key with this secret. A revoked key stays revoked, because the insert
 * conflicts with the stored hash and does nothing.
 */
export async function ensureDefaultKey(
  { db, clock }: { readonly db: Db; readonly clock: Clock },
  secret: string,
): Promise<void> {
  const now = clock.now();
  await db.insert(accounts).values({ name: DEFAULT_ACCOUNT, createdAt: now }).onConflictDoNothing();
  const account = await findAccount(db, DEFAULT_ACCOUNT);
  if (!account) throw new Error('The default account was not stored.');
  await db
    .insert(apiKeys)
    .values({
      id: newId(now),
      accountId: account.id,
      name: 'API_KEY setting',
      prefix: shownPrefix(secret),
      secretSha256: hashSecret(secret),
      scopes: ['ADMIN'],
      createdAt: now,
    })
    .onConflictDoNothing();
}
