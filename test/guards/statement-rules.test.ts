import { expect, test } from 'vitest';
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../src/db/table-distribution.ts';
import {
  acrossAccounts,
  brokenRules,
  brokenRulesOfQueue,
  namesDistributed,
  shapesOf,
  THROUGH_A_ROW,
} from '../support/distributed-rules.ts';

const TABLES = [...DISTRIBUTED, ...REFERENCE, ...LOCAL];

const HAS_RETURNING = 'takes ids from a sequence has RETURNING or ON CONFLICT';
const LOCAL_SETTING = 'by SET LOCAL';
const OWN_MESSAGES = 'messages of their own';

/** True if the totals of the streams include every operation of the ledger. */
const TOTALS_SERVE = `(SELECT count(*) FROM streams s WHERE s.account_id = $1::bigint AND s.id = ANY($2::bigint[])
  AND (s.totals_merged_xid > pg_snapshot_xmin($3::pg_snapshot)
    OR EXISTS (SELECT 1 FROM operations o WHERE o.account_id = s.account_id AND o.stream_id = s.id AND NOT o.totalled))) = 0`;

/** The query for usage in the first version. */
const USAGE = `SELECT 1 AS stream, a.bucket, sum(a.value) AS value FROM (
  SELECT r.stream_id, width_bucket(r.bucket_start, $4::timestamptz[]) AS bucket, sum(r.value) AS value FROM totals r
  WHERE r.account_id = $1::bigint AND r.stream_id = ANY($2::bigint[]) AND r.operation_id NOT IN (
    SELECT o.id FROM operations o WHERE o.account_id = $1::bigint AND o.xid >= pg_snapshot_xmin($3::pg_snapshot)
      AND NOT pg_visible_in_snapshot(o.xid, $3::pg_snapshot)) AND ${TOTALS_SERVE}
  GROUP BY r.stream_id, bucket HAVING sum(r.records) > 0
  UNION ALL
  SELECT r.stream_id, width_bucket(r.bucket_start, $4::timestamptz[]) AS bucket, r.value FROM records r
  WHERE r.account_id = $1::bigint AND r.stream_id = ANY($2::bigint[]) AND r.hidden_by IS NULL AND NOT ${TOTALS_SERVE}
) a JOIN filters f ON f.account_id = $1::bigint AND f.stream_id = a.stream_id GROUP BY stream, a.bucket`;

/** COPY takes no parameters. */
const withLiterals = (sql: string): string =>
  sql
    .replaceAll('$1::bigint', `'17'::bigint`)
    .replaceAll('$2::bigint[]', `'{1}'::bigint[]`)
    .replaceAll('$3::pg_snapshot', `'824:824:'::pg_snapshot`)
    .replaceAll('$4::timestamptz[]', `'{"2026-01-21T00:00:00Z"}'::timestamptz[]`);

/** The accepted form: each relation is compared with the value. */
const withValues = (sql: string): string => sql.replaceAll('o.account_id = s.account_id', 'o.account_id = $1::bigint');

const MERGEABLE = `SELECT s.id FROM streams s WHERE s.account_id = $1::bigint AND s.deleted_at IS NULL AND (
  CASE WHEN (SELECT o.xid FROM operations o WHERE o.account_id = s.account_id AND o.stream_id = s.id
    ORDER BY o.id DESC OFFSET $2 LIMIT 1) >= coalesce(s.totals_merged_xid, '0'::xid8) THEN true END
  OR EXISTS (SELECT 1 FROM operations o WHERE o.account_id = s.account_id AND o.stream_id = s.id AND NOT o.totalled))
  ORDER BY s.id`;

