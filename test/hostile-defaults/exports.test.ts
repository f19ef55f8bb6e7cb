import { runOnHostileDatabases } from '../support/run-hostile.ts';

runOnHostileDatabases('serializable', [
  'exports/export-files',
  'exports/copied-rows',
  'jobs/job-check',
  'runs/claims',
  'runs/run-feed',
  'background/queue',
]);
