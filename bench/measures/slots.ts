import { setTimeout as sleep } from 'node:timers/promises';
import type { Figure } from '../support/figures.ts';
import { createJobs } from '../support/jobs.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// Many jobs with slots in the same minute on one server: the time from the slot to the end of the last run.

const JOBS = 2000;
const SHAPE = { days: 30, keys: 300, repeats: 1 };
/** Long after the bound, so that a slow server is still measured. */
const PATIENCE_MS = 180_000;
const MINUTE_MS = 60_000;

export async function measureSlots(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  await fillStream(server.url, 'usage', SHAPE);
  const client = await stage.connect();
  const created = Date.now();
  // Once per hour, so that the next slot does not interfere, and late enough to create all jobs before.
  const slot = new Date(Math.ceil(created / MINUTE_MS) * MINUTE_MS + MINUTE_MS);
  await createJobs(server.url, JOBS, (number) => ({
    jobName: `slot ${number}`,
    meterApiNames: ['usage'],
    groupBy: ['element'],
    cron: `${slot.getUTCMinutes()} * * * *`,
    enabled: true,
  }));
  if (Date.now() > slot.getTime()) throw new Error('The slot came before all jobs were made.');
  console.log(
    `${JOBS} jobs made in ${((Date.now() - created) / 1000).toFixed(1)} s; they are due at ${slot.toISOString()}`,
  );
  await sleep(slot.getTime() - Date.now() - 500);
  const cpuBefore = await server.cpuSeconds();
  const state = async () => {
    const { rows } = await client.query<{
      ended: number;
      succeeded: number;
      queued: number;
      started: number;
      last: number;
    }>(
      `SELECT count(finished_at)::int AS ended, (count(*) FILTER (WHERE status = 'SUCCEEDED'))::int AS succeeded,
         extract(epoch FROM max(created_at) - $1)::float8 AS queued, extract(epoch FROM min(started_at) - $1)::float8 AS started,
         extract(epoch FROM max(finished_at) - $1)::float8 AS last
       FROM runs WHERE scheduled_for = $1`,
      [slot],
    );
    const [row] = rows;
    if (!row) throw new Error('count(*) gave no row.');
    return row;
  };
  let now = await state();
  while (now.ended < JOBS && Date.now() < slot.getTime() + PATIENCE_MS) {
    await sleep(500);
    now = await state();
  }
  const cpu = (await server.cpuSeconds()) - cpuBefore;
  if (now.succeeded !== JOBS) throw new Error(`${now.succeeded} of ${JOBS} runs SUCCEEDED, ${now.ended} ended.`);
  await server.stop();
  return [
    {
      what: `${JOBS} cron jobs due in the same minute, one server: from the slot to the end of the last run`,
      against: '',
      value: now.last,
      unit: 's',
      bound: { atMost: 20 },
      details: {
        firstStartedSeconds: now.started,
        lastQueuedSeconds: now.queued,
        runsPerSecond: JOBS / (now.last - now.started),
        serverCpuSeconds: cpu,
      },
    },
  ];
}
