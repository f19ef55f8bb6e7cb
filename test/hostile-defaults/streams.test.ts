import { runOnHostileDatabases } from '../support/run-hostile.ts';

runOnHostileDatabases('repeatable read', [
  'streams/concurrency',
  'streams/idempotency',
  'streams/grouped-sums',
  'streams/keyed-writes',
  'streams/key-hashes',
  'streams/lists',
  'streams/as-of',
  'rest/bulk-intake',
]);
