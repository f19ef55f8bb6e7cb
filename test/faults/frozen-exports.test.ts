import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import { endedRun, innerId, querySql, runJob } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import {
  type CatchableJob,
  catchExports,
  createJobs,
  isManifest,
  isPart,
  momentsOf,
  rewritingMomentsOf,
  runAll,
} from './caught-exports.ts';
import { catchStatement } from './caught-statements.ts';
import { createChance, inForm } from './chance.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { addToAll, type Difference, differenceOf, leaveOf, PART_BYTES, rowsOf, SLOT, sumOf } from './parted-exports.ts';
import { counted, tally } from './tally.ts';

const LEASE_SECONDS = 10;
/** The guarantee for the default lease, which is longer. */
const TAKE_OVER_MS = 45_000;
const ROUNDS = inForm({ short: 1, full: 2 });
const ELEMENTS = 200;
/** Left of them when a window is written again. */
const LEFT = 120;
const [MOMENTS, MOMENTS_AGAIN] = [momentsOf(1).length, rewritingMomentsOf(1).length];
/** Exports that stand nowhere when the server is stopped. */
const FREE = 6;

let deployment: Deployment;
let api: ServerProcess;
let faults: Faults;
beforeAll(async () => {
  deployment = await startDeployment({
    RUN_LEASE_SECONDS: String(LEASE_SECONDS),
    EXPORT_PART_BYTES: PART_BYTES,
    EXPORT_CONCURRENCY: '24',
    SHUTDOWN_GRACE_SECONDS: '1',
  });
  faults = createFaults(deployment.s3);
  api = await deployment.startServer({ ROLE: 'api' });
});
afterAll(() => deployment.close());

const startWorker = (): Promise<ServerProcess> => deployment.startServer({ ROLE: 'worker' });

/** All that the database holds of the runs. */
const storedStateOf = async (runIds: readonly string[]): Promise<unknown> => {
  const ids = [runIds.map(innerId)];
  return [
    await querySql(api, 'SELECT * FROM runs WHERE id = ANY($1) ORDER BY id', ids),
    await querySql(api, 'SELECT * FROM run_objects WHERE run_id = ANY($1) ORDER BY run_id, key', ids),
  ];
};

/** The server may first detect that the put took too long, or that the lease expired. */
const RELEASED = /"msg":"(?:run released|attempt ended)/g;

