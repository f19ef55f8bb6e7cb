import { type SQL, sql } from 'drizzle-orm';
import type { Db, Transaction } from '../../db/client.ts';
import { type IssueCollector, UnavailableError } from '../../errors/errors.ts';
import type { EncodedBatch } from '../pipeline/encode-batch.ts';
import { encodeDimensions, hashFilter } from '../pipeline/canonical.ts';
import type { SelectorForm, StagedContent, StagedRequest } from '../pipeline/plan.ts';
import { duplicateKeyIssue } from '../pipeline/records.ts';
import type { CanonicalScope } from '../pipeline/scope.ts';
import { disableSequentialScans, hideScope, preferTidScans, pairWithEachFilter } from '../sql/hide-records.ts';
import { areFewKeys, matchKeyHashes, keyHashOfInsert } from '../key-hashes/key-hash.ts';
import { ADD_TO_EXISTING } from '../totals/totals.ts';
import type { StreamRow } from '../stream-rows.ts';

// Batches of records or selectors that wait for the end of their request, and the statements that write all batches of a request together.

export async function stageBatch(
  db: Db,
  { accountId, requestId }: StagedRequest,
  number: number,
  batch: EncodedBatch,
): Promise<void> {
  await db.execute(sql`
    INSERT INTO staged_batches (account_id, request_id, number, first_index, bucket_starts, bucket_places, filter_places, elements, amounts, filter_digests, filter_dimensions)
    VALUES (${accountId}, ${requestId}, ${number}, ${batch.firstIndex},
      ${batch.buckets}::timestamptz[], ${batch.bucketIndexes}::int[], ${batch.filterIndexes}::int[], ${batch.elements}::text[], ${batch.values}::numeric[],
      ${sql.param(batch.filters.map(hashFilter))}::bytea[], ${sql.param(batch.filters.map(encodeDimensions))}::jsonb[])`);
}

/** Deletes the staged batches of a request. */
export async function clearStaged(db: Db, { accountId, requestId }: StagedRequest): Promise<void> {
  await db.execute(sql`DELETE FROM staged_batches WHERE account_id = ${accountId} AND request_id = ${requestId}`);
}

/** Deletes the batches, of all accounts, that servers left behind when they died during a request. */
export async function clearAbandoned(db: Db, olderThanMs: number): Promise<void> {
  await db.execute(
    sql`DELETE FROM staged_batches WHERE staged_at < now() - make_interval(secs => ${olderThanMs / 1000})`,
  );
}

/**
 * For the rest of the transaction. The planner expects ten rows of each array; a nested loop over millions would not end. Also sets the
 * statement timeout.
 */
async function disableNestedLoops(tx: Transaction, { maxMs }: StagedRequest): Promise<void> {
  await tx.execute(sql`SET LOCAL enable_nestloop = off`);
  // A merge join would use the order of an index, which has only the buckets, and compare all records of a bucket with each other.
  await tx.execute(sql`SET LOCAL enable_mergejoin = off`);
  await tx.execute(sql.raw(`SET LOCAL statement_timeout = ${Math.round(maxMs)}`));
}

/**
 * The batches of a request. Concatenating an empty array brings the bucket starts into memory: otherwise a long array would be read from
 * the table for each record.
 */
function batchesOf({ accountId, requestId }: StagedRequest): SQL {
  return sql`
  (SELECT s.*, s.bucket_starts || '{}' AS starts FROM staged_batches s
    WHERE s.account_id = ${accountId} AND s.request_id = ${requestId} OFFSET 0)`;
}

/**
 * All rows of a request. Each OFFSET 0 keeps the planner from merging a subquery into the join around it, where it would run once per
 * record, or the join once per batch: replacing 300,000 records took minutes, now 5 s.
 */
