import { and, desc, eq, ilike, inArray, isNull, or, sql } from 'drizzle-orm';
import type { Db, Executor } from '../db/client.ts';
import { buildContainsPattern, canOccurInName } from '../db/keyset.ts';
import { isTimestampAndId, type Page, type PageArguments, readPage, toPage } from '../db/paging.ts';
import { accounts, apiKeys } from '../db/tables.ts';
import { ConflictError, NotFoundError } from '../errors/errors.ts';
import type { Clock } from '../lib/clock.ts';
import { isUuid, newId } from '../lib/ids.ts';
import type { ApiKeyInput } from './key-input.ts';
import { hashSecret, newSecret, shownPrefix } from './secrets.ts';

export type ApiKeyRow = typeof apiKeys.$inferSelect;

interface KeyContext {
  readonly db: Db;
  readonly clock: Clock;
}

/** Creates a key. Its secret is returned here only. */
export async function createApiKey(
  { db, clock }: KeyContext,
  accountId: bigint,
  { name, scopes }: ApiKeyInput,
): Promise<{ readonly key: ApiKeyRow; readonly secret: string }> {
  const secret = newSecret();
  const now = clock.now();
  const [key] = await db
    .insert(apiKeys)
    .values({
      id: newId(now),
      accountId,
      name,
      prefix: shownPrefix(secret),
      secretSha256: hashSecret(secret),
      scopes: [...scopes],
      createdAt: now,
    })
    .returning();
  if (!key) throw new Error('The API key was not stored.');
  return { key, secret };
}

/** Revokes a key; revoking it again has no effect. Throws ConflictError for the last ADMIN key of an account. */
export function revokeApiKey({ db, clock }: KeyContext, accountId: bigint, id: string): Promise<ApiKeyRow> {
  return db.transaction(async (tx) => {
    // Two concurrent revocations must not each count the key of the other as the one that remains.
    await tx.select().from(accounts).where(eq(accounts.id, accountId)).for('update');
    const [key] = await loadApiKeys(tx, accountId, [id]);
    if (!key) throw new NotFoundError('The key does not exist. Check the id.');
    if (key.revokedAt) return key;
    if (key.scopes.includes('ADMIN')) {
      const others = await tx
        .select({ id: apiKeys.id })
        .from(apiKeys)
        .where(
          and(
            eq(apiKeys.accountId, accountId),
            isNull(apiKeys.revokedAt),
            sql`'ADMIN' = ANY(${apiKeys.scopes})`,
            sql`${apiKeys.id} <> ${id}`,
          ),
        )
        .limit(1);
      if (others.length === 0) {
        throw new ConflictError('This is the last ADMIN key of the account. Create another one before you revoke it.');
      }
    }
    const [revoked] = await tx
      .update(apiKeys)
      .set({ revokedAt: clock.now() })
      .where(and(eq(apiKeys.accountId, accountId), eq(apiKeys.id, id)))
      .returning();
    if (!revoked) throw new NotFoundError('The key does not exist. Check the id.');
    return revoked;
  });
}

export async function loadApiKeys(db: Executor, accountId: bigint, ids: readonly string[]): Promise<ApiKeyRow[]> {
  const wanted = ids.filter(isUuid);
  if (wanted.length === 0) return [];
  return db
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), inArray(apiKeys.id, wanted)));
}

/** Finds a key of any account, for the operator. */
export async function findApiKey(db: Executor, id: string): Promise<ApiKeyRow | undefined> {
  if (!isUuid(id)) return undefined;
  const [row] = await db.select().from(apiKeys).where(eq(apiKeys.id, id));
  return row;
}

/** Sorted from the newest to the oldest, including revoked keys. */
export async function listApiKeys(
  db: Db,
  accountId: bigint,
  args: PageArguments & { readonly search?: string | null | undefined },
): Promise<Page<ApiKeyRow>> {
  const { search } = args;
  const page = readPage(args, 2, isTimestampAndId);
  const rows = await db
    .select()
    .from(apiKeys)
    .where(
      and(
        eq(apiKeys.accountId, accountId),
        search ? (canOccurInName(search) ? ilike(apiKeys.name, buildContainsPattern(search)) : sql`false`) : undefined,
        page.after
          ? sql`(${apiKeys.createdAt}, ${apiKeys.id}) < (${page.after[0]}::timestamptz, ${page.after[1]}::uuid)`
          : undefined,
      ),
    )
    .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
    .limit(page.limit + 1);
  return toPage(page, rows);
}

/** The account and the key of an authenticated request. */
export interface Principal {
  readonly accountId: bigint;
  readonly accountName: string;
  readonly key: ApiKeyRow;
}

/** Finds the account of a key, so the statement cannot filter by account. */
export async function findPrincipal(db: Executor, secret: string): Promise<Principal | null> {
  const [row] = await db
    .select({ key: apiKeys, accountName: accounts.name })
    .from(apiKeys)
    .innerJoin(accounts, eq(accounts.id, apiKeys.accountId))
    .where(and(eq(apiKeys.secretSha256, hashSecret(secret)), isNull(apiKeys.revokedAt)));
  return row ? { accountId: row.key.accountId, accountName: row.accountName, key: row.key } : null;
}

export async function isRevokedKey(db: Executor, secret: string): Promise<boolean> {
  const [row] = await db
    .select({ revokedAt: apiKeys.revokedAt })
    .from(apiKeys)
    .where(eq(apiKeys.secretSha256, hashSecret(secret)));
  return (row?.revokedAt ?? null) !== null;
}

/** Records the time of the last use at most once per minute, so that a busy key does not make a hot row. */
export async function recordKeyUse(db: Executor, key: ApiKeyRow, now: Date): Promise<void> {
  const minuteAgo = new Date(now.getTime() - 60_000);
  await db
    .update(apiKeys)
    .set({ lastUsedAt: now })
    .where(
      and(
        eq(apiKeys.accountId, key.accountId),
        eq(apiKeys.id, key.id),
        or(isNull(apiKeys.lastUsedAt), sql`${apiKeys.lastUsedAt} < ${minuteAgo.toISOString()}::timestamptz`),
      ),
    );
}