const DELETED_STREAMS = `SELECT s.id, s.name, s.deleted_at, EXISTS (
    SELECT 1 FROM runs r WHERE r.account_id = s.account_id AND r.watermark IS NOT NULL
      AND (r.status IN ('QUEUED', 'RUNNING') OR r.lease_token IS NOT NULL)
      AND NOT pg_visible_in_snapshot(s.deleted_xid, r.watermark::pg_snapshot)) AS still_read
  FROM streams s WHERE s.account_id = $1::bigint AND s.deleted_at < $2::timestamptz AND (
    EXISTS (SELECT 1 FROM records r WHERE r.account_id = s.account_id AND r.stream_id = s.id AND r.hidden_by IS NULL)
    OR EXISTS (SELECT 1 FROM filters f WHERE f.account_id = s.account_id AND f.stream_id = s.id)) ORDER BY s.id`;

const FOREIGN_IDS = `SELECT EXISTS (
  SELECT 1 FROM accounts a
  WHERE EXISTS (SELECT 1 FROM operations o WHERE o.account_id = a.id
      AND o.xid >= pg_snapshot_xmax(pg_current_snapshot()))
    OR EXISTS (SELECT 1 FROM runs r WHERE r.account_id = a.id AND r.status IN ('QUEUED', 'RUNNING')
      AND pg_snapshot_xmax(r.watermark::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()))) AS foreign`;

const DELETE_STREAM = `INSERT INTO operations (account_id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256)
  SELECT s.account_id, s.id, 'DELETE_STREAM', $1::timestamptz, pg_current_xact_id(), true, 0,
    (SELECT coalesce(sum(o.inserted_records - o.hidden_records), 0) FROM operations o
      WHERE o.account_id = $2 AND o.stream_id = $3),
    sha256(convert_to('DELETE_STREAM ' || s.name, 'UTF8'))
  FROM streams s WHERE s.account_id = $2 AND s.id = $3`;

const RECORD_OPERATION = `INSERT INTO operations (account_id, stream_id, kind, received_at, xid, totalled)
  SELECT s.account_id, s.id, $1::text, $2::timestamptz, pg_current_xact_id(), true
  FROM streams s WHERE s.account_id = $3 AND s.id = $4 AND s.deleted_at IS NULL
  ON CONFLICT (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING id`;

const CREATE_STREAM = `INSERT INTO streams (account_id, name, created_at, created_xid)
  VALUES ($1, $2, $3, pg_current_xact_id()) ON CONFLICT (account_id, name) WHERE deleted_at IS NULL DO NOTHING`;

const PURGE = `DELETE FROM records WHERE account_id = $1 AND stream_id = $2 AND ctid = ANY(ARRAY(
    SELECT ctid FROM records WHERE account_id = $1 AND stream_id = $2 AND hidden_by IS NULL AND true
    ORDER BY bucket_start LIMIT $3))`;

const LOCK_TOTALS = `SELECT pg_try_advisory_xact_lock(hashtextextended($1::text, 0)) AS locked,
  pg_snapshot_xmin(pg_current_snapshot())::text AS before`;

const WATERMARK = `SELECT coalesce((SELECT pg_current_snapshot()::text FROM streams WHERE account_id = $1 LIMIT 1),
  pg_current_snapshot()::text) AS watermark`;