function stagedRows(request: StagedRequest): SQL {
  return sql`
  (SELECT b.account_id, b.first_index + row.ordinal - 1 AS index, row.bucket_start, row.element, row.value, row.digest, row.dimensions
    FROM ${batchesOf(request)} b, LATERAL (
      SELECT b.starts[u.bucket_index] AS bucket_start, u.element, u.value, u.ordinal, f.digest, f.dimensions
      FROM unnest(b.bucket_places, b.filter_places, b.elements, b.amounts)
        WITH ORDINALITY AS u(bucket_index, filter_index, element, value, ordinal)
      LEFT JOIN unnest(b.filter_digests, b.filter_dimensions)
        WITH ORDINALITY AS f(digest, dimensions, ordinal) ON f.ordinal = u.filter_index
      OFFSET 0) row
    OFFSET 0)`;
}

/** The distinct filters of a request. */
function stagedFilters({ accountId, requestId }: StagedRequest): SQL {
  return sql`
  (SELECT DISTINCT ON (f.digest) f.digest, f.dimensions
    FROM staged_batches b, unnest(b.filter_digests, b.filter_dimensions) AS f(digest, dimensions)
    WHERE b.account_id = ${accountId} AND b.request_id = ${requestId}
    ORDER BY f.digest)`;
}

/**
 * The staged records with the ids of their filters, all of which the stream has. Looking up the ids per filter of a batch instead of per
 * record takes 35 instead of 80 ms for 100,000 records. LEFT JOIN keeps the position of each id in the array.
 */
function rowsWithFilterIds(request: StagedRequest, stream: StreamRow): SQL {
  return sql`
  (SELECT b.account_id, b.starts[u.bucket_index] AS bucket_start, ids.by_index[u.filter_index] AS filter_id, u.element, u.value
    FROM ${batchesOf(request)} b
    JOIN (
      SELECT s.account_id, s.number, array_agg(f.id ORDER BY d.ordinal) AS by_index
      FROM staged_batches s CROSS JOIN unnest(s.filter_digests) WITH ORDINALITY AS d(digest, ordinal)
      LEFT JOIN filters f ON f.account_id = ${request.accountId} AND f.stream_id + 0 = ${stream.id} AND f.digest = d.digest
      WHERE s.account_id = ${request.accountId} AND s.request_id = ${request.requestId}
      GROUP BY s.account_id, s.number OFFSET 0) ids ON ids.account_id = b.account_id AND ids.number = b.number
    CROSS JOIN unnest(b.bucket_places, b.filter_places, b.elements, b.amounts)
      AS u(bucket_index, filter_index, element, value)
    OFFSET 0)`;
}

/**
 * SQL: limits the records `r` that are read to the buckets of few keys, and to the hashes of `hashed`, which has these keys as `k`.
 * Otherwise the planner joins the keys with all records of the stream.
 */
function limitToKeys(stream: StreamRow, keys: SQL, hashed: SQL | null): SQL {
  return sql`
  AND r.bucket_start = ANY(ARRAY(SELECT few.bucket_start FROM ${keys} few))
  ${stream.keysHashed && hashed ? matchKeyHashes(stream, hashed) : sql``}`;
}

/** Adds an issue for each record whose key occurs twice in the request. The first hundred are listed, the others counted. */
export async function validateStagedKeys(
  db: Db,
  request: StagedRequest,
  path: readonly string[],
  issues: IssueCollector,
): Promise<void> {
  const found = await db.transaction(async (tx) => {
    await disableNestedLoops(tx, request);
    const { rows } = await tx.execute<{ index: string; first: string; second: string; total: string }>(sql`
      SELECT u.index, k.first, k.second, count(*) OVER () AS total
      FROM (
        SELECT bucket_start, digest, element, min(index) AS first, (array_agg(index ORDER BY index))[2] AS second
        FROM ${stagedRows(request)} r GROUP BY bucket_start, digest, element HAVING count(*) > 1) k
      JOIN ${stagedRows(request)} u ON u.bucket_start = k.bucket_start AND u.digest = k.digest AND u.element = k.element
      ORDER BY u.index LIMIT 100`);
    return rows;
  });
  for (const { index, first, second } of found) {
    const { code, message } = duplicateKeyIssue(Number(index), Number(index === first ? second : first));
    issues.add([...path, index], code, message);
  }
  issues.addUnlisted(Number(found[0]?.total ?? 0) - found.length);
}

