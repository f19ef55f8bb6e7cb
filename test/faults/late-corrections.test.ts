import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import { createJob, innerId, type Manifest, querySql, runJob, type Settings } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import { inForm } from './chance.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { type SlowWire, startSlowWire } from './slow-wire.ts';
import { counted, tally } from './tally.ts';

// Corrections that arrive or commit at the worst time.

/** The default in the full form. */
const LEASE_SECONDS = inForm({ short: 10, full: 30 });
const SLOT = '2026-11-21T01:00:00Z';
const BUCKET = '2026-11-20T05:00:00Z';
/** More operations of one stream than a scan records one by one. */
const MANY = 1200;
/** Longer than the lease of a scan, 60 s, which a worker has that is killed during one. */
const SCAN_DEADLINE_MS = 120_000;

let deployment: Deployment;
let wire: SlowWire;
let faults: Faults;
let apis: readonly [ServerProcess, ServerProcess];
let worker: ServerProcess;
beforeAll(async () => {
  deployment = await startDeployment({
    RUN_LEASE_SECONDS: String(LEASE_SECONDS),
    LEDGER_SCAN_SECONDS: '1',
    LEDGER_SCAN_IDLE_SECONDS: '1',
    // A correction whose COMMIT is held waits while all others are sent and delivered.
    REQUEST_TIMEOUT_MS: '240000',
    STATEMENT_TIMEOUT_MS: '240000',
  });
  faults = createFaults(deployment.s3);
  wire = await startSlowWire(deployment.database.url);
  const through = { ROLE: 'api', DATABASE_URL: wire.urlFor(deployment.database.serverUrl) };
  apis = [await deployment.startServer(through), await deployment.startServer({ ROLE: 'api' })];
  worker = await startWorker();
});
afterAll(async () => {
  await wire?.close();
  await deployment?.close();
});

const startWorker = (): Promise<ServerProcess> => deployment.startServer({ ROLE: 'worker' });

interface Revised extends Manifest {
  readonly revision: number;
  readonly supersedes: { readonly revision: number } | null;
}

/** A job whose window is delivered, with revision 1 unless its folder has a fault. */
async function createDeliveredJob(stream: string, settings: Settings = {}): Promise<{ jobId: string; runId: string }> {
  const [api] = apis;
  await add(api, stream, ['acme']);
  const jobId = await createJob(api, {
    jobName: stream,
    s3Url: `exports/${stream}`,
    format: 'NDJSON',
    range: 'ago(1d)',
    meterApiNames: [stream],
    groupBy: ['element'],
    restateAfter: 'ago(1m)',
    restateWithin: 'ago(36500d)',
    enabled: true,
    cron: '0 1 1 1 *',
    ...settings,
  });
  // The least time of the API is a minute.
  await querySql(api, 'UPDATE jobs SET settle_seconds = 0 WHERE id = $1', [innerId(jobId)]);
  return { jobId, runId: await runJob(api, jobId, SLOT) };
}

/** Adds 1 to each of the elements in one operation. */
async function add(server: ServerProcess, stream: string, elements: readonly string[]): Promise<void> {
  const records = elements.map((elementName) => ({
    timestamp: BUCKET,
    granularity: 'HOURLY',
    elementName,
    value: '1',
  }));
  const { answer } = await server.graphql<{ answer: { __typename: string } }>(
    'mutation ($input: AllocationInput!) { answer: allocationSum(input: $input) { __typename } }',
    { input: { stream, records } },
  );
  expect(answer.__typename).toBe('AllocationReceipt');
}

/** Complete manifests of the only window of a job, in the order in which they were stored. */
function revisionsOf(stream: string): Revised[] {
  return deployment.s3.puts
    .filter(({ key }) => key.startsWith(`${stream}/`) && key.endsWith('.manifest.json'))
    .map(({ body }) => JSON.parse(body.toString()) as Revised)
    .filter(({ state }) => state === 'complete');
}

/** Waits for a revision, and returns the elements that the window has then. */
async function elementsOf(stream: string, revision: number, deadlineMs?: number): Promise<string[]> {
  await eventually(
    () => Promise.resolve(revisionsOf(stream).at(-1)?.revision ?? 0),
    (newest) => newest >= revision,
    deadlineMs,
  );
  const [object] = revisionsOf(stream).at(-1)?.objects ?? [];
  const text = deployment.s3.object('exports', object?.key ?? '')?.body.toString() ?? '';
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { element: string }).element);
}

