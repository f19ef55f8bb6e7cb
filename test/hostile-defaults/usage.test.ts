import { runOnHostileDatabases } from '../support/run-hostile.ts';

runOnHostileDatabases('serializable', [
  'streams/concurrency',
  'usage/usage',
  'usage/calendar',
  'usage/merged-totals',
  'rest/dialects',
  'cli/purge',
]);