/**
 * Hides the records that the staged records replace, and inserts the staged records.
 *
 * @param replaces true: hides the records with their keys. A scope: hides the records in it. False: hides none
 */
export async function insertStagedRecords(
  tx: Transaction,
  staged: StagedContent,
  stream: StreamRow,
  operationId: bigint,
  replaces: boolean | CanonicalScope,
): Promise<{ insertedRecords: number; hiddenRecords: number }> {
  const { request, rows: count } = staged;
  await assertComplete(tx, staged);
  await disableNestedLoops(tx, request);
  await insertStagedFilters(tx, request, stream);
  const byKey = replaces === true;
  const few = byKey && areFewKeys(count);
  if (few) await (stream.keysHashed ? preferTidScans(tx) : disableSequentialScans(tx));
  const hidden = byKey
    ? await tx.execute(sql`
        UPDATE records r SET hidden_by = ${operationId}
        FROM ${rowsWithFilterIds(request, stream)} k
        WHERE r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by IS NULL
          AND r.bucket_start = k.bucket_start AND r.filter_id = k.filter_id AND r.element = k.element
          ${few ? limitToKeys(stream, rowsWithFilterIds(request, stream), sql`${rowsWithFilterIds(request, stream)} AS k`) : sql``}`)
    : null;
  const inScope = typeof replaces === 'object' ? await hideScope(tx, stream, operationId, replaces) : 0;
  const inserted = await tx.execute(sql`
    INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id, key_hash)
    SELECT u.account_id, ${stream.id}::bigint, u.bucket_start, u.filter_id, u.element, u.value, ${operationId}::bigint,
      ${keyHashOfInsert(sql`u.filter_id`, sql`u.element`)}
    FROM ${rowsWithFilterIds(request, stream)} u
    JOIN streams s ON s.account_id = u.account_id AND s.account_id = ${stream.accountId} AND s.id = ${stream.id}`);
  return { insertedRecords: inserted.rowCount ?? 0, hiddenRecords: hidden?.rowCount ?? inScope };
}

/** Inserts the totals of the staged records. Must run after subtractHidden. */
export async function addStagedTotals(
  tx: Transaction,
  request: StagedRequest,
  stream: StreamRow,
  operationId: bigint,
): Promise<void> {
  await tx.execute(sql`
    INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    SELECT u.account_id, ${stream.id}::bigint, u.bucket_start, u.filter_id, ${operationId}::bigint, sum(u.value), count(*)
    FROM ${rowsWithFilterIds(request, stream)} u
    GROUP BY u.account_id, u.bucket_start, u.filter_id
    ${ADD_TO_EXISTING}`);
}

/** Inserts the filters that the stream does not have yet. */
async function insertStagedFilters(tx: Transaction, request: StagedRequest, stream: StreamRow): Promise<void> {
  // Sorted: two writes that insert the same filters in different orders would deadlock.
  await tx.execute(sql`
    INSERT INTO filters (account_id, stream_id, digest, dimensions)
    SELECT s.account_id, s.id, u.digest, u.dimensions
    FROM streams s, ${stagedFilters(request)} u
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}
    ORDER BY u.digest
    ON CONFLICT (account_id, digest, (stream_id + 0)) DO NOTHING`);
}

