// Pure: where each table is in a database that is distributed by account_id. A guard requires an entry for each
// table, so that the keys of new tables are considered.

export const DISTRIBUTED = ['streams', 'ledgers', 'filters', 'operations', 'records', 'totals', 'staged_batches'];
/** Tables that are copied to each node. */
export const REFERENCE = ['accounts', 'api_keys'];
/** Tables on the coordinator only. */
export const LOCAL = [
  'jobs',
  'runs',
  'run_objects',
  'bucket_claims',
  'deliveries',
  'corrections',
  'ledger_cursors',
  'ledger_moments',
  'backfills',
];
