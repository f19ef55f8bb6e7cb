import { type SQL, sql } from 'drizzle-orm';
import type { Transaction } from '../../db/client.ts';
import { formatPlainArray } from '../../db/array-text.ts';
import { type CanonicalFilter, EMPTY_FILTER, hashFilter } from '../pipeline/canonical.ts';
import { areFewKeys, matchKeyHashes, MAX_LOOK_UPS } from '../key-hashes/key-hash.ts';
import { findFilterIds } from './filters.ts';
import type { CanonicalRecords } from '../pipeline/records.ts';
import type { CanonicalScope } from '../pipeline/scope.ts';
import type { StreamRow } from '../stream-rows.ts';
import type { CanonicalSelector } from '../pipeline/selectors.ts';

// Hides live records for replaces and deletes whose keys are in memory. Guarded by test/streams/plans.test.ts.

/** Applied to the live records `r` that a condition selects. Returns how many. */
type Action = (tx: Transaction, condition: SQL) => Promise<number>;

/** An action on records found by key. The part of the condition that compares the keys decides alone among live records of the stream. */
type KeyAction = (tx: Transaction, condition: SQL, key: SQL) => Promise<number>;

function hideBy(operationId: bigint): Action {
  return async (tx, condition) => {
    const { rowCount } = await tx.execute(sql`UPDATE records r SET hidden_by = ${operationId} WHERE ${condition}`);
    return rowCount ?? 0;
  };
}

/** Counts up to `limit` records, and one more if there are. */
function countUpTo(limit: number): Action {
  return async (tx, condition) => {
    const { rows } = await tx.execute<{ records: string }>(sql`
      SELECT count(*) AS records FROM (SELECT 1 FROM records r WHERE ${condition} LIMIT ${limit + 1}) counted`);
    return Number(rows[0]?.records ?? 0);
  };
}

/** Counts what hideReplaced() would hide, up to a limit and one more. Filters that the stream does not have match nothing. */
export function countReplaced(
  tx: Transaction,
  stream: StreamRow,
  { granularity, buckets, bucketIndexes, filters, filterIndexes, elements }: CanonicalRecords,
  limit: number,
): Promise<number> {
  const selectors = elements.map((element, index) => ({
    granularity,
    bucket: buckets[bucketIndexes[index] as number] as string,
    filter: filters[filterIndexes[index] as number] as CanonicalFilter,
    element,
  }));
  return countSelected(tx, stream, selectors, limit);
}

/** Counts what hideSelected() would hide, up to a limit and one more. */
export async function countSelected(
  tx: Transaction,
  stream: StreamRow,
  selectors: readonly CanonicalSelector[],
  limit: number,
): Promise<number> {
  const steps: { readonly condition: SQL; readonly key: SQL }[] = [];
  const count: KeyAction = (_, condition, key) => {
    steps.push({ condition, key });
    return countUpTo(limit)(tx, condition);
  };
  const sum = await applyToSelected(tx, stream, count, selectors);
  if (sum <= limit || steps.length < 2) return sum;
  // A record that several statements found counts once: each counts what none before it found.
  let found = 0;
  for (const [index, { condition }] of steps.entries()) {
    const earlier = steps.slice(0, index).map((step) => step.key);
    const unseen = index > 0 ? sql`${condition} AND NOT (${sql.join(earlier, sql` OR `)})` : condition;
    found += await countUpTo(limit - found)(tx, unseen);
    if (found > limit) break;
  }
  return found;
}

/** Counts what hideScope() would hide, up to a limit and one more. */
export function countInScope(
  tx: Transaction,
  stream: StreamRow,
  scope: CanonicalScope,
  limit: number,
): Promise<number> {
  return applyToScope(tx, stream, countUpTo(limit), scope);
}

/** Hides the live records with the same keys as the records of a replace. Returns how many. */
export function hideReplaced(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  records: CanonicalRecords,
  filterIds: readonly string[],
): Promise<number> {
  return applyByKey(tx, stream, hideBy(operationId), {
    buckets: records.bucketIndexes.map((index) => records.buckets[index] as string),
    filterIds: records.filterIndexes.map((index) => filterIds[index] as string),
    elements: records.elements,
  });
}

/** Hides the live records that the selectors of a delete match. Returns how many; a record that several selectors match counts once. */
export function hideSelected(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  selectors: readonly CanonicalSelector[],
): Promise<number> {
  return applyToSelected(tx, stream, hideBy(operationId), selectors);
}