/** Holds the COMMIT of the transaction that writes a record of this element. */
function holdCommitOf(element: string): { readonly held: Promise<void>; release(): void } {
  const held = createGate();
  const released = createGate();
  const writing = new WeakSet<object>();
  wire.setHook(({ sql, parameters, connection }) => {
    if (parameters.includes(element)) writing.add(connection);
    if (!writing.has(connection) || !/^commit/i.test(sql)) return undefined;
    writing.delete(connection);
    held.open();
    return released.opened;
  });
  return { held: held.opened, release: () => released.open() };
}

test('correction that commits after the watermark of a run and before its end > is in the next revision', async () => {
  const gate = createGate();
  let puts = 0;
  faults.on('watermark/', () => ((puts += 1) === 1 ? { hold: gate.opened } : undefined));
  await createDeliveredJob('watermark');
  await eventually(
    () => Promise.resolve(puts),
    (count) => count > 0,
  );
  await add(apis[0], 'watermark', ['hooli']);
  // The scan must have found it before the run ends.
  await eventually(
    () =>
      querySql<{ at: Date | null }>(
        deployment,
        `SELECT touched_at AS at FROM deliveries WHERE manifest_key LIKE 'watermark/%'`,
      ),
    ([delivery]) => delivery?.at != null,
  );
  gate.open();
  expect(await elementsOf('watermark', 1)).toEqual(['acme']);
  expect(await elementsOf('watermark', 2)).toEqual(['acme', 'hooli']);
  expect(revisionsOf('watermark').map(({ revision }) => revision)).toEqual([1, 2]);
});

test('correction with a lower transaction id that commits last > is delivered after the one that commits first', async () => {
  await createDeliveredJob('lower');
  await elementsOf('lower', 1);
  const { held, release } = holdCommitOf('initech');
  const low = add(apis[0], 'lower', ['initech']);
  await held;
  await add(apis[1], 'lower', ['hooli']);
  expect(await elementsOf('lower', 2)).toEqual(['acme', 'hooli']);
  release();
  await low;
  expect(await elementsOf('lower', 3)).toEqual(['acme', 'hooli', 'initech']);
});

test(`correction with a lower transaction id than ${MANY} of one scan > is delivered after them`, async () => {
  await createDeliveredJob('many');
  await elementsOf('many', 1);
  const { held, release } = holdCommitOf('initech');
  const low = add(apis[0], 'many', ['initech']);
  await held;
  // So that one scan finds all of them.
  worker.process.kill('SIGKILL');
  await worker.process.ended;
  for (let sent = 0; sent < MANY; sent += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, index) => add(apis[1], 'many', [`e${sent + index}`])));
  }
  worker = await startWorker();
  expect(await elementsOf('many', 2, SCAN_DEADLINE_MS)).toHaveLength(MANY + 1);
  const summaries = await querySql(deployment, 'SELECT 1 FROM corrections WHERE operation_id < 0');
  expect(summaries.length).toBeGreaterThan(0);
  release();
  await low;
  expect(await elementsOf('many', 3)).toContain('initech');
});

test('revision whose worker is killed between object and manifest > is completed by another with the same number and bytes', async () => {
  await createDeliveredJob('killed');
  await elementsOf('killed', 1);
  const caught = createGate();
  let manifests = 0;
  faults.on('killed/', ({ key }) => {
    if (!key.endsWith('.manifest.json') || (manifests += 1) !== 2) return undefined;
    caught.open();
    return 'hang';
  });
  const before = deployment.s3.puts.length;
  await add(apis[0], 'killed', ['hooli']);
  await caught.opened;
  worker.process.kill('SIGKILL');
  const killedAt = performance.now();
  worker = await startWorker();
  expect(await elementsOf('killed', 2, 60_000)).toEqual(['acme', 'hooli']);
  const seconds = (performance.now() - killedAt) / 1000;
  expect(seconds).toBeLessThan(LEASE_SECONDS + 30);
  expect(revisionsOf('killed').map(({ revision }) => revision)).toEqual([1, 2]);
  const objects = deployment.s3.puts.slice(before).filter(({ key }) => /^killed\/.*\.ndjson$/.test(key));
  expect(objects.map(({ body }) => body.toString())).toEqual(
    Array.from({ length: 2 }, () => objects[0]?.body.toString()),
  );
  await tally({
    scenario: 9,
    done: `a correction after the watermark of a run, two that commit after later ones, one of them after ${counted(MANY, 'others')}; the worker of a revision killed before its manifest`,
    tried: `4 windows; the killed revision completed after ${seconds.toFixed(1)} s`,
    lost: 0,
    twice: 0,
  });
});
