import type { GraphQLClient } from '../api-client/graphql-client.ts';
import type { Clock } from '../lib/clock.ts';
import { showAllocationExample } from './allocation-example.ts';
import { addDays, CUSTOMERS, formatDate } from './generated-usage.ts';
import { correctUsage, redeliver, showRevision } from './correction.ts';
import { ensureJob, followRun, showFile, startRun } from './run-export.ts';
import type { Screen } from './screen.ts';
import { sendUsage } from './send-usage.ts';

const DAYS = 90;

export interface RunDemoOptions {
  readonly client: GraphQLClient;
  readonly screen: Screen;
  readonly clock: Clock;
  /** The directory with the objects of the embedded S3. */
  readonly filesDirectory: string;
}

/** Shows the main path of Sluice, from the first record to the exported file, as a client of the API. */
export async function runDemo({ client, screen, clock, filesDirectory }: RunDemoOptions): Promise<void> {
  screen.heading('1. Write records: sum, replace, delete');
  await showAllocationExample(client, screen);

  screen.heading(`2. Send generated usage of ${CUSTOMERS.length} customers over ${DAYS} days`);
  const now = clock.now();
  const today = formatDate(now);
  await sendUsage(client, screen, { from: addDays(today, -DAYS), to: today }, now);

  screen.heading('3. Run an export job and follow it with a subscription');
  const jobId = await ensureJob(client, screen);
  const run = await followRun(client, screen, await startRun(client, jobId));

  screen.heading('4. The exported file in the S3 bucket');
  await showFile(screen, run, filesDirectory);

  screen.heading('5. A late correction, and the revision that follows');
  await correctUsage(client, screen, run, addDays(today, -1));
  const next = await followRun(client, screen, await redeliver(client, run));
  await showRevision(screen, next, filesDirectory);
}
