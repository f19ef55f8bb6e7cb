import { runOnHostileDatabases } from '../support/run-hostile.ts';

runOnHostileDatabases('repeatable read', [
  'streams/concurrency',
  'streams/idempotency',
  'streams/sum-batches',
  'streams/keyed-batches',
  'streams/key-hashes',
  'streams/lists',
  'streams/as-of',
  'rest/bulk-intake',
]);
