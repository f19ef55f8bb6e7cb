// A hash of the filter and the element of a record. It follows the bucket in the index of live records, so that the index finds one key
// among millions of records of a bucket. Only streams that need it have it (see hash-stream-keys.ts), because each record with a hash touches
// another page of the index: REST and NDJSON take 13 to 20 % fewer records per second. Guarded by test/streams/key-hashes.test.ts, and
// by test/streams/plans.test.ts, because the plans depend on the version of PostgreSQL (15 to 18).
import { type SQL, sql } from 'drizzle-orm';
import type { OperationRow, StreamRow } from '../stream-rows.ts';

/** In a bucket of a million records, 60 have the same hash. */
const HASHES = 16_384;

/** Stored if the key of a record is not hashed. */
export const UNHASHED = 0;
const UNHASHED_SQL = sql.raw(String(UNHASHED));

/** Whether a text is a key hash, or UNHASHED. */
export const isKeyHash = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) <= HASHES;

/** SQL: the hash that a record inserted into the stream `s` gets. */
export function keyHashOfInsert(filterId: SQL, element: SQL): SQL {
  return sql`CASE WHEN s.hashes_keys THEN ${keyHash(filterId, element)} ELSE ${UNHASHED_SQL} END`;
}

/**
 * SQL: 1 to 16,384. PostgreSQL does not change this function between versions, since hash-partitioned tables rely on it. Machines with
 * another byte order have other hashes.
 */
export function keyHash(filterId: SQL, element: SQL): SQL {
  return sql`(1 + (hashtextextended(${element}, ${filterId}) & ${sql.raw(String(HASHES - 1))}))::smallint`;
}

/**
 * SQL: limits the records `r` to those with the hashes of the keys `k` (bucket_start, filter_id, element), and those that a server of an
 * older version inserted without a hash. Buckets and hashes are looked up in pairs, because PostgreSQL 15 does not use two lists with
 * one index.
 */
export function matchKeyHashes({ accountId, id }: Pick<StreamRow, 'accountId' | 'id'>, keys: SQL): SQL {
  return sql`
  AND r.ctid = ANY(ARRAY(
    SELECT found.ctid FROM (
      SELECT DISTINCT k.bucket_start, h.hash
      FROM ${keys}, LATERAL (VALUES (${UNHASHED_SQL}::smallint), (${keyHash(sql`k.filter_id`, sql`k.element`)})) AS h(hash)) pairs,
    LATERAL (
      SELECT c.ctid FROM records c
      WHERE c.account_id = ${accountId} AND c.stream_id = ${id} AND c.hidden_by IS NULL
        AND c.bucket_start = pairs.bucket_start AND c.key_hash = pairs.hash
      OFFSET 0) found))`;
}

/** Keys are looked up one by one: above this number, reading the whole buckets is faster. */
export const MAX_LOOK_UPS = 1000;

/** Whether looking up the keys is faster than reading their buckets. */
export const areFewKeys = (keys: number): boolean => keys <= MAX_LOOK_UPS;

/** Whether the write looked up its keys one by one. */
export function looksUpFewKeys({ kind, insertedRecords, hiddenRecords }: OperationRow): boolean {
  return kind !== 'SUM' && areFewKeys(Math.max(insertedRecords, hiddenRecords));
}
