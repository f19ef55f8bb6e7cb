// The hash of a record's filter and element. Behind the bucket in the index of live records it finds one key among the millions
// of a bucket. Only streams that need it have it (see hash-keys.ts), because each record that is inserted with a hash touches
// another page of the index: REST and NDJSON took 13 to 20 % fewer records a second.
import { type SQL, sql } from 'drizzle-orm';

/** A bucket of a million records has 250 for each, and 20 keys are found in 5,000. */
const HASHES = 4096;

/** The hash of a record whose key is not hashed. */
export const UNHASHED = 0;

/** The hash of a record that is inserted into the stream `s`. */
export const insertedHash = (filterId: SQL, element: SQL): SQL =>
  sql`CASE WHEN s.hashes_keys THEN ${keyHash(filterId, element)} ELSE ${sql.raw(String(UNHASHED))} END`;

/**
 * 1 to 4,096. PostgreSQL keeps this function the same from version to version, since the partitions of hash-partitioned tables
 * rely on it.
 */
export const keyHash = (filterId: SQL, element: SQL): SQL =>
  sql`(1 + (hashtextextended(${element}, ${filterId}) & ${sql.raw(String(HASHES - 1))}))::smallint`;

/**
 * What to look up for the keys `k`, as an array that is made once for a statement: their hashes, and the records that a server of
 * an older version inserted without.
 */
export const hashesOf = (keys: SQL): SQL => sql`ARRAY(
  SELECT ${sql.raw(String(UNHASHED))}::smallint UNION SELECT ${keyHash(sql`k.filter_id`, sql`k.element`)} FROM ${keys})`;

/** Beyond them a read of the buckets is faster: each pair of a bucket and a hash is looked up by itself. */
const MAX_LOOK_UPS = 5000;

/** Whether so many keys in so many buckets are found by their hashes. */
export const areFewKeys = (keys: number, buckets: number): boolean => (keys + 1) * buckets <= MAX_LOOK_UPS;
