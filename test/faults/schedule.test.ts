import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/db/client.ts';
import { openQueue } from '../../src/db/queue.ts';
import { claimRun } from '../../src/runs/claim.ts';
import { endAttempt } from '../../src/runs/lease.ts';
import { createJob, innerId, querySql } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import { createChance, inForm } from './chance.ts';
import { changesOf, type Day, type Kind, kindsOf, MINUTES, slotsOf, type Zone, ZONES } from './day-of-schedule.ts';
import { type Deployment, startDeployment } from './deployment.ts';
import { type SimulatedClock, simulateClock } from './simulated-clock.ts';
import { counted, tally } from './tally.ts';

const MINUTE = 60_000;
const SHIFTED_CLOCK = new URL('shifted-clock.ts', import.meta.url).href;
const SCHEDULER = fileURLToPath(new URL('scheduler-process.ts', import.meta.url));

/** In 2006 the clocks of all three were changed within one day; the next year America's was moved to November. */
const DAYS: readonly Day[] = [
  { start: new Date('2006-10-28T12:00Z'), changes: ZONES },
  ...inForm<Day[]>({
    short: [],
    full: [
      { start: new Date('2026-03-07T18:00Z'), changes: ['America/New_York'] },
      { start: new Date('2026-03-28T12:00Z'), changes: ['Europe/Berlin'] },
      { start: new Date('2026-04-04T06:00Z'), changes: ['Australia/Lord_Howe'] },
    ],
  }),
];
/** Jobs that are due in the same minute. */
const CROWD = 5000;
/** Time zones in which a crowd of jobs is due. Each crowd makes about 24,000 runs per day. */
const crowdedZonesOf = ({ changes }: Day): readonly Zone[] =>
  changes.length < ZONES.length ? [] : inForm({ short: changes.slice(0, 1), full: changes.slice(0, 2) });
/** Jobs of the crowd whose runs are taken at the end of the day, of each kind. */
const TAKEN = inForm({ short: 25, full: 50 });

const startScheduler = async (url: string): Promise<ChildProcess> => {
  const child = spawn(process.execPath, [SCHEDULER, url], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
};

const kill = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
};

/** Makes the first job of each kind through a server whose clock says that the day begins, and the others as its copies. */
const makeJobs = async (deployment: Deployment, start: Date, kinds: readonly Kind[]): Promise<void> => {
  const server = await deployment.startServer({
    ROLE: 'api',
    NODE_OPTIONS: `--import ${SHIFTED_CLOCK}`,
    CLOCK_AHEAD_MS: String(start.getTime() - Date.now()),
  });
  for (const { name, timeZone, cron, range, count } of kinds) {
    const id = await createJob(server, {
      jobName: name,
      timeZone,
      cron,
      range,
      aggregationBucket: 'HOUR',
      enabled: true,
    });
    await querySql(
      server,
      `INSERT INTO jobs (id, account_id, name, enabled, settings, destination, next_run_at, created_at, updated_at)
       SELECT gen_random_uuid(), account_id, name || ' ' || n, enabled,
              jsonb_set(settings, '{jobName}', to_jsonb(name || ' ' || n)), destination || '-' || n,
              next_run_at, created_at, updated_at
       FROM jobs, generate_series(1, $2::int) n WHERE id = $1`,
      [innerId(id), count - 1],
    );
  }
  await server.process.destroy();
};

interface StoredRun {
  readonly jobId: string;
  readonly name: string;
  readonly slot: Date;
  readonly madeAt: Date;
  readonly status: string;
  readonly attempt: number;
}

/** Two workers that claim the run of a job concurrently until none is left. Returns the slots. */
const createRacingWorkers = async (url: string) => {
  const onError = (error: Error): void => {
    throw error;
  };
  const open = (): Database =>
    openDatabase({
      url,
      poolSize: 4,
      applicationName: 'sluice',
      statementTimeoutMs: 60_000,
      onConnectionError: onError,
    });
  const workers = [open(), open()];
  const queue = openQueue({ url, applicationName: 'sluice-queue', worker: false, onError });
  await queue.start();
  const takeAll = async (jobId: string): Promise<Date[]> => {
    const taken: Date[] = [];
    for (;;) {
      const claims = await Promise.all(workers.map(({ acrossAccounts }) => claimRun(acrossAccounts, jobId, 30_000)));
      const held = claims.flatMap((claim, index) =>
        claim && 'run' in claim ? [{ run: claim.run, db: workers[index]?.acrossAccounts ?? never() }] : [],
      );
      if (held.length === 0) return taken;
      // If both workers had claimed a run of the job, it would have two leases.
      for (const { run, db } of held) {
        taken.push(run.scheduledFor);
        await endAttempt(db, queue, run, { event: 'SUCCEED', totals: { rows: 0, bytes: 0 } }, [], 0.5);
      }
      expect(held).toHaveLength(1);
    }
  };
  const close = async (): Promise<void> => {
    await queue.stop({ graceful: false });
    await Promise.all(workers.map((worker) => worker.close()));
  };
  return { takeAll, close };
};

const never = (): never => {
  throw new Error('There is no such worker.');
};

