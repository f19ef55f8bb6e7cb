import { and, asc, desc, eq, inArray, sql } from 'drizzle-orm';
import type { Db, Executor } from '../../db/client.ts';
import { isTimestampAndId, type Page, type PageArguments, readPage, toPage } from '../../db/paging.ts';
import { backfills } from '../../db/delivery-tables.ts';
import { isUuid } from '../../lib/ids.ts';
import type { BackfillRow } from './progress.ts';

export async function loadBackfills(db: Executor, accountId: bigint, ids: readonly string[]): Promise<BackfillRow[]> {
  const wanted = ids.filter(isUuid);
  if (wanted.length === 0) return [];
  return db
    .select()
    .from(backfills)
    .where(and(eq(backfills.accountId, accountId), inArray(backfills.id, wanted)));
}

export interface BackfillListArguments extends PageArguments {
  readonly jobId?: string | null | undefined;
}

/** Returns a page of backfills, newest first. */
export async function listBackfills(
  db: Db,
  accountId: bigint,
  args: BackfillListArguments,
): Promise<Page<BackfillRow>> {
  const page = readPage(args, 2, isTimestampAndId);
  const { jobId } = args;
  const order = page.backward ? asc : desc;
  const rows = await db
    .select()
    .from(backfills)
    .where(
      and(
        eq(backfills.accountId, accountId),
        jobId == null ? undefined : isUuid(jobId) ? eq(backfills.jobId, jobId) : sql`false`,
        page.after
          ? sql`(${backfills.createdAt}, ${backfills.id}) < (${page.after[0]}::timestamptz, ${page.after[1]}::uuid)`
          : undefined,
        page.before
          ? sql`(${backfills.createdAt}, ${backfills.id}) > (${page.before[0]}::timestamptz, ${page.before[1]}::uuid)`
          : undefined,
      ),
    )
    .orderBy(order(backfills.createdAt), order(backfills.id))
    .limit(page.limit + 1);
  return toPage(page, rows);
}
