import { setTimeout as sleep } from 'node:timers/promises';
import type { Figure } from '../support/figures.ts';
import { createJobs } from '../support/jobs.ts';
import { ndjsonLine, recordAt } from '../support/made-up-records.ts';
import { ask, post } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// One correction that touches the windows of many jobs: the marks of the scan, and the checks, which find that no value has changed.

const DELIVERIES = 2000;
const SHAPE = { days: 30, keys: 3000, repeats: 1 };
/** Long after the bounds, so that a slow server is still measured. */
const PATIENCE_MS = 180_000;
const POLL_MS = 20;

export async function measureCorrections(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  const { url } = server;
  await fillStream(url, 'usage', SHAPE);
  const client = await stage.connect();
  const jobIds = await createJobs(url, DELIVERIES, (number) => ({
    jobName: `corrected ${number}`,
    meterApiNames: ['usage'],
    range: 'ago(1d)',
  }));
  for (const jobId of jobIds) {
    await ask(url, 'mutation ($jobId: ID!) { runJob(input: { jobId: $jobId }) { __typename } }', { jobId });
  }
  const waitFor = async (condition: string): Promise<number> => {
    const begun = performance.now();
    for (;;) {
      const { rows } = await client.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM deliveries WHERE ${condition}`,
      );
      if (rows[0]?.count === DELIVERIES) return (performance.now() - begun) / 1000;
      if (performance.now() - begun > PATIENCE_MS) throw new Error(`${rows[0]?.count} deliveries: ${condition}`);
      await sleep(POLL_MS);
    }
  };
  await waitFor('revision > 0');
  await client.query('VACUUM ANALYZE deliveries, jobs, runs');

  // The value that the record had, so that the check clears the marks.
  const body = Buffer.from(`{"records":[${ndjsonLine(recordAt(0, SHAPE)).trim()}]}`);
  const { status, text } = await post(url, '/unit-cost/v1/telemetry/allocation/usage/replace', body);
  if (status !== 200) throw new Error(`${status}: ${text}`);
  const marksSeconds = await waitFor('touched_at IS NOT NULL');
  await client.query('UPDATE deliveries SET check_at = now()');
  const checksSeconds = await waitFor('touched_at IS NULL');
  await server.stop();

  const figure = (what: string, value: number): Figure => ({
    what: `${what} of ${DELIVERIES} deliveries of one window`,
    against: '',
    value,
    unit: 's',
    bound: { atMost: 10 },
    details: { microsecondsPerDelivery: (value / DELIVERIES) * 1e6 },
  });
  return [
    figure('from the response to a correction to the marks', marksSeconds),
    figure('from the time at which they are due to the checks', checksSeconds),
  ];
}
