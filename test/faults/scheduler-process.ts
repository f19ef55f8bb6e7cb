// A scheduler and nothing else, in a process of its own that can be killed: `node scheduler-process.ts DATABASE_URL`.
// Ends with its parent process. It has the parts of a server without workers, because a test cannot execute 100,000 exports.
import { trace } from '@opentelemetry/api';
import { startScheduler } from '../../src/background/scheduler.ts';
import { openDatabase } from '../../src/db/client.ts';
import { openQueue } from '../../src/db/queue.ts';

const [, , url = ''] = process.argv;
process.stdin.resume().once('end', () => process.exit());
const onError = (error: unknown): void => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
};
const database = openDatabase({
  url,
  poolSize: 2,
  applicationName: 'sluice',
  statementTimeoutMs: 60_000,
  onConnectionError: onError,
});
const queue = openQueue({ url, applicationName: 'sluice-queue', worker: false, onError });
await queue.start();
// Looks more often than a server does, as a day passes in a minute here.
startScheduler({
  tracer: trace.getTracer('sluice'),
  db: database.acrossAccounts,
  queue,
  everyMs: 40,
  maxCatchUp: 100,
  onError,
});
process.stdout.write('schedules\n');
