import { setTimeout as delay } from 'node:timers/promises';
import { createAccount } from '../../src/accounts/accounts.ts';
import { createApiKey } from '../../src/accounts/keys.ts';
import { openDatabase } from '../../src/db/client.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { innerId, querySql } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import type { Fault } from '../support/strict-s3.ts';
import { type Chance, createChance } from './chance.ts';
import { compareWithUsage, findRevisionFaults } from './delivery-oracle.ts';
import { type Deployment, startDeployment } from './deployment.ts';
import { askUntilAnswered, type CorrectedJob, correctJob } from './ledger-traffic.ts';
import { type SlowWire, startSlowWire } from './slow-wire.ts';
import { superviseServers } from './supervised-servers.ts';

// Jobs whose streams are corrected in random orders, while servers are killed, statements delayed and connections reset.

export interface InterleavingOptions {
  /** Name from which random choices are derived. */
  readonly name: string;
  /** Number of jobs, each with a random order of its own. */
  readonly jobs: number;
  /** Jobs that are corrected at the same time. */
  readonly concurrency: number;
}

export interface InterleavingReport {
  /** Seconds of the corrections, and until rest. */
  readonly seconds: readonly [number, number];
  readonly kills: number;
  readonly cuts: number;
  readonly delayed: number;
  /** Number of results by field and type. */
  readonly results: Readonly<Record<string, number>>;
  readonly runs: Readonly<Record<string, number>>;
  readonly deliveries: Readonly<Record<string, number>>;
  /** Revisions from 2 on whose stated changes were compared with the files. */
  readonly changesCompared: number;
  /** CURRENT deliveries that differ from the ledger. */
  readonly contradictions: readonly string[];
  /** Deliveries that stay TOUCHED or STALE although they are owed, runs that do not end, and cursors that do not move. */
  readonly stuck: readonly string[];
  readonly shared: readonly string[];
  readonly shrinking: readonly string[];
  readonly miscounted: readonly string[];
  readonly brokenPromises: readonly string[];
  readonly endedByThemselves: readonly string[];
}

const ACCOUNTS = 4;
const ROLES = ['api', 'api', 'worker', 'worker'];
const LEASE_SECONDS = 3;
/** A sweep finds within a minute what no other part makes due. */
const REST_MS = 150_000;

const SETTINGS = {
  RUN_LEASE_SECONDS: String(LEASE_SECONDS),
  RUN_HEARTBEAT_MS: '300',
  EXPORT_CONCURRENCY: '12',
  LEDGER_SCAN_SECONDS: '1',
  LEDGER_SCAN_IDLE_SECONDS: '1',
  RESTATEMENT_CONCURRENCY: '64',
  RESTATEMENTS_PER_ACCOUNT: '24',
};

/**
 * SQL that makes time pass faster, since PostgreSQL has no clock that a test could set: settings and leases of minutes become seconds.
 * Each interval is shortened, and none is skipped: what waits waits for up to two seconds.
 */
const HURRY = [
  `UPDATE jobs SET settle_seconds = greatest(0, floor(random() * 4) - 1) WHERE settle_seconds > 2`,
  `UPDATE deliveries SET check_at = clock_timestamp() + random() * interval '2 s' WHERE id IN (
     SELECT id FROM deliveries WHERE check_at > clock_timestamp() + interval '4 s' AND failures = 0 FOR UPDATE SKIP LOCKED)`,
  `UPDATE ledger_cursors SET scan_at = clock_timestamp() + random() * interval '2 s' WHERE account_id IN (
     SELECT account_id FROM ledger_cursors WHERE scan_at > clock_timestamp() + interval '4 s' FOR UPDATE SKIP LOCKED)`,
];
/** At rest, also the pauses of hours between restatements that failed. */
const HURRY_RETRIES = `UPDATE deliveries SET check_at = clock_timestamp() WHERE id IN (
  SELECT id FROM deliveries WHERE check_at > clock_timestamp() + interval '4 s' FOR UPDATE SKIP LOCKED)`;

export async function playInterleavings(options: InterleavingOptions): Promise<InterleavingReport> {
  const chance = createChance(options.name);
  const buckets = Array.from({ length: ACCOUNTS }, (_, index) => `account-${index}`);
  const deployment = await startDeployment(SETTINGS, { buckets, durability: 'forgetful' });
  const wire = await startSlowWire(deployment.database.url);
  try {
    const through = { DATABASE_URL: wire.urlFor(deployment.database.serverUrl) };
    const servers = await superviseServers(
      deployment,
      ROLES.map((role) => ({ ...through, ROLE: role })),
    );
    try {
      return await play(options, chance, { deployment, wire, servers, buckets });
    } finally {
      await servers.stop();
    }
  } finally {
    await wire.close();
    await deployment.close();
  }
}

