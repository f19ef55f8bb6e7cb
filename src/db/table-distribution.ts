// Pure: where each table is when the database is distributed by account_id. A new table has to be listed here, so that its
// keys are considered.

export const DISTRIBUTED = ['streams', 'ledgers', 'filters', 'operations', 'records', 'totals', 'staged_batches'];
/** Copied to each node. */
export const REFERENCE = ['accounts', 'api_keys'];
/** On the coordinator only. */
export const LOCAL = ['jobs', 'runs', 'run_objects', 'bucket_claims'];