test.each([
  [
    'WITH gone AS (DELETE FROM records r WHERE r.account_id = $1 RETURNING 1) SELECT count(*) FROM gone',
    'no CTE writes',
  ],
  [
    'INSERT INTO filters AS f (account_id) VALUES ($1) ON CONFLICT (account_id) DO UPDATE SET id = now()',
    'no now() in DO UPDATE',
  ],
  ['UPDATE records r SET value = random() WHERE r.account_id = $1', 'no volatile function'],
  [`UPDATE records SET value = (SELECT nextval('x')) WHERE account_id = $1`, 'no volatile function'],
  ['MERGE INTO records USING x ON true WHEN MATCHED THEN DELETE', 'no MERGE'],
  ['SELECT 1 FROM streams WHERE account_id = $1 FOR SHARE', 'no FOR UPDATE'],
  [`SELECT pg_notify('runs', id::text) FROM runs WHERE account_id = $1`, 'NOTIFY is a statement'],
  [`COMMIT; NOTIFY runs, 'x'`, 'NOTIFY is a statement'],
  ['SELECT 1 FROM records r JOIN runs ON runs.account_id = r.account_id', 'distributed and local'],
  ['SELECT 1 FROM records r, pgboss.job j WHERE r.account_id = $1', 'distributed and local'],
  [DELETED_STREAMS, 'distributed and local'],
  [FOREIGN_IDS, 'distributed and local'],

  ['BEGIN ISOLATION LEVEL SERIALIZABLE', 'no SERIALIZABLE'],
  ['SET TRANSACTION ISOLATION LEVEL SERIALIZABLE', 'no SERIALIZABLE'],
  ['BEGIN', 'states the level'],
  ['BEGIN READ ONLY', 'states the level'],
  ['BEGIN ISOLATION LEVEL READ COMMITTED', 'states the level'],
  [`SET sluice.all_accounts = 'on'`, LOCAL_SETTING],
  [`SET sluice.account_id = '1'`, LOCAL_SETTING],
  ['SET SESSION statement_timeout = 0', LOCAL_SETTING],
  ['SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY', LOCAL_SETTING],
  ['RESET ALL', LOCAL_SETTING],
  ['DISCARD ALL', LOCAL_SETTING],
  [`SELECT set_config('sluice.account_id', $1, true)`, LOCAL_SETTING],
  [`begin; SET LOCAL sluice.account_id = '17'`, OWN_MESSAGES],
  [`COMMIT; BEGIN; SET LOCAL sluice.account_id = '17'`, OWN_MESSAGES],
  // A node would run the whole message because of the setting in it.
  [
    'BEGIN; SET LOCAL lock_timeout = 30000; SELECT pg_advisory_xact_lock(1); CREATE SCHEMA pgboss; COMMIT',
    OWN_MESSAGES,
  ],
  ['BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL jit = off', OWN_MESSAGES],
  ['SET LOCAL jit = off; SET LOCAL work_mem = 1', OWN_MESSAGES],

  [LOCK_TOTALS, THROUGH_A_ROW],
  [FOREIGN_IDS, THROUGH_A_ROW],
  [WATERMARK, THROUGH_A_ROW],
  [CREATE_STREAM, THROUGH_A_ROW],
  [DELETE_STREAM, THROUGH_A_ROW],
  [RECORD_OPERATION, THROUGH_A_ROW],
  [
    'UPDATE streams SET deleted_at = $1, deleted_xid = (SELECT pg_current_xact_id()) WHERE account_id = $2 AND id = $3',
    THROUGH_A_ROW,
  ],
  ['UPDATE streams SET deleted_xid = pg_current_xact_id() WHERE account_id = $1', THROUGH_A_ROW],
  [
    `UPDATE streams SET deleted_xid = (SELECT pg_current_xact_id() FROM streams s WHERE s.account_id = $1 LIMIT 1)
      WHERE account_id = $1`,
    THROUGH_A_ROW,
  ],
  [
    `UPDATE operations SET xid = '3' WHERE account_id = $1 AND xid >= pg_snapshot_xmin(pg_current_snapshot())`,
    THROUGH_A_ROW,
  ],
  ['DELETE FROM records WHERE account_id = $1 AND pg_xact_status(operation_id) IS NULL', THROUGH_A_ROW],
  [
    'INSERT INTO ledgers (account_id, system_identifier) SELECT $1, system_identifier FROM pg_control_system()',
    THROUGH_A_ROW,
  ],
  // Neither a join nor a reference table leads to the node of the account.
  ['SELECT txid_current() FROM streams s WHERE s.account_id IN (SELECT id FROM accounts)', THROUGH_A_ROW],
  ['SELECT pg_current_snapshot() FROM accounts WHERE id = $1', THROUGH_A_ROW],
  ['SELECT pg_current_snapshot() FROM streams WHERE account_id = $1 OR id = $2', THROUGH_A_ROW],
  ['SELECT (SELECT system_identifier FROM pg_control_system()), id FROM streams WHERE account_id = $1', THROUGH_A_ROW],
  [`COPY (SELECT pg_current_snapshot()) TO STDOUT`, THROUGH_A_ROW],

  [`${PURGE} RETURNING extract(epoch FROM bucket_start)::bigint AS at`, 'immutable expressions in RETURNING'],
  [`${PURGE} RETURNING to_char(bucket_start, 'YYYY')`, 'immutable expressions in RETURNING'],
  [`${PURGE} RETURNING date_trunc('day', bucket_start)`, 'immutable expressions in RETURNING'],
  [`${PURGE} RETURNING bucket_start::text`, 'immutable expressions in RETURNING'],
  [`${PURGE} RETURNING bucket_start + interval '1 hour'`, 'immutable expressions in RETURNING'],
  [`${PURGE} RETURNING value::text, now()`, 'immutable expressions in RETURNING'],
  [`${PURGE} RETURNING current_timestamp`, 'immutable expressions in RETURNING'],
  ['UPDATE streams SET keys_hashed = true WHERE account_id = $1 RETURNING dimensions::text', 'immutable expressions'],
  [`${PURGE} RETURNING encode(convert_to(element, 'UTF8'), 'hex')`, 'immutable expressions in RETURNING'],
  ['INSERT INTO ledgers (account_id) VALUES ($1) RETURNING (SELECT name FROM streams)', 'immutable expressions'],

  [DELETE_STREAM, HAS_RETURNING],
  [
    'INSERT INTO streams (account_id, name) SELECT s.account_id, $1 FROM streams s WHERE s.account_id = $2',
    HAS_RETURNING,
  ],
  [
    `INSERT INTO operations (account_id, id) SELECT s.account_id, nextval('operation_ids') FROM streams s WHERE s.account_id = $1`,
    HAS_RETURNING,
  ],
  [
    `INSERT INTO totals (account_id, value) SELECT r.account_id, -sum(r.value) FROM records r WHERE r.account_id = $1
      GROUP BY r.account_id RETURNING operation_id`,
    'gives its table an alias',
  ],
  [
    `INSERT INTO staged_batches (account_id, bucket_starts) VALUES ($1,
      ARRAY(SELECT ($2::timestamptz[])[p.place] FROM unnest($3::int[]) WITH ORDINALITY AS p(place, index) ORDER BY p.index))`,
    'no sub-select in VALUES',
  ],
  ['INSERT INTO ledgers (account_id) VALUES ($1), ((SELECT 1))', 'no sub-select in VALUES'],
])('statement rules > report a statement that breaks one: %s', (text, rule) => {
  expect(brokenRules(text)).toContainEqual(expect.stringContaining(rule));
});

