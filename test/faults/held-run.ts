import { addRecords, cancelRun, createJob, endedRun, innerId, querySql, runJob } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import { compareWithUsage } from './delivery-oracle.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { waitForRest } from './interleavings.ts';
import { type SlowWire, startSlowWire } from './slow-wire.ts';

// One window, one run and one correction, in the orders that decide whether a correction can be lost: a run that is held after its
// watermark until a scan has passed the correction, and a scan that loses its connection.

export interface HeldRunReport {
  /** Deliveries that are CURRENT and differ from the ledger, as sentences. */
  readonly contradictions: readonly string[];
  readonly stuck: readonly string[];
  /** State and revision of each delivery of the job, for example `CURRENT 2`. */
  readonly deliveries: readonly string[];
}

const DAY_MS = 86_400_000;
const REST_MS = 60_000;
const STREAM = 'held';
/** The statement of a claim that follows its watermark. */
const AFTER_WATERMARK = /^\s*UPDATE deliveries d SET last_revision/;
/** The statement of a scan that stores what it has found. */
const STORED_CORRECTIONS = /^\s*INSERT INTO corrections /;

/** The step that is held: the COMMIT of the first claim, or the first PutObject. */
export type HeldStep = 'COMMIT' | 'PutObject';

/** A deployment with one job of which no window is delivered, and whose server reaches PostgreSQL over the wire. */
interface Stage {
  readonly deployment: Deployment;
  readonly wire: SlowWire;
  /** Adds a record of the window. */
  add(elementName: string): Promise<void>;
  /** Starts a run of the window and returns its id. */
  run(): Promise<string>;
  readonly server: ServerProcess;
}

/** @param checkout directory of the program that the server runs; defaults to this checkout */
export async function playHeldRun(step: HeldStep, checkout?: string): Promise<HeldRunReport> {
  return play(checkout, async ({ deployment, wire, add, run }) => {
    async function correctAndScan(): Promise<void> {
      await add('hooli');
      await waitForScan(deployment);
    }
    const holds: Promise<void>[] = [];
    function holdOnce(): Promise<void> | undefined {
      if (holds.length > 0) return undefined;
      const hold = correctAndScan();
      holds.push(hold);
      return hold;
    }
    if (step === 'COMMIT') wire.setHook(({ sql }) => (AFTER_WATERMARK.test(sql) ? holdOnce() : undefined));
    else {
      deployment.s3.setFault(() => {
        const hold = holdOnce();
        return hold && { hold };
      });
    }
    await run();
    await eventually(
      () => Promise.resolve(holds.length),
      (count) => count > 0,
    );
    await Promise.all(holds);
  });
}

/**
 * Corrects a delivered window, and resets the connection of the scan that finds the correction before it is stored.
 *
 * @param checkout directory of the program that the server runs; defaults to this checkout
 */
export async function playCutScan(checkout?: string): Promise<HeldRunReport> {
  return play(checkout, async ({ wire, add, run, server }) => {
    await endedRun(server, await run());
    let cuts = 0;
    wire.setHook(({ sql }) => {
      if (cuts > 0 || !STORED_CORRECTIONS.test(sql)) return undefined;
      cuts += 1;
      return 'cut';
    });
    await add('hooli');
    await eventually(
      () => Promise.resolve(cuts),
      (count) => count > 0,
    );
  });
}

