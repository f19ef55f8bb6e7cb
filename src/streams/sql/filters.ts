import { sql } from 'drizzle-orm';
import type { Transaction } from '../../db/client.ts';
import { compareUtf8 } from '../../lib/compare-utf8.ts';
import { type CanonicalFilter, encodeDimensions, hashFilter } from '../pipeline/canonical.ts';
import type { StreamCache } from '../stream-cache.ts';
import type { StreamRow } from '../stream-rows.ts';

/** Returns the ids of the filters that the stream has, by their digests in hexadecimal. */
export async function findFilterIds(
  tx: Transaction,
  stream: StreamRow,
  digests: readonly Buffer[],
): Promise<Map<string, string>> {
  const { rows } = await tx.execute<{ digest: Buffer; id: string }>(sql`
    SELECT digest, id FROM filters
    WHERE account_id = ${stream.accountId} AND stream_id + 0 = ${stream.id} AND digest = ANY(${sql.param(digests)}::bytea[])`);
  return new Map(rows.map((row) => [row.digest.toString('hex'), row.id]));
}

/** Returns the ids of the filters, in their order. Inserts the filters that the stream does not have. */
export async function resolveFilterIds(
  tx: Transaction,
  stream: StreamRow,
  filters: readonly CanonicalFilter[],
  streamCache: StreamCache,
): Promise<string[]> {
  const cached = filters.flatMap((filter) => streamCache.getFilterId(stream.id, filter) ?? []);
  if (cached.length === filters.length) return cached;
  const digests = filters.map(hashFilter);
  const find = () => findFilterIds(tx, stream, digests);
  let ids = await find();
  if (ids.size < filters.length) {
    const missing = filters
      .map((filter, index) => ({ filter, digest: (digests[index] as Buffer).toString('hex') }))
      .filter(({ digest }) => !ids.has(digest))
      // Sorted: two writes that insert the same filters in different orders would deadlock.
      .sort((a, b) => compareUtf8(a.digest, b.digest));
    const entries = missing.map(({ filter }) => encodeDimensions(filter));
    await tx.execute(sql`
      INSERT INTO filters (account_id, stream_id, digest, dimensions)
      SELECT s.account_id, s.id, decode(u.digest, 'hex'), u.dimensions::jsonb
      FROM streams s, unnest(${sql.param(missing.map(({ digest }) => digest))}::text[], ${sql.param(entries)}::text[]) AS u(digest, dimensions)
      WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}
      ORDER BY u.digest
      ON CONFLICT (account_id, digest, (stream_id + 0)) DO NOTHING`);
    ids = await find();
  }
  return digests.map((digest) => ids.get(digest.toString('hex')) as string);
}