test.each([
  ['SET LOCAL jit = off'],
  ['SET TRANSACTION READ ONLY'],
  ['SET transaction_timeout = 0'],
  ['BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE'],
  ['BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'],
  [`COPY (SELECT 1 FROM records r WHERE r.account_id = '17'::bigint) TO STDOUT; COMMIT`],
  [`NOTIFY runs, '; BEGIN; SET jit = off'`],
  [`SELECT pg_notify('runs', $1)`],
  [`CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('jit', 'off', true); END $$`],
  [`SELECT 'pg_current_xact_id()', 'begin; SET LOCAL x = 1' FROM streams WHERE account_id = $1`],

  ['SELECT pg_current_xact_id()::text AS xid FROM streams WHERE account_id = $1 AND id = $2'],
  [
    `SELECT (pg_control_system()).system_identifier, pg_current_snapshot()::text FROM ledgers l WHERE l.account_id = $1::bigint`,
  ],
  [`SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::xid8 AS ended FROM runs WHERE account_id = $2 LIMIT 1`],
  [
    `SELECT pg_try_advisory_xact_lock(hashtextextended($1::text, 0)) AS locked, pg_snapshot_xmin(pg_current_snapshot())::text AS before
      FROM streams WHERE account_id = $2::bigint AND id = $3::bigint`,
  ],
  ['SELECT coalesce((SELECT pg_current_snapshot() FROM ledgers WHERE account_id = $1)::text, $2)'],
  [`SELECT 1 FROM operations o WHERE o.account_id = $1 AND pg_visible_in_snapshot(o.xid, $2::pg_snapshot)`],
  ['UPDATE streams SET deleted_xid = $1::xid8 WHERE account_id = $2 AND id = $3'],
  [`UPDATE operations SET xid = '3' WHERE account_id = $1 AND xid >= pg_snapshot_xmin($2::pg_snapshot)`],

  [`${PURGE} RETURNING bucket_start`],
  [`${PURGE} RETURNING bucket_start AS at, hidden_by AS hider, value::text, octet_length(element), (SELECT 1), *`],
  [
    'INSERT INTO streams (account_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING created_xid::text, id = $3',
  ],
  // A table of the coordinator.
  [`UPDATE runs SET status = 'FAILED' WHERE account_id = $1 RETURNING extract(epoch FROM started_at)`],

  [`INSERT INTO streams (account_id, name) VALUES ($1, $2), ($1, $3)`],
  [`${DELETE_STREAM.replace('pg_current_xact_id()', '$4::xid8')} RETURNING id`],
  [
    'INSERT INTO filters (account_id, digest) SELECT s.account_id, $1 FROM streams s WHERE s.account_id = $2 ON CONFLICT DO NOTHING',
  ],
  ['INSERT INTO operations (account_id, id) SELECT s.account_id, $1::bigint FROM streams s WHERE s.account_id = $2'],
  [
    `INSERT INTO totals (account_id, stream_id, value) SELECT t.account_id, t.stream_id, sum(t.value) FROM totals t WHERE t.account_id = $1
      GROUP BY t.account_id, t.stream_id`,
  ],
  [
    `INSERT INTO totals AS t (account_id, value) SELECT r.account_id, -sum(r.value) FROM records r WHERE r.account_id = $1
      GROUP BY r.account_id RETURNING t.operation_id`,
  ],
  [
    `INSERT INTO operations (account_id, id) SELECT s.account_id, $1::bigint FROM streams s WHERE s.account_id = $2
      ON CONFLICT (account_id, id) DO NOTHING RETURNING id`,
  ],
  ['INSERT INTO ledgers (account_id) VALUES ($1) RETURNING account_id'],
  ['INSERT INTO runs (account_id, id) VALUES ($1, (SELECT 1))'],
])('statement rules > accept a statement that breaks none: %s', (text) => {
  expect(brokenRules(text)).toEqual([]);
});