test('server suspended during exports > writes nothing more when it resumes after another server took them over and rewrote their windows', async () => {
  const chance = createChance('frozen exports');
  const differences: Difference[] = [];
  let [frozen, stalePuts] = [0, 0];
  await addToAll(api, 'free', ELEMENTS, 1);
  const worker = await startWorker();
  for (let round = 1; round <= ROUNDS; round += 1) {
    const [first, again] = [`first-${round}`, `again-${round}`];
    await addToAll(api, first, ELEMENTS, 1);
    await addToAll(api, again, ELEMENTS, 1);
    const [sample, ...firstJobs] = await createJobs(api, first, `frozen/first-${round}`, 1 + MOMENTS);
    const [sampleAgain, ...againJobs] = await createJobs(api, again, `frozen/again-${round}`, 1 + MOMENTS_AGAIN);
    const freeJobs = await createJobs(api, 'free', `frozen/free-${round}`, FREE);
    for (const { folder } of freeJobs) faults.on(folder, () => ({ hold: delay(chance.between(20, 150)) }));
    await runAll(api, againJobs);
    await leaveOf(api, again, ELEMENTS, LEFT);
    const [one, oneAgain] = await runAll(api, [sample, sampleAgain] as CatchableJob[]);

    const stopped = createGate();
    const [ofFirst, ofAgain] = await Promise.all([
      catchExports(api, faults, firstJobs, momentsOf(one?.objects.length ?? 0), stopped.opened),
      catchExports(api, faults, againJobs, rewritingMomentsOf(oneAgain?.objects.length ?? 0), stopped.opened),
    ]);
    const free: string[] = [];
    for (const { jobId } of freeJobs) free.push(await runJob(api, jobId, SLOT));
    const heir = await startWorker();
    await delay(chance.between(0, 300));
    const said = worker.process.stderr.length;
    worker.process.kill('SIGSTOP');
    stopped.open();
    const runIds = [...ofFirst, ...ofAgain, ...free];
    frozen += runIds.length;

    const runs = await Promise.all(runIds.map((id) => endedRun(api, id, (LEASE_SECONDS + 60) * 1000)));
    for (const [index, run] of runs.entries()) {
      const wanted = index < ofFirst.length ? rowsOf(first, ELEMENTS, 1) : rowsOf(again, LEFT, 1);
      differences.push(
        differenceOf(api, run, index < ofFirst.length + ofAgain.length ? wanted : rowsOf('free', ELEMENTS, 1)),
      );
    }
    // The suspended server still has older figures than those that are written from now on.
    await addToAll(api, first, ELEMENTS, 1);
    await addToAll(api, again, LEFT, 1);
    const anew = [...(await runAll(api, firstJobs)), ...(await runAll(api, againJobs))];
    const checkAnew = (): Difference[] =>
      anew.map((run, index) =>
        differenceOf(api, run, index < ofFirst.length ? rowsOf(first, ELEMENTS, 2) : rowsOf(again, LEFT, 2)),
      );
    differences.push(...checkAnew());

    const ids = [...runIds, ...anew.map(({ id }) => id)];
    const [puts, state] = [deployment.s3.puts.length, await storedStateOf(ids)];
    const begun = await querySql<{ count: number }>(
      api,
      'SELECT count(*)::int FROM runs WHERE id = ANY($1) AND attempt > 1',
      [runIds.map(innerId)],
    );
    worker.process.kill('SIGCONT');
    await eventually(
      () => Promise.resolve(worker.process.stderr.slice(said).match(RELEASED)?.length ?? 0),
      (letGo) => letGo >= (begun[0]?.count ?? Infinity),
    );
    stalePuts += deployment.s3.puts.length - puts;
    expect(await storedStateOf(ids)).toEqual(state);
    differences.push(...checkAnew());

    // From then on it is one server among the others.
    await heir.process.destroy();
    const [last] = await createJobs(api, first, `frozen/last-${round}`, 1);
    const [run] = await runAll(api, last ? [last] : []);
    if (run) differences.push(differenceOf(api, run, rowsOf(first, ELEMENTS, 2)));
  }
  await worker.process.destroy();
  expect(stalePuts).toBe(0);
  expect(brokenPromises(deployment.s3.puts)).toEqual([]);
  await tally({
    scenario: 7,
    done:
      `a server suspended ${ROUNDS === 1 ? 'once' : `${ROUNDS} times`} during ${frozen} exports, and resumed after others had ` +
      `taken them over and had rewritten their windows: ${stalePuts} writes of older bytes`,
    tried: `${counted(differences.length, 'exports')} of several objects`,
    ...sumOf(differences),
  });
}, 600_000);

/** How the statements begin that leave together, behind the last object, by which a worker asks whether it may put the manifest. */
const ASKS_FOR_MANIFEST = 'UPDATE run_objects SET written_at';

const QUESTIONS: readonly (readonly [name: string, words: string, isAt: (key: string) => boolean])[] = [
  ['an object', 'INSERT INTO run_objects', isPart(3)],
  ['the manifest', ASKS_FOR_MANIFEST, isManifest],
];

