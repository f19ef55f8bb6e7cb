import type pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { databaseSeconds } from '../support/database-seconds.ts';
import type { Figure } from '../support/figures.ts';
import { createJobs } from '../support/jobs.ts';
import type { SluiceServer } from '../support/server-process.ts';
import type { Stage } from '../support/stage.ts';

// CPU time of the schedule, of the server and of PostgreSQL together: with few stored jobs, and with many of which as
// many are due.

const DUE = 500;
const MANY = 50_000;
const MINUTES = 2;
const MINUTE_MS = 60_000;
/** The quiet part of a minute, in which no run is due or active. */
const QUIET_FROM_MS = 35_000;
const QUIET_MS = 20_000;

interface Cost {
  /** Seconds of CPU time per minute with runs. */
  readonly server: number;
  readonly database: number;
  /** Seconds of CPU time per second in which nothing is due. */
  readonly idle: number;
}

export async function measureScheduler(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  const client = await stage.connect();
  const far = new Date(Date.now() + 86_400_000);
  // Due once a day. The day and minute are set below.
  await createJobs(server.url, DUE, (number) => ({
    jobName: `job ${number}`,
    cron: `${far.getUTCMinutes()} ${far.getUTCHours()} * * *`,
    enabled: true,
  }));
  const few = await costOf(server, client);
  await client.query(
    `INSERT INTO jobs (id, account_id, name, enabled, settings, destination, next_run_at, created_at, updated_at)
     SELECT gen_random_uuid(), account_id, name || ' of ' || copy, enabled, settings || jsonb_build_object('jobName', name || ' of ' || copy),
       destination || '-of-' || copy, next_run_at, created_at, updated_at
     FROM jobs, generate_series(2, $1::int) AS copy`,
    [MANY / DUE],
  );
  await client.query('VACUUM ANALYZE jobs');
  const many = await costOf(server, client);
  await server.stop();
  const figure = (what: string, value: number, details: Record<string, number>): Figure => ({
    what: `CPU ${what}, ${MANY} jobs stored`,
    against: `with ${DUE} jobs stored`,
    value,
    unit: 'x',
    bound: { atMost: 1.5 },
    details,
  });
  return [
    figure(`of ${DUE} runs per minute`, (many.server + many.database) / (few.server + few.database), {
      serverSecondsAMinute: many.server,
      databaseSecondsAMinute: many.database,
      serverSecondsAMinuteWithFew: few.server,
      databaseSecondsAMinuteWithFew: few.database,
    }),
    figure('while nothing is due', many.idle / few.idle, {
      percent: many.idle * 100,
      percentWithFew: few.idle * 100,
    }),
  ];
}

/** Makes `DUE` jobs due in each of the next minutes, preferably jobs that have not run yet. */
async function costOf(server: SluiceServer, client: pg.Client): Promise<Cost> {
  const cost = { server: 0, database: 0, idle: 0 };
  for (let minute = 0; minute < MINUTES; minute += 1) {
    const due = new Date(Math.ceil((Date.now() + 2000) / MINUTE_MS) * MINUTE_MS);
    await client.query(
      `UPDATE jobs SET next_run_at = $1, settings = settings || jsonb_build_object('cron', $2::text)
       WHERE id IN (SELECT j.id FROM jobs j WHERE next_run_at > $1 ORDER BY (SELECT count(*) FROM runs r WHERE r.job_id = j.id), j.id LIMIT $3)`,
      [due, `${due.getUTCMinutes()} ${due.getUTCHours()} * * *`, DUE],
    );
    await sleep(due.getTime() - 1000 - Date.now());
    const [serverBefore, databaseBefore] = await Promise.all([server.cpuSeconds(), databaseSeconds(client)]);
    await sleep(due.getTime() + QUIET_FROM_MS - Date.now());
    const { rows } = await client.query<{ ended: number }>(
      `SELECT count(*)::int AS ended FROM runs WHERE scheduled_for = $1 AND status = 'SUCCEEDED'`,
      [due],
    );
    if (rows[0]?.ended !== DUE) throw new Error(`${rows[0]?.ended} of ${DUE} runs had SUCCEEDED.`);
    const [serverAfter, databaseAfter] = await Promise.all([server.cpuSeconds(), databaseSeconds(client)]);
    await sleep(QUIET_MS);
    const [serverIdle, databaseIdle] = await Promise.all([server.cpuSeconds(), databaseSeconds(client)]);
    cost.server += (serverAfter - serverBefore) / MINUTES;
    cost.database += (databaseAfter - databaseBefore) / MINUTES;
    cost.idle += (serverIdle - serverAfter + databaseIdle - databaseAfter) / (QUIET_MS / 1000) / MINUTES;
  }
  return cost;
}