test.each([
  [USAGE, ['SELECT operations', 'SELECT operations']],
  [`COPY (${withLiterals(USAGE)}) TO STDOUT; COMMIT`, ['SELECT operations', 'SELECT operations']],
  [MERGEABLE, ['SELECT operations', 'SELECT operations']],
  [DELETED_STREAMS, ['SELECT records', 'SELECT filters']],
  [FOREIGN_IDS, ['SELECT accounts', 'SELECT operations']],
  [
    `SELECT count(*) FROM records r JOIN operations o ON o.account_id = r.account_id AND o.id = r.hidden_by
      WHERE r.account_id = $1 AND r.hidden_by IS NOT NULL`,
    ['SELECT operations'],
  ],
  ['SELECT * FROM records r JOIN filters f ON f.id = r.filter_id WHERE r.account_id = $1', ['SELECT filters']],
  ['SELECT 1 FROM records r LEFT JOIN filters f ON r.account_id = $1 AND f.account_id = $1', ['SELECT records']],
  ['SELECT 1 FROM records r FULL JOIN filters f ON r.account_id = $1', ['SELECT records', 'SELECT filters']],
  ['SELECT 1 FROM records WHERE account_id = account_id', ['SELECT records']],
  ['SELECT 1 FROM records WHERE account_id = $1 OR element = $2', ['SELECT records']],
  ['SELECT 1 FROM records WHERE NOT account_id = $1', ['SELECT records']],
  ['SELECT 1 FROM records WHERE account_id <> $1', ['SELECT records']],
  ['SELECT 1 FROM records WHERE account_id = NULL', ['SELECT records']],
  ['SELECT 1 FROM records WHERE account_id = ANY($1::bigint[])', ['SELECT records']],
  ['SELECT 1 FROM records WHERE account_id IN ($1, $2)', ['SELECT records']],
  [
    'SELECT 1 FROM records WHERE account_id IN (SELECT id FROM accounts WHERE name = $1)',
    ['SELECT records', 'SELECT accounts'],
  ],
  ['SELECT account_id FROM records s, streams WHERE streams.account_id = $1', ['SELECT records']],
  ['SELECT 1 FROM (SELECT * FROM records) r WHERE r.account_id = $1', ['SELECT records']],
  ['WITH r AS (SELECT * FROM records) SELECT 1 FROM r WHERE account_id = $1', ['SELECT records']],
  [`SELECT 1 FROM records WHERE element = 'account_id = $1'`, ['SELECT records']],
  [`DELETE FROM records WHERE element = 'account_id = 1'`, ['DELETE records']],
  [
    'DELETE FROM records USING streams s WHERE s.account_id = $1 AND records.account_id = s.account_id',
    ['DELETE records'],
  ],
  ['UPDATE records r SET hidden_by = 1 WHERE stream_id = 2', ['UPDATE records']],
  ['UPDATE records r SET hidden_by = o.id FROM operations o WHERE r.account_id = $1', ['SELECT operations']],
  ['INSERT INTO "operations" (id) SELECT id FROM streams s', ['INSERT operations', 'SELECT streams']],
  ['INSERT INTO operations VALUES ($1, $2)', ['INSERT operations']],
  ['INSERT INTO operations (account_id) VALUES ($1), (default)', ['INSERT operations']],
  [
    'INSERT INTO records (account_id) SELECT u.account_id FROM unnest($1::bigint[]) AS u(account_id)',
    ['INSERT records'],
  ],
  [
    'INSERT INTO records (account_id) SELECT r.account_id FROM records r UNION ALL SELECT $1',
    ['INSERT records', 'SELECT records'],
  ],
  [
    'INSERT INTO records (account_id) SELECT u.account_id FROM (SELECT s.* FROM staged_batches s) u',
    ['INSERT records', 'SELECT staged_batches'],
  ],
  ['COPY records FROM STDIN', ['COPY records']],
  ['LOCK TABLE records', ['LOCK records']],
  ['TRUNCATE totals', ['TRUNCATE totals']],
  ['SELECT 1 FROM jobs WHERE next_run_at < now()', ['SELECT jobs']],
])('statement rules > report a table without a condition on its account: %s', (text, shapes) => {
  expect(acrossAccounts(text, TABLES)).toEqual(shapes);
});