async function applyToSelected(
  tx: Transaction,
  stream: StreamRow,
  action: KeyAction,
  selectors: readonly CanonicalSelector[],
): Promise<number> {
  // Selectors of one form compare the same columns. Most deletes have one form.
  const forms = Map.groupBy(
    selectors,
    ({ filter, element }) => `${filter?.dimensionsText ?? ''} ${element === null ? '' : 'element'}`,
  );
  let found = 0;
  for (const alike of forms.values()) found += await applyByKey(tx, stream, action, await findKeys(tx, stream, alike));
  return found;
}

/** Hides the live records in the scope of a replace. Returns how many. */
export function hideScope(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  scope: CanonicalScope,
): Promise<number> {
  return applyToScope(tx, stream, hideBy(operationId), scope);
}

async function applyToScope(
  tx: Transaction,
  stream: StreamRow,
  action: Action,
  { from, to, filter, element }: CanonicalScope,
): Promise<number> {
  const filterIds = filter && (await findMatchingFilters(tx, stream, filter));
  if (filterIds?.length === 0) return 0;
  return action(
    tx,
    sql`r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by IS NULL
      AND r.bucket_start >= ${from}::timestamptz AND r.bucket_start < ${to}::timestamptz
      ${filterIds ? sql`AND r.filter_id = ANY(${formatPlainArray(filterIds)}::bigint[])` : sql``}
      ${element === null ? sql`` : sql`AND r.element = ${element}`}`,
  );
}

/** Returns the ids of the stream's filters that have exactly these values in these dimensions. */
async function findMatchingFilters(
  tx: Transaction,
  stream: StreamRow,
  { entries }: CanonicalFilter,
): Promise<string[]> {
  // Both sides are canonical, so equal sets of values have equal JSON.
  const matches = entries.map(
    ({ dimension, values }) => sql` AND f.dimensions -> ${dimension} = ${JSON.stringify(values)}::jsonb`,
  );
  const { rows } = await tx.execute<{ id: string }>(sql`
    SELECT f.id FROM filters f WHERE f.account_id = ${stream.accountId} AND f.stream_id = ${stream.id}${sql.join(matches, sql``)}`);
  return rows.map(({ id }) => id);
}

/** Finds the keys of selectors of one form, without those whose filter the stream does not have. */
async function findKeys(tx: Transaction, stream: StreamRow, selectors: readonly CanonicalSelector[]): Promise<Keys> {
  const ofSelectors = (some: readonly CanonicalSelector[]): Keys => ({
    buckets: some.map(({ bucket }) => bucket),
    elements: some.flatMap(({ element }) => element ?? []),
  });
  const dimensions = selectors[0]?.filter?.entries.map(({ dimension }) => dimension) ?? [];
  if (dimensions.length === stream.dimensions.length) {
    // An index finds complete filters by their digest. Comparing the filter of each record of a bucket takes seconds per million records.
    const digests = selectors.map(({ filter }) => hashFilter(filter ?? EMPTY_FILTER));
    const ids = await findFilterIds(tx, stream, digests);
    const found = selectors.map((selector, index) => ({
      selector,
      id: ids.get(digests[index]?.toString('hex') ?? ''),
    }));
    const known = found.filter(({ id }) => id !== undefined);
    return {
      ...ofSelectors(known.map(({ selector }) => selector)),
      filterIds: known.flatMap(({ id }) => id ?? []),
    };
  }
  if (dimensions.length === 0) return ofSelectors(selectors);
  return {
    ...ofSelectors(selectors),
    // Both sides are canonical, so equal sets of values have equal JSON.
    filterValues: {
      dimensions,
      values: selectors.map(({ filter }) => JSON.stringify(filter?.entries.map((entry) => entry.values))),
    },
  };
}

/** Columns that records are found by, with one item per key. An empty or absent list matches every value. */
interface Keys {
  readonly buckets: readonly string[];
  readonly filterIds?: readonly string[];
  /** Incomplete filters: the JSON of the values of some dimensions. */
  readonly filterValues?: { readonly dimensions: readonly string[]; readonly values: readonly string[] };
  readonly elements: readonly string[];
}

/**
 * SQL: the keys that elements may have, as `k`: one per element and filter of the stream. Returns null if there are too many.
 *
 * @param elements rows of (bucket_start, element)
 * @param count number of elements
 */