interface Stage {
  readonly deployment: Deployment;
  readonly wire: SlowWire;
  readonly servers: Awaited<ReturnType<typeof superviseServers>>;
  readonly buckets: readonly string[];
}

async function play(options: InterleavingOptions, chance: Chance, stage: Stage): Promise<InterleavingReport> {
  const { deployment, wire, servers } = stage;
  const keys = await createAccounts(stage);
  const counts = { cuts: 0, delayed: 0 };
  const results: Record<string, number> = {};
  let isOver = false;

  wire.setHook(({ sql }) => {
    const fault = randomWireFault(chance, sql);
    if (fault === 'cut' || fault === 'cut-after') counts.cuts += 1;
    else if (fault !== undefined) counts.delayed += 1;
    return fault;
  });
  deployment.s3.setFault(() => randomFault(chance));

  async function killServers(): Promise<void> {
    while (!isOver) {
      await delay(chance.between(100, 3000));
      // A busy machine starts servers slowly: at least half of them answer at any time.
      if (!isOver && servers.answering.length >= ROLES.length - 1) servers.killOne(chance.pick);
    }
  }
  async function hurry(): Promise<void> {
    while (!isOver) {
      for (const statement of HURRY) await querySql(deployment, statement);
      await delay(500);
    }
  }

  const jobs: CorrectedJob[] = [];
  let next = 0;
  async function playJobs(): Promise<void> {
    while (next < options.jobs && !isOver) {
      const number = next++;
      const account = number % ACCOUNTS;
      const traffic = {
        api: servers,
        chance: createChance(`${options.name} ${number}`),
        makeDue: (jobId: string, hours: number) => makeDue(deployment, jobId, hours),
        onResult: (field: string, { __typename }: { readonly __typename: string }) => {
          const name = `${field} ${__typename}`;
          results[name] = (results[name] ?? 0) + 1;
        },
      };
      const place = { accountKey: keys[account] ?? '', bucket: stage.buckets[account] ?? '', folder: `case-${number}` };
      jobs.push(await correctJob(traffic, place, `case-${number}`, { writes: 7, commands: 6 }));
    }
  }

  const begunAt = performance.now();
  const players = Array.from({ length: options.concurrency }, playJobs);
  const others = [killServers(), hurry()];
  try {
    await Promise.all(players);
  } finally {
    isOver = true;
    await Promise.allSettled([...players, ...others]);
  }
  wire.setHook(undefined);
  deployment.s3.setFault(undefined);
  const playedAt = performance.now();
  // A slot that is due during the comparison would deliver windows after the stored objects were read.
  await querySql(deployment, 'UPDATE jobs SET next_run_at = NULL');
  const stuck = await waitForRest(deployment, REST_MS);
  const restedAt = performance.now();
  const ask = <Data extends object>(key: string, document: string, variables: Readonly<Record<string, unknown>>) =>
    askUntilAnswered<Data>({ api: servers, chance }, key, document, variables);
  const findings = await compareWithUsage(ask, deployment.s3, jobs);
  const { shared, shrinking, miscounted, counted } = findRevisionFaults(deployment.s3);
  return {
    seconds: [Math.round((playedAt - begunAt) / 1000), Math.round((restedAt - playedAt) / 1000)],
    kills: servers.kills,
    ...counts,
    results,
    runs: await countRuns(deployment),
    deliveries: countBy(findings.flatMap(({ deliveries }) => deliveries.map(({ state }) => state))),
    changesCompared: counted,
    contradictions: findings.flatMap(({ contradictions }) => contradictions),
    stuck,
    shared,
    shrinking,
    miscounted,
    brokenPromises: brokenPromises(deployment.s3.puts),
    endedByThemselves: servers.endedByThemselves,
  };
}

function countBy(names: readonly string[]): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length]));
}

/** A key of each account, with which it writes to its own bucket. */
async function createAccounts({ deployment, buckets }: Stage): Promise<string[]> {
  const database = openDatabase({
    url: deployment.database.url,
    poolSize: 1,
    applicationName: 'sluice-tests',
    statementTimeoutMs: 60_000,
    onConnectionError: () => undefined,
  });
  try {
    const context = { db: database.acrossAccounts, clock: systemClock };
    const keys: string[] = [];
    for (const name of buckets) {
      const { id } = await createAccount(context, name);
      keys.push((await createApiKey(context, id, { name: 'test', scopes: ['ADMIN'] })).secret);
    }
    return keys;
  } finally {
    await database.close();
  }
}

