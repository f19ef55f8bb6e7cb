import { expect, test } from 'vitest';
import { readSourceFiles } from '../support/source-files.ts';

/** The modules that decide as of when the ledger is read; the second one is for SQL built as text. Migrations are SQL files. */
const AS_OF = ['src/db/as-of.ts', 'src/db/as-of-text.ts'];

/** PostgreSQL's functions of transaction ids and snapshots, and of the cluster that they belong to. */
const TRANSACTION_IDS =
  /\b(?:pg_current_xact_id(?:_if_assigned)?|pg_current_snapshot|pg_snapshot_\w+|pg_visible_in_snapshot|pg_control_\w+|pg_xact_\w+|pg_last_committed_xact|txid_\w+)\b/g;

const files = await readSourceFiles('src');
const found = files.flatMap(({ path, code }) => [...code.matchAll(TRANSACTION_IDS)].map(([name]) => ({ path, name })));

test('functions of transaction ids are called only by the modules that own "as of"', () => {
  expect(found.filter(({ path }) => !AS_OF.includes(path))).toEqual([]);
});

test('functions of transaction ids are called by each module that owns "as of"', () => {
  const names = new Set(found.filter(({ path }) => AS_OF.includes(path)).map(({ name }) => name));
  expect(files.filter(({ path }) => AS_OF.includes(path))).toHaveLength(AS_OF.length);
  expect([...names]).toEqual(
    expect.arrayContaining([
      'pg_current_xact_id',
      'pg_current_snapshot',
      'pg_visible_in_snapshot',
      'pg_snapshot_xmin',
      'pg_control_system',
    ]),
  );
});

test.each([
  ['SELECT pg_current_xact_id() FROM streams', ['pg_current_xact_id']],
  ['pg_snapshot_xmax(pg_current_snapshot())', ['pg_snapshot_xmax', 'pg_current_snapshot']],
  ['NOT pg_visible_in_snapshot(o.xid, $1)', ['pg_visible_in_snapshot']],
  ['(pg_control_system()).system_identifier', ['pg_control_system']],
  ['SELECT txid_current()', ['txid_current']],
  [`'1:1:'::pg_snapshot`, []],
])('functions of transaction ids are found in %s', (text, names) => {
  expect([...text.matchAll(TRANSACTION_IDS)].map(([name]) => name)).toEqual(names);
});