/** Hides the live records that the staged selectors match. Returns how many; a record that several selectors match counts once. */
export async function hideStagedSelections(
  tx: Transaction,
  staged: StagedContent,
  stream: StreamRow,
  operationId: bigint,
  forms: readonly SelectorForm[],
): Promise<number> {
  const { request, rows: count } = staged;
  await assertComplete(tx, staged);
  await disableNestedLoops(tx, request);
  const few = areFewKeys(count);
  if (few) await (stream.keysHashed ? preferTidScans(tx) : disableSequentialScans(tx));
  const byElement = (keys: SQL) =>
    pairWithEachFilter(tx, stream, sql`(SELECT u.bucket_start, u.element FROM ${keys} u)`, count);
  let hidden = 0;
  for (const form of forms) {
    const matching = [
      sql`r.bucket_start = k.bucket_start`,
      ...(form.element ? [sql`r.element = k.element`] : []),
      ...(form.dimensions.length > 0 ? [sql`r.filter_id = k.filter_id`] : []),
    ];
    const keys = sql`(${stagedKeys(request, stream, form)} OFFSET 0)`;
    // If a selector has a filter, even an incomplete one, its keys have the ids of the filters that it matches.
    const hashed =
      !few || !form.element ? null : form.dimensions.length > 0 ? sql`${keys} AS k` : await byElement(keys);
    const { rowCount } = await tx.execute(sql`
      UPDATE records r SET hidden_by = ${operationId}
      FROM ${keys} k
      WHERE r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by IS NULL
        AND ${sql.join(matching, sql` AND `)} ${few ? limitToKeys(stream, keys, hashed) : sql``}`);
    hidden += rowCount ?? 0;
  }
  return hidden;
}

/** The distinct keys of the staged selectors of a form. */
function stagedKeys(request: StagedRequest, stream: StreamRow, { dimensions, element }: SelectorForm): SQL {
  const rows = sql`${stagedRows(request)} u`;
  const ofForm = sql`u.element IS ${sql.raw(element ? 'NOT NULL' : 'NULL')}`;
  if (dimensions.length === 0) {
    return sql`SELECT DISTINCT u.bucket_start, u.element FROM ${rows} WHERE u.digest IS NULL AND ${ofForm}`;
  }
  const names = sql`${sql.param([...dimensions])}::text[]`;
  // Both sides are canonical, so equal sets of values have equal JSON.
  const valuesIn = (column: SQL): SQL => sql`
    (SELECT jsonb_agg(${column} -> d.name ORDER BY d.ordinal) FROM unnest(${names}) WITH ORDINALITY AS d(name, ordinal))`;
  const namesIn = (column: SQL): SQL => sql`
    (SELECT array_agg(k.name ORDER BY k.name COLLATE "C") FROM jsonb_object_keys(${column}) AS k(name))`;
  // The values of each filter are extracted once, and not once per record with this filter.
  return sql`
    SELECT DISTINCT u.bucket_start, u.element, known.id AS filter_id
    FROM ${rows}
    JOIN (
      SELECT sent.digest, ${valuesIn(sql`sent.dimensions`)} AS values
      FROM ${stagedFilters(request)} sent WHERE ${namesIn(sql`sent.dimensions`)} = ${names} OFFSET 0) asked ON asked.digest = u.digest
    JOIN (
      SELECT f.id, ${valuesIn(sql`f.dimensions`)} AS values
      FROM filters f WHERE f.account_id = ${stream.accountId} AND f.stream_id = ${stream.id} OFFSET 0) known ON known.values = asked.values
    WHERE ${ofForm}`;
}

/** Throws UnavailableError if batches are missing: a crash of PostgreSQL empties the table, which is unlogged. */
async function assertComplete(tx: Transaction, { request, batches }: StagedContent): Promise<void> {
  const { rows } = await tx.execute<{ count: string }>(
    sql`SELECT count(*) FROM staged_batches WHERE account_id = ${request.accountId} AND request_id = ${request.requestId}`,
  );
  const found = Number(rows[0]?.count ?? 0);
  if (found !== batches) throw new UnavailableError(`Only ${found} of ${batches} staged batches exist.`);
}