test.each(inForm({ short: [], full: QUESTIONS }))(
  'a server that was stopped between the question whether the run is its own and the put of %s, and hears the answer when it no longer is, does not put it',
  async (name, words, isAt) => {
    const stream = name.replaceAll(' ', '-');
    await addToAll(api, stream, ELEMENTS, 1);
    const [job, sample] = await createJobs(api, stream, stream, 2);
    if (!job || !sample) throw new Error('There are two jobs.');
    const worker = await startWorker();
    const [whole] = await runAll(api, [sample]);
    const gate = createGate();
    // The request before.
    const isBefore = isAt === isManifest ? isPart(whole?.objects.length ?? 0) : isPart(2);
    const [runId = ''] = await catchExports(
      api,
      faults,
      [job],
      [{ name: 'before', isAt: isBefore, stored: true }],
      gate.opened,
    );
    const caught = await catchStatement(deployment.database.url, words, gate.open);
    const said = worker.process.stderr.length;
    worker.process.kill('SIGSTOP');
    const stoppedAt = performance.now();
    await caught.release();

    const heir = await startWorker();
    const taken = await endedRun(api, runId, (LEASE_SECONDS + 60) * 1000);
    expect(taken.attempt).toBe(2);
    // Also if it had an open transaction, which the database ends.
    expect(performance.now() - stoppedAt).toBeLessThan(TAKE_OVER_MS);
    expect(differenceOf(api, taken, rowsOf(stream, ELEMENTS, 1))).toEqual({ lost: 0, twice: 0 });
    await addToAll(api, stream, ELEMENTS, 1);
    const [anew] = await runAll(api, [job]);
    const puts = deployment.s3.puts.length;
    worker.process.kill('SIGCONT');
    await eventually(
      () => Promise.resolve(worker.process.stderr.slice(said).match(RELEASED) ?? []),
      (letGo) => letGo.length > 0,
    );
    expect(deployment.s3.puts.slice(puts).map(({ key }) => key)).toEqual([]);
    if (anew) expect(differenceOf(api, anew, rowsOf(stream, ELEMENTS, 2))).toEqual({ lost: 0, twice: 0 });
    expect(brokenPromises(deployment.s3.puts)).toEqual([]);
    await worker.process.destroy();
    await heir.process.destroy();
  },
  120_000,
);

test('server that receives the confirmation of its lease too late > does not put an object, even before its timers fire', async () => {
  await addToAll(api, 'too-late', ELEMENTS, 1);
  const [job, sample] = await createJobs(api, 'too-late', 'too late', 2);
  if (!job || !sample) throw new Error('There are two jobs.');
  const worker = await deployment.startServer({
    ROLE: 'worker',
    NODE_OPTIONS: `--import=${new URL('jumping-timer.ts', import.meta.url).href}`,
    JUMP_MS: String(LEASE_SECONDS * 1000),
    // So it looks at the time once a second.
    RUN_HEARTBEAT_MS: String((LEASE_SECONDS * 1000) / 5),
  });
  const [whole] = await runAll(api, [sample]);
  const gate = createGate();
  const isLast = isPart(whole?.objects.length ?? 0);
  const moment = { name: 'after the last object', isAt: isLast, stored: true };
  const [runId = ''] = await catchExports(api, faults, [job], [moment], gate.opened);
  const caught = await catchStatement(deployment.database.url, ASKS_FOR_MANIFEST, gate.open);
  const puts = deployment.s3.puts.length;
  const said = worker.process.stderr.length;
  worker.process.kill('SIGUSR2');
  await worker.process.said('jumped');
  await caught.release();
  await eventually(
    () => Promise.resolve(worker.process.stderr.slice(said).match(RELEASED) ?? []),
    (letGo) => letGo.length > 0,
  );
  expect(deployment.s3.puts.slice(puts).map(({ key }) => key)).toEqual([]);
  const run = await endedRun(api, runId, (LEASE_SECONDS + 60) * 1000);
  expect(run.attempt).toBe(2);
  expect(differenceOf(api, run, rowsOf('too-late', ELEMENTS, 1))).toEqual({ lost: 0, twice: 0 });
  await worker.process.destroy();
}, 120_000);
