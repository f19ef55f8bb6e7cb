import type { Clock } from '../lib/clock.ts';
import type { GraphQLClient } from '../api-client/graphql-client.ts';
import { showExample } from './allocation-example.ts';
import { ensureJob, followRun, showFile } from './run-export.ts';
import { addDays, CUSTOMERS, dateOf } from './generated-usage.ts';
import type { Screen } from './screen.ts';
import { sendUsage } from './send-usage.ts';

const DAYS = 90;

export interface StoryOptions {
  readonly client: GraphQLClient;
  readonly screen: Screen;
  readonly clock: Clock;
  /** Where the objects of the embedded S3 lie. */
  readonly filesDirectory: string;
}

/** The main job of Sluice, from the first record to the file, through the API alone. */
export const tellStory = async ({ client, screen, clock, filesDirectory }: StoryOptions): Promise<void> => {
  screen.heading('1. Allocation: sum, replace, delete');
  await showExample(client, screen);

  screen.heading(`2. Usage of ${CUSTOMERS.length} made-up customers over ${DAYS} days`);
  const now = clock.now();
  const today = dateOf(now);
  await sendUsage(client, screen, { from: addDays(today, -DAYS), to: today }, now);

  screen.heading('3. An export job, and a run followed through the subscription');
  const jobId = await ensureJob(client, screen);
  const run = await followRun(client, screen, jobId);

  screen.heading('4. What lies in the bucket');
  await showFile(screen, run, filesDirectory);
};
