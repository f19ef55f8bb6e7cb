/**
 * How each table would lie on a database that is distributed by account_id. A new table has to be put here, and so
 * somebody thinks of its keys.
 */
export const DISTRIBUTED = ['streams', 'ledgers', 'filters', 'operations', 'records', 'totals', 'staged_batches'];
export const REFERENCE = ['accounts', 'api_keys'];
export const LOCAL = ['jobs', 'runs', 'run_objects', 'bucket_claims'];