function randomFault(chance: Chance): Fault | undefined {
  const what = chance.between(1, 100);
  if (what <= 18) return { pause: delay(chance.between(50, 1800)) };
  if (what <= 30) return { stall: delay(chance.between(50, 1800)) };
  if (what <= 33) return { status: 503, code: 'SlowDown' };
  if (what <= 34) return { status: 403, code: 'AccessDenied' };
  if (what <= 36) return 'reset-after-store';
  return undefined;
}

/** Statements on whose order the rules of deliveries depend. */
const ORDERED = /\bdeliveries\b|\bcorrections\b|\bledger_cursors\b|^commit/i;
/** The first statement after a snapshot was taken: a claim has its watermark, and a scan has read the operations. */
const FIRST = /^\s*INSERT INTO (?:deliveries|corrections) AS/;

/** A lost connection in 1 of 7,000 statements and a delay in 1 of 70; ten times as often if their order matters. */
function randomWireFault(chance: Chance, sql: string): 'cut' | 'cut-after' | Promise<unknown> | undefined {
  if (FIRST.test(sql)) {
    const at = chance.between(1, 100);
    if (at <= 10) return 'cut';
    return at <= 35 ? delay(chance.between(200, 1000)) : undefined;
  }
  const at = chance.between(1, 20_000) / (ORDERED.test(sql) ? 10 : 1);
  if (at <= 3) return at <= 1 ? 'cut-after' : 'cut';
  if (at > 300) return undefined;
  return delay(at <= 60 ? chance.between(200, 900) : chance.between(1, 120));
}

async function makeDue(deployment: Deployment, jobId: string, hours: number): Promise<void> {
  await querySql(
    deployment,
    `UPDATE jobs SET next_run_at = now() - $2 * interval '1 hour' WHERE id = $1 AND next_run_at IS NOT NULL`,
    [innerId(jobId), hours],
  );
}

const UNFINISHED = `
  SELECT 'run ' || r.id || ' ' || r.trigger || ' ' || r.status || ' attempt ' || r.attempt || ' not before ' || coalesce(r.not_before::text, '-') AS what
  FROM runs r WHERE r.status IN ('QUEUED', 'RUNNING') OR r.lease_token IS NOT NULL
  UNION ALL
  SELECT 'cursor of account ' || c.account_id || ', due at ' || c.scan_at FROM ledger_cursors c WHERE EXISTS (
    SELECT FROM operations o WHERE o.account_id = c.account_id AND NOT pg_visible_in_snapshot(o.xid, c.scanned::pg_snapshot))
  UNION ALL
  SELECT 'delivery ' || d.id || ' ' || d.manifest_key || ' touched ' || coalesce(d.touched_at::text, '-') || ' stale ' ||
    coalesce(d.stale_since::text, '-') || ' check at ' || coalesce(d.check_at::text, '-') || ' failures ' || d.failures
  FROM deliveries d JOIN jobs j ON j.id = d.job_id AND j.deleted_at IS NULL AND j.output_sha256 = d.output_sha256
  WHERE d.revision > 0 AND (d.touched_at IS NOT NULL OR d.stale_since IS NOT NULL AND j.enabled AND d.owed_until > d.window_start
    -- A restatement that was canceled by hand waits for the next correction.
    AND (SELECT r.status || coalesce(r.error ->> 'code', '') FROM runs r WHERE r.job_id = d.job_id AND r.bucket = d.bucket
      AND r.manifest_key = d.manifest_key AND r.trigger = 'RESTATEMENT' ORDER BY r.created_at DESC LIMIT 1) IS DISTINCT FROM 'CANCELED')`;

/** Waits until nothing is left to do. Returns what is left after a while. */
export async function waitForRest(deployment: Deployment, restMs: number): Promise<string[]> {
  try {
    await eventually(
      async () => {
        for (const statement of [...HURRY, HURRY_RETRIES]) await querySql(deployment, statement);
        await delay(400);
        return querySql<{ what: string }>(deployment, UNFINISHED);
      },
      (left) => left.length === 0,
      restMs,
    );
    return [];
  } catch {
    return (await querySql<{ what: string }>(deployment, UNFINISHED)).map(({ what }) => what);
  }
}

async function countRuns(deployment: Deployment): Promise<Record<string, number>> {
  const rows = await querySql<{ name: string; count: number }>(
    deployment,
    `SELECT trigger || ' ' || status || coalesce(' ' || (error ->> 'code'), '') AS name, count(*)::int FROM runs GROUP BY 1 ORDER BY 1`,
  );
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
}
