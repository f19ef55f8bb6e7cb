// The hash of a record's filter and element. Behind the bucket in the index of live records it finds one key among the millions
// of a bucket. Only streams that need it have it (see hash-keys.ts), because each record that is inserted with a hash touches
// another page of the index: REST and NDJSON took 13 to 20 % fewer records a second.
import { type SQL, sql } from 'drizzle-orm';
import type { StreamRow } from '../stream-rows.ts';

/** A bucket of a million records has 60 for each. */
const HASHES = 16_384;

/** The hash of a record whose key is not hashed. */
export const UNHASHED = 0;
const UNHASHED_SQL = sql.raw(String(UNHASHED));

/** Whether a text is a hash, or that of a record without. */
export const isKeyHash = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) <= HASHES;

/** The hash of a record that is inserted into the stream `s`. */
export const keyHashOfInsert = (filterId: SQL, element: SQL): SQL =>
  sql`CASE WHEN s.hashes_keys THEN ${keyHash(filterId, element)} ELSE ${UNHASHED_SQL} END`;

/**
 * 1 to 16,384. PostgreSQL keeps this function the same from version to version, since the partitions of hash-partitioned tables
 * rely on it; machines of another byte order have another.
 */
export const keyHash = (filterId: SQL, element: SQL): SQL =>
  sql`(1 + (hashtextextended(${element}, ${filterId}) & ${sql.raw(String(HASHES - 1))}))::smallint`;

/**
 * Limits what a statement reads of the records `r` to those with the hashes of the keys `k` (bucket_start, filter_id, element), and
 * to those that a server of an older version inserted without. Looked up pair by pair, since PostgreSQL 15 does not use two lists
 * for one index.
 */
export const matchKeyHashes = ({ accountId, id }: Pick<StreamRow, 'accountId' | 'id'>, keys: SQL): SQL => sql`
  AND r.ctid = ANY(ARRAY(
    SELECT found.ctid FROM (
      SELECT DISTINCT k.bucket_start, h.hash
      FROM ${keys}, LATERAL (VALUES (${UNHASHED_SQL}::smallint), (${keyHash(sql`k.filter_id`, sql`k.element`)})) AS h(hash)) pairs,
    LATERAL (
      SELECT c.ctid FROM records c
      WHERE c.account_id = ${accountId} AND c.stream_id = ${id} AND c.hidden_by IS NULL
        AND c.bucket_start = pairs.bucket_start AND c.key_hash = pairs.hash
      OFFSET 0) found))`;

/** Beyond them a read of the buckets is faster: each is looked up separately. */
export const MAX_LOOK_UPS = 1000;

/** Whether reading by hash is faster than reading the buckets. */
export const areFewKeys = (keys: number): boolean => keys <= MAX_LOOK_UPS;
