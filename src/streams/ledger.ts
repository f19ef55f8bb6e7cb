import { sql } from 'drizzle-orm';
import type { Transaction } from '../db/client.ts';
import { compareBytewise } from '../lib/bytewise.ts';
import { type CanonicalFilter, type CanonicalRecords, type CanonicalSelector, filterDigest } from './records.ts';
import type { StreamRow } from './rows.ts';

// The statements of a write, in the order in which they run. Each names the account, and none loops over records.

/**
 * Sums of one stream run side by side under the shared lock; replace, delete and deleteStream take it alone.
 * An advisory lock and not FOR SHARE / FOR UPDATE: under six overlapping sharers FOR UPDATE waited over 8 s.
 * False where the stream was deleted before the lock was had.
 */
export const lockStream = async (
  tx: Transaction,
  stream: Pick<StreamRow, 'accountId' | 'id'>,
  mode: 'shared' | 'exclusive',
): Promise<boolean> => {
  const lock = sql.raw(mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock');
  await tx.execute(sql`
    SELECT ${lock}(hashtextextended(id::text, 0)) FROM streams
    WHERE account_id = ${stream.accountId} AND id = ${stream.id}`);
  // A statement of its own: the one above read the stream before it waited for the lock.
  const { rows } = await tx.execute(sql`
    SELECT 1 FROM streams WHERE account_id = ${stream.accountId} AND id = ${stream.id} AND deleted_at IS NULL`);
  return rows.length === 1;
};

/** The ids of the filters in their order; new ones are stored. */
export const resolveFilterIds = async (
  tx: Transaction,
  stream: StreamRow,
  filters: readonly CanonicalFilter[],
): Promise<string[]> => {
  const digests = filters.map(filterDigest);
  const find = async (): Promise<Map<string, string>> => {
    const { rows } = await tx.execute<{ digest: Buffer; id: string }>(sql`
      SELECT digest, id FROM filters
      WHERE account_id = ${stream.accountId} AND stream_id = ${stream.id} AND digest = ANY(${sql.param(digests)}::bytea[])`);
    return new Map(rows.map((row) => [row.digest.toString('hex'), row.id]));
  };
  let ids = await find();
  if (ids.size < filters.length) {
    const missing = filters
      .map((filter, index) => ({ filter, digest: (digests[index] as Buffer).toString('hex') }))
      .filter(({ digest }) => !ids.has(digest))
      // In one order everywhere: two writers that bring the same new filters in other orders would deadlock.
      .sort((a, b) => compareBytewise(a.digest, b.digest));
    const entries = missing.map(({ filter }) =>
      JSON.stringify(Object.fromEntries(filter.entries.map((entry) => [entry.dimension, entry.values]))),
    );
    await tx.execute(sql`
      INSERT INTO filters (account_id, stream_id, digest, dimensions)
      SELECT s.account_id, s.id, decode(u.digest, 'hex'), u.dimensions::jsonb
      FROM streams s, unnest(${sql.param(missing.map(({ digest }) => digest))}::text[], ${sql.param(entries)}::text[]) AS u(digest, dimensions)
      WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}
      ORDER BY u.digest
      ON CONFLICT (account_id, stream_id, digest) DO NOTHING`);
    ids = await find();
  }
  return digests.map((digest) => ids.get(digest.toString('hex')) as string);
};

export const insertRecords = async (
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  records: CanonicalRecords,
  filterIds: readonly string[],
): Promise<number> => {
  const { rowCount } = await tx.execute(sql`
    INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id)
    SELECT s.account_id, s.id, u.bucket_start, u.filter_id, u.element, u.value, ${operationId}::bigint
    FROM streams s, unnest(
      ${sql.param(records.buckets)}::timestamptz[],
      ${sql.param(records.filterIndexes.map((index) => filterIds[index]))}::bigint[],
      ${sql.param(records.elements)}::text[],
      ${sql.param(records.values)}::numeric[]
    ) AS u(bucket_start, filter_id, element, value)
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}`);
  return rowCount ?? 0;
};

/** Hides what a replace puts something new in the place of. */
export const hideMatching = async (
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  records: CanonicalRecords,
  filterIds: readonly string[],
): Promise<number> => {
  const { rowCount } = await tx.execute(sql`
    UPDATE records r SET hidden_by = ${operationId}
    FROM unnest(
      ${sql.param(records.buckets)}::timestamptz[],
      ${sql.param(records.filterIndexes.map((index) => filterIds[index]))}::bigint[],
      ${sql.param(records.elements)}::text[]
    ) AS u(bucket_start, filter_id, element)
    WHERE r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by IS NULL
      AND r.bucket_start = u.bucket_start AND r.filter_id = u.filter_id AND r.element = u.element`);
  return rowCount ?? 0;
};

/** Hides what a delete selects. A row that several selectors match is hidden, and counted, once. */
export const hideSelected = async (
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  selectors: readonly CanonicalSelector[],
): Promise<number> => {
  const dimensions = selectors.map(({ filter }) =>
    filter ? JSON.stringify(Object.fromEntries(filter.entries.map((entry) => [entry.dimension, entry.values]))) : null,
  );
  // Only the dimensions given are compared, each as a whole set: both sides are canonical, so equal sets are equal JSON.
  const { rowCount } = await tx.execute(sql`
    UPDATE records r SET hidden_by = ${operationId}
    FROM unnest(
      ${sql.param(selectors.map(({ bucket }) => bucket))}::timestamptz[],
      ${sql.param(dimensions)}::text[],
      ${sql.param(selectors.map(({ element }) => element))}::text[]
    ) AS u(bucket_start, dimensions, element)
    WHERE r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by IS NULL
      AND r.bucket_start = u.bucket_start
      AND (u.element IS NULL OR r.element = u.element)
      AND (u.dimensions IS NULL OR r.filter_id IN (
        SELECT f.id FROM filters f
        WHERE f.account_id = ${stream.accountId} AND f.stream_id = ${stream.id}
          AND f.dimensions @> u.dimensions::jsonb
          AND NOT EXISTS (
            SELECT 1 FROM jsonb_each(u.dimensions::jsonb) AS given(dimension, wanted)
            WHERE f.dimensions -> given.dimension IS DISTINCT FROM given.wanted)))`);
  return rowCount ?? 0;
};