/** Lets the day pass minute by minute, each as long as jobs are due in it. Answers how often a scheduler was killed. */
const passDay = async (
  deployment: Deployment,
  clock: SimulatedClock,
  day: Day,
  due: ReadonlyMap<number, { readonly jobs: number; readonly atOnce: readonly string[] }>,
  takeAll: (jobId: string) => Promise<Date[]>,
): Promise<{ kills: number; crowded: number }> => {
  const chance = createChance(`the day of ${day.start.toISOString()}`);
  const { url } = deployment.database;
  const serverUrl = clock.urlFor(deployment.database.serverUrl);
  const schedulers = [await startScheduler(serverUrl), await startScheduler(serverUrl)];
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let [kills, crowded] = [0, 0];
  try {
    for (let minute = 1; minute <= MINUTES; minute += 1) {
      const at = day.start.getTime() + minute * MINUTE;
      await clock.set(new Date(at + chance.between(0, MINUTE - 1)));
      const here = due.get(at);
      if ((here?.jobs ?? 0) >= CROWD) crowded += 1;
      if (here && (here.jobs >= CROWD / 5 || chance.between(1, 30) === 1)) {
        // In the middle of a crowd, mostly.
        const victim = chance.between(0, 1);
        await delay(chance.between(0, 600));
        await kill(schedulers[victim] ?? never());
        kills += 1;
        schedulers[victim] = await startScheduler(serverUrl);
      }
      // None is due in a minute without slots, so nothing is waited for there.
      await eventually(
        () => client.query('SELECT name FROM jobs, simulated.clock WHERE next_run_at <= clock.at LIMIT 5'),
        ({ rows }) => rows.length === 0,
        120_000,
      );
      for (const jobId of here?.atOnce ?? []) expect(await takeAll(jobId)).toEqual([new Date(at)]);
    }
  } finally {
    await Promise.all(schedulers.map(kill));
    await client.end();
  }
  return { kills, crowded };
};

test.each(DAYS)(
  'in 24 hours in which the clocks of $changes change each job has one run for each of its slots, made in its minute',
  async (day) => {
    expect(changesOf(day)).toEqual(day.changes);
    const kinds = kindsOf(CROWD, crowdedZonesOf(day));
    const deployment = await startDeployment();
    try {
      await makeJobs(deployment, day.start, kinds);
      const clock = await simulateClock(deployment.database.url, day.start);
      const workers = await createRacingWorkers(clock.urlFor(deployment.database.serverUrl));
      try {
        const jobs = await querySql<{ id: string; name: string }>(deployment, 'SELECT id, name FROM jobs');
        const kindOf = (name: string): Kind =>
          kinds.find((kind) => name === kind.name || (kind.count > 1 && name.startsWith(`${kind.name} `))) ?? never();
        const expected = new Map(kinds.map((kind) => [kind, slotsOf(kind, day)]));
        const due = new Map<number, { jobs: number; atOnce: string[] }>();
        for (const { id, name } of jobs) {
          const kind = kindOf(name);
          for (const slot of expected.get(kind) ?? []) {
            const here = due.get(slot) ?? { jobs: 0, atOnce: [] };
            here.jobs += 1;
            if (kind.atOnce) here.atOnce.push(id);
            due.set(slot, here);
          }
        }
        const { kills, crowded } = await passDay(deployment, clock, day, due, workers.takeAll);
        expect(crowded).toBeGreaterThanOrEqual(crowdedZonesOf(day).length);

        // At the end of the day workers take what waits, oldest first.
        for (const kind of kinds.filter(({ atOnce }) => !atOnce)) {
          const some = jobs.filter(({ name }) => kindOf(name) === kind).slice(0, TAKEN);
          for (const { id } of some) {
            expect((await workers.takeAll(id)).map(Number)).toEqual(expected.get(kind));
          }
        }

        const runs = await querySql<StoredRun>(
          deployment,
          `SELECT r.job_id AS "jobId", j.name, r.scheduled_for AS slot, r.created_at AS "madeAt", r.status, r.attempt
           FROM runs r JOIN jobs j ON j.id = r.job_id`,
        );
        const byJob = Map.groupBy(runs, ({ name }) => name);
        let [slots, lost, more] = [0, 0, 0];
        for (const { name } of jobs) {
          const wanted = expected.get(kindOf(name)) ?? [];
          const made = (byJob.get(name) ?? []).map(({ slot }) => slot.getTime());
          slots += wanted.length;
          lost += wanted.filter((slot) => !made.includes(slot)).length;
          more += made.length - new Set(made.filter((slot) => wanted.includes(slot))).size;
        }
        const wrong = runs.filter(
          ({ slot, madeAt, status, attempt }) =>
            madeAt < slot ||
            madeAt.getTime() >= slot.getTime() + MINUTE ||
            !['QUEUED 0', 'SUCCEEDED 1'].includes(`${status} ${attempt}`),
        );
        expect(wrong).toEqual([]);
        const taken = runs.filter(({ status }) => status === 'SUCCEEDED').length;
        await tally({
          scenario: 8,
          done:
            `24 hours from ${day.start.toISOString().slice(0, 16)}Z, during which the clocks of ${day.changes.join(', ')} change; ` +
            `${crowded === 0 ? '' : `${crowded} minutes with 5,000 jobs due; `}one of two schedulers killed ${kills} times`,
          tried: `${counted(slots, 'slots')} of ${counted(jobs.length, 'jobs')}, ${counted(taken, 'runs')} executed`,
          lost,
          twice: more,
        });
      } finally {
        await workers.close();
        await clock.close();
      }
    } finally {
      await deployment.close();
    }
  },
  inForm({ short: 600_000, full: 1_200_000 }),
);