async function play(checkout: string | undefined, scene: (stage: Stage) => Promise<void>): Promise<HeldRunReport> {
  const deployment = await startDeployment(
    { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' },
    { durability: 'forgetful', ...(checkout !== undefined && { checkout }) },
  );
  const wire = await startSlowWire(deployment.database.url);
  try {
    const server = await deployment.startServer({ DATABASE_URL: wire.urlFor(deployment.database.serverUrl) });
    const slot = Math.floor(Date.now() / DAY_MS) * DAY_MS;
    const timestamp = new Date(slot - DAY_MS / 2).toISOString();
    const add = (elementName: string): Promise<void> =>
      addRecords(server, STREAM, 'HOURLY', [{ timestamp, elementName, value: 1 }]);

    await add('acme');
    // Scans begin with the first delivery of an account: of a window that the correction does not concern.
    const firstId = await createJob(server, { s3Url: 'exports/first', range: 'ago(1d)', meterApiNames: [STREAM] });
    await endedRun(server, await runJob(server, firstId, new Date(slot - 10 * DAY_MS).toISOString()));
    const jobId = await createJob(server, {
      s3Url: `exports/${STREAM}`,
      format: 'NDJSON',
      range: 'ago(1d)',
      meterApiNames: [STREAM],
      groupBy: ['element'],
      restateAfter: 'ago(1m)',
      enabled: true,
      cron: '0 1 1 1 *',
    });
    // The least time of the API is a minute.
    await querySql(deployment, 'UPDATE jobs SET settle_seconds = 0 WHERE id = $1', [innerId(jobId)]);

    const run = (): Promise<string> => runJob(server, jobId, new Date(slot).toISOString());
    await scene({ deployment, wire, add, run, server });

    const stuck = await waitForRest(deployment, REST_MS);
    const job = { jobId, accountKey: server.key, bucket: 'exports', folder: STREAM };
    const findings = await compareWithUsage(
      (key, document, variables) => server.graphql(document, variables, key),
      deployment.s3,
      [job],
    );
    return {
      contradictions: findings.flatMap(({ contradictions }) => contradictions),
      stuck,
      deliveries: findings.flatMap(({ deliveries }) => deliveries.map(({ state, revision }) => `${state} ${revision}`)),
    };
  } finally {
    await wire.close();
    await deployment.close();
  }
}

/**
 * Cancels a run whose complete manifest is stored while its PutObject is still open, and delivers the window again. Returns the
 * revisions of the complete manifests in the order in which they were stored.
 *
 * @param checkout directory of the program that the server runs; defaults to this checkout
 */
export async function playCanceledRun(checkout?: string): Promise<number[]> {
  const deployment = await startDeployment(
    {},
    { durability: 'forgetful', ...(checkout !== undefined && { checkout }) },
  );
  try {
    const server = await deployment.startServer({});
    const slot = new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS);
    const timestamp = new Date(slot.getTime() - DAY_MS / 2).toISOString();
    await addRecords(server, STREAM, 'HOURLY', [{ timestamp, elementName: 'acme', value: 1 }]);
    const job = { s3Url: `exports/${STREAM}`, range: 'ago(1d)', meterApiNames: [STREAM], restatement: 'NONE' };
    const jobId = await createJob(server, job);
    const start = (): Promise<string> => runJob(server, jobId, slot.toISOString());
    await endedRun(server, await start());

    const released = Promise.withResolvers<void>();
    let manifests = 0;
    deployment.s3.setFault(({ key }) => {
      if (key.endsWith('.manifest.json')) manifests += 1;
      // The first one announces that the window is rewritten.
      return manifests === 2 ? { stall: released.promise } : undefined;
    });
    const canceled = await start();
    await eventually(
      () => Promise.resolve(completeRevisions(deployment)),
      (revisions) => revisions.length === 2,
    );
    await cancelRun(server, canceled);
    deployment.s3.setFault(undefined);
    released.resolve();
    await endedRun(server, await start());
    return completeRevisions(deployment);
  } finally {
    await deployment.close();
  }
}

function completeRevisions({ s3 }: Deployment): number[] {
  return s3.puts
    .filter(({ key }) => key.endsWith('.manifest.json'))
    .map(({ body }) => JSON.parse(body.toString()) as { readonly state: string; readonly revision: number })
    .flatMap(({ state, revision }) => (state === 'complete' ? [revision] : []));
}

/** Waits until scans have passed every operation. */
async function waitForScan(deployment: Deployment): Promise<void> {
  await eventually(
    () =>
      querySql(
        deployment,
        `SELECT o.id FROM operations o LEFT JOIN ledger_cursors c ON c.account_id = o.account_id
         WHERE c.scanned IS NULL OR NOT pg_visible_in_snapshot(o.xid, c.scanned::pg_snapshot)`,
      ),
    (unseen) => unseen.length === 0,
  );
}
