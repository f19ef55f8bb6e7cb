import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Figure, median, percentile } from '../support/figures.ts';
import { createJob, runJob } from '../support/jobs.ts';
import { API_KEY, type SluiceServer } from '../support/server-process.ts';
import type { Stage } from '../support/stage.ts';

// Many subscribers on one server: the time until the last one receives a change, and the cost of idle subscribers.

const SUBSCRIBERS = 2000;
const CHANGES = 100;

export async function measureSubscribers(stage: Stage): Promise<Figure[]> {
  const server = await stage.server({ MAX_SUBSCRIPTIONS_PER_KEY: String(SUBSCRIBERS) });
  await runJob(server.url, await createJob(server.url, { jobName: 'followed' }));
  const client = await stage.connect();
  // A run with a lease of one hour, whose changes this process writes like a worker.
  const { rows } = await client.query<{ id: string; payload: string }>(
    `UPDATE runs SET status = 'RUNNING', finished_at = NULL, rows_written = 0, change = change + 1,
       lease_token = gen_random_uuid(), lease_until = now() + interval '1 hour'
     RETURNING id, json_build_object('id', id, 'accountId', account_id::text, 'jobId', job_id)::text AS payload`,
  );
  const [run] = rows;
  if (!run) throw new Error('There is no run to follow.');

  // The first subscribers have additional costs, which are not part of the figure.
  await closed(await open(server, 100));
  const before = await settledMemory(server);
  const subscribers = await open(server, SUBSCRIBERS);
  const cpuBefore = await server.cpuSeconds();
  const idleFrom = performance.now();
  const memory = await settledMemory(server);
  const idleCpu = ((await server.cpuSeconds()) - cpuBefore) / ((performance.now() - idleFrom) / 1000);

  const delays: number[] = [];
  const changesFrom = await server.cpuSeconds();
  for (let change = 1; change <= CHANGES; change += 1) {
    const begun = process.hrtime.bigint();
    const [[last]] = await Promise.all([
      once(subscribers, 'message') as Promise<[{ change: number; at: string }]>,
      client.query(
        `BEGIN; UPDATE runs SET rows_written = ${change}, change = change + 1 WHERE id = '${run.id}';
         SELECT pg_notify('sluice_runs', '${run.payload}'); COMMIT`,
      ),
    ]);
    if (last.change !== change) throw new Error(`Expected change ${change}, but received ${last.change}.`);
    delays.push(Number(BigInt(last.at) - begun) / 1e6);
  }
  const changesCpu = (await server.cpuSeconds()) - changesFrom;
  await closed(subscribers);
  await server.stop();
  return [
    {
      what: `${SUBSCRIBERS} subscribers to runs, one server: p99 from the commit to the last subscriber`,
      against: '',
      value: percentile(delays, 0.99),
      unit: 'ms',
      bound: { atMost: 250 },
      details: {
        medianMs: median(delays),
        changes: CHANGES,
        microsecondsOfProcessorPerSubscriber: (changesCpu / CHANGES / SUBSCRIBERS) * 1e6,
      },
    },
    {
      what: `${SUBSCRIBERS} subscribers to runs, one server: memory per subscriber`,
      against: '',
      value: ((memory - before) * 1024) / SUBSCRIBERS,
      unit: 'KB',
      bound: { atMost: 60 },
      details: { beforeMb: before, withThemMb: memory, idleProcessorPercent: idleCpu * 100 },
    },
  ];
}

async function open(server: SluiceServer, count: number): Promise<ChildProcess> {
  const subscribers = fork(join(import.meta.dirname, '../support/subscribers.ts'), [
    server.url,
    String(count),
    API_KEY,
  ]);
  await once(subscribers, 'message');
  return subscribers;
}

async function closed(subscribers: ChildProcess): Promise<void> {
  const exited = once(subscribers, 'exit');
  subscribers.disconnect();
  await exited;
}

/** Returns the resident memory after it has been stable for a while, when garbage has been collected. */
async function settledMemory(server: SluiceServer): Promise<number> {
  let last = await server.memoryMb();
  for (let quiet = 0; quiet < 10;) {
    await sleep(1000);
    const now = await server.memoryMb();
    quiet = Math.abs(now - last) < 1 ? quiet + 1 : 0;
    last = now;
  }
  return last;
}