test.each([
  [withValues(USAGE)],
  [`COPY (${withLiterals(withValues(USAGE))}) TO STDOUT; COMMIT`],
  [withValues(MERGEABLE)],
  ['select "id" from "streams" where "streams"."account_id" = $1'],
  ['select "id" from "streams" where ("streams"."account_id" = $1 and "streams"."id" in ($2, $3)) order by "id"'],
  ['insert into "streams" ("id", "account_id", "name") values (default, $1, $2) returning "id"'],
  ['SELECT 1 FROM records WHERE $1::bigint = account_id'],
  ['SELECT 1 FROM ONLY records AS r WHERE (r.account_id, r.stream_id) = ($1, $2)'],
  ['SELECT 1 FROM records WHERE account_id IN ($1)'],
  ['SELECT 1 FROM public.records WHERE records.account_id = 17'],
  ['SELECT 1 FROM (SELECT * FROM records WHERE account_id = $1) r JOIN runs_of r2 ON r2.account_id = r.account_id'],
  ['WITH records AS (SELECT 1 AS account_id) SELECT 1 FROM records'],
  ['SELECT 1 FROM records r LEFT JOIN filters f ON f.account_id = $1 WHERE r.account_id = $1'],
  ['SELECT 1 FROM records r JOIN filters f ON f.account_id = $1 AND r.account_id = $1'],
  ['SELECT 1 FROM streams s, LATERAL (SELECT 1 FROM records r WHERE r.account_id = $1) r WHERE s.account_id = $1'],
  ['SELECT ARRAY(SELECT 1 FROM records WHERE account_id = $1), EXISTS (SELECT 1 FROM filters WHERE account_id = $1)'],
  ['UPDATE streams SET name = $1 WHERE account_id = $2'],
  ['DELETE FROM records USING streams s WHERE s.account_id = $1 AND records.account_id = $1'],
  [
    'INSERT INTO records (account_id, value) SELECT s.account_id, u.v FROM streams s, unnest($1::numeric[]) AS u(v) WHERE s.account_id = $2',
  ],
  [
    `INSERT INTO totals (account_id, value) SELECT c.account_id, sum(c.value) FROM (
       SELECT r.account_id, r.value FROM records r WHERE r.account_id = $1
       UNION ALL SELECT r.account_id, -r.value FROM records r WHERE r.account_id = $1) c GROUP BY c.account_id`,
  ],
  [
    'WITH s AS (SELECT account_id FROM streams WHERE account_id = $1) INSERT INTO ledgers (account_id) SELECT account_id FROM s',
  ],
  [
    'INSERT INTO records (account_id) SELECT u.account_id FROM (SELECT s.* FROM staged_batches s WHERE s.account_id = $1) u',
  ],
  ['SELECT 1 FROM runs r JOIN jobs j ON j.account_id = r.account_id WHERE r.account_id = $1'],
  ['SELECT 1 FROM pgboss.job'],
])('statement rules > accept a table with a condition on its account: %s', (text) => {
  expect(acrossAccounts(text, TABLES)).toEqual([]);
});