export async function pairWithEachFilter(
  tx: Transaction,
  { accountId, id }: Pick<StreamRow, 'accountId' | 'id'>,
  elements: SQL,
  count: number,
): Promise<SQL | null> {
  const most = Math.floor(MAX_LOOK_UPS / count);
  const ofStream = sql`f.account_id = ${accountId} AND f.stream_id = ${id}`;
  const { rowCount } = await tx.execute(sql`SELECT f.id FROM filters f WHERE ${ofStream} LIMIT ${most + 1}`);
  if ((rowCount ?? 0) > most) return null;
  return sql`(
    SELECT e.bucket_start, f.id AS filter_id, e.element
    FROM filters f, ${elements} AS e(bucket_start, element) WHERE ${ofStream}) AS k`;
}

/** Maximum keys of one statement. Their hash takes about 1 MB; PostgreSQL allows 8 MB (work_mem is 4 MB by default). */
const KEYS_AT_A_TIME = 10_000;

/**
 * Applies an action to the live records whose key is in a list. Each record is looked up in a hash of the list. IS TRUE keeps the planner from making
 * it a nested loop join if it has no statistics of the table: 10,000 selectors on 10,000 records took more than 30 s, now 0.3 s.
 */
async function applyByKey(tx: Transaction, stream: StreamRow, action: KeyAction, keys: Keys): Promise<number> {
  let found = 0;
  for (let start = 0; start < keys.buckets.length; start += KEYS_AT_A_TIME) {
    const some = <Item>(list: readonly Item[]): readonly Item[] => list.slice(start, start + KEYS_AT_A_TIME);
    const buckets = some(keys.buckets);
    const distinct = [...new Set(buckets)];
    const columns = [{ column: sql`r.bucket_start`, list: sql`${sql.param(buckets)}::timestamptz[]` }];
    if (keys.filterValues) {
      const { dimensions, values } = keys.filterValues;
      const column = sql`(SELECT jsonb_agg(f.dimensions -> d.name ORDER BY d.ordinal)
        FROM filters f, unnest(${sql.param(dimensions)}::text[]) WITH ORDINALITY AS d(name, ordinal)
        WHERE f.account_id = ${stream.accountId} AND f.stream_id = ${stream.id} AND f.id = r.filter_id)`;
      columns.push({ column, list: sql`${sql.param(some(values))}::jsonb[]` });
    }
    const filterIds = keys.filterIds && sql`${sql.param(some(keys.filterIds))}::bigint[]`;
    if (filterIds) columns.push({ column: sql`r.filter_id`, list: filterIds });
    const elements = keys.elements.length > 0 && sql`${sql.param(some(keys.elements))}::text[]`;
    if (elements) columns.push({ column: sql`r.element`, list: elements });
    const hashed =
      stream.keysHashed && elements && areFewKeys(buckets.length)
        ? filterIds
          ? sql`unnest(${columns[0]?.list}, ${filterIds}, ${elements}) AS k(bucket_start, filter_id, element)`
          : await pairWithEachFilter(tx, stream, sql`unnest(${columns[0]?.list}, ${elements})`, buckets.length)
        : null;
    const key = sql`((${sql.join(
      columns.map(({ column }) => column),
      sql`, `,
    )}) IN (SELECT * FROM unnest(${sql.join(
      columns.map(({ list }) => list),
      sql`, `,
    )}))) IS TRUE`;
    const [, count] = await Promise.all([
      hashed && preferTidScans(tx),
      action(
        tx,
        sql`r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by IS NULL
          AND r.bucket_start = ANY(${sql.param(distinct)}::timestamptz[])
          ${hashed ? matchKeyHashes(stream, hashed) : sql``}
          AND ${key}`,
        key,
      ),
    ]);
    found += count;
  }
  return found;
}

/**
 * For the rest of the transaction. The planner estimates that reading a few thousand records by an index costs more than reading the
 * whole table, because it does not know that they are close to each other.
 */
export async function disableSequentialScans(tx: Transaction): Promise<void> {
  await tx.execute(sql`SET LOCAL enable_seqscan = off`);
}

/**
 * For the rest of the transaction: rows that a statement names by ctid are read by it. Without statistics of the table, the planner
 * prefers an index scan, which reads the whole stream.
 */
export async function preferTidScans(tx: Transaction): Promise<void> {
  await Promise.all([disableSequentialScans(tx), tx.execute(sql`SET LOCAL random_page_cost = 0`)]);
}