test('statement rules > find the tables in all parts of a statement', () => {
  expect(
    shapesOf(`INSERT INTO records (account_id) SELECT (SELECT 1 FROM totals) FROM streams s JOIN LATERAL (
      WITH f AS (SELECT 1 FROM filters) SELECT 1 FROM f WHERE EXISTS (SELECT 1 FROM operations)) x ON true`).toSorted(),
  ).toEqual(['INSERT records', 'SELECT filters', 'SELECT operations', 'SELECT streams', 'SELECT totals']);
  expect(namesDistributed(`SELECT 'records' FROM runs`)).toBe(false);
  expect(namesDistributed('SELECT 1 FROM runs; DELETE FROM public.totals')).toBe(true);
});

const INSTALLATION = 'BEGIN; SET LOCAL lock_timeout = 30000; CREATE SCHEMA pgboss; COMMIT';

test.each([
  ['SELECT 1 FROM pgboss.job j, streams s', 'distributed and local'],
  ['SET search_path = pgboss', LOCAL_SETTING],
  ['BEGIN', 'states the level'],
])('statement rules > apply to the queue if they are not about its own tables only: %s', (text, rule) => {
  expect(brokenRulesOfQueue(text, true)).toContainEqual(expect.stringContaining(rule));
});

test('statement rules > let the queue mix settings with statements only if they stay on the coordinator', () => {
  expect(brokenRulesOfQueue(INSTALLATION, false)).toEqual([expect.stringContaining(OWN_MESSAGES)]);
  expect(brokenRulesOfQueue(INSTALLATION, true)).toEqual([]);
  expect(
    brokenRulesOfQueue('WITH n AS (UPDATE pgboss.job SET a = now() RETURNING id) SELECT id FROM n', false),
  ).toEqual([]);
});
