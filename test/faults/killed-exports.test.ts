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
  momentsOf,
  rewritingMomentsOf,
  runAll,
} from './caught-exports.ts';
import { createChance, inForm } from './chance.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { addToAll, type Difference, differenceOf, leaveOf, PART_BYTES, rowsOf, SLOT, sumOf } from './parted-exports.ts';
import { counted, tally } from './tally.ts';

/** The default in the full form. */
const LEASE_SECONDS = inForm({ short: 10, full: 30 });
/** 45 s with the default lease, which includes the reaper and the start of the next worker. */
const TAKE_OVER_MS = LEASE_SECONDS * 1000 + 15_000;
const ROUNDS = inForm({ short: 1, full: 3 });
const ELEMENTS = 200;
/** Left of them when a window is written again. */
const LEFT = 120;
const [MOMENTS, MOMENTS_AGAIN] = [momentsOf(1).length, rewritingMomentsOf(1).length];
/** Exports that stand nowhere when the server is killed. */
const FREE = 6;

let deployment: Deployment;
let api: ServerProcess;
let faults: Faults;
beforeAll(async () => {
  deployment = await startDeployment({
    RUN_LEASE_SECONDS: String(LEASE_SECONDS),
    EXPORT_PART_BYTES: PART_BYTES,
    EXPORT_CONCURRENCY: '24',
  });
  faults = createFaults(deployment.s3);
  api = await deployment.startServer({ ROLE: 'api' });
});
afterAll(() => deployment.close());

const startWorker = (): Promise<ServerProcess> => deployment.startServer({ ROLE: 'worker' });

/** Waits until each of the runs is in its second attempt, or has ended; answers with the milliseconds that it took each. */
const takeOversOf = async (runIds: readonly string[]): Promise<number[]> => {
  const killedAt = performance.now();
  const times = new Map<string, number>();
  await eventually(
    async () => {
      const taken = await querySql<{ id: string }>(
        api,
        `SELECT id FROM runs WHERE id = ANY($1) AND (attempt > 1 OR status NOT IN ('QUEUED', 'RUNNING'))`,
        [runIds.map(innerId)],
      );
      for (const { id } of taken) if (!times.has(id)) times.set(id, performance.now() - killedAt);
      return times.size;
    },
    (count) => count === runIds.length,
    TAKE_OVER_MS + 30_000,
  );
  return [...times.values()];
};

test('export whose server is killed at any time > is taken over in time and is complete, with the figures of its objects and the rows that were sent', async () => {
  const chance = createChance('killed exports');
  const differences: Difference[] = [];
  const takeOvers: number[] = [];
  let atMoments = 0;
  let victim = await startWorker();
  await addToAll(api, 'free', ELEMENTS, 1);
  for (let round = 1; round <= ROUNDS; round += 1) {
    const [first, again] = [`first-${round}`, `again-${round}`];
    await addToAll(api, first, ELEMENTS, round);
    await addToAll(api, again, ELEMENTS, round);
    const [sample, ...firstJobs] = await createJobs(api, first, `killed/first-${round}`, 1 + MOMENTS);
    const [sampleAgain, ...againJobs] = await createJobs(api, again, `killed/again-${round}`, 1 + MOMENTS_AGAIN);
    const freeJobs = await createJobs(api, 'free', `killed/free-${round}`, FREE);
    for (const { folder } of freeJobs) faults.on(folder, () => ({ hold: delay(chance.between(20, 150)) }));
    // The windows of `again` contained more before.
    await runAll(api, againJobs);
    await leaveOf(api, again, ELEMENTS, LEFT);
    const [one, oneAgain] = await runAll(api, [sample, sampleAgain] as CatchableJob[]);
    const moments = momentsOf(one?.objects.length ?? 0);
    const momentsAgain = rewritingMomentsOf(oneAgain?.objects.length ?? 0);

    const killed = createGate();
    const runIds = await Promise.all([
      catchExports(api, faults, firstJobs, moments, killed.opened),
      catchExports(api, faults, againJobs, momentsAgain, killed.opened),
    ]);
    const caught = runIds.flat();
    atMoments += caught.length;
    // Since their watermark is fixed, none of it is theirs.
    await addToAll(api, first, ELEMENTS, 1);
    await addToAll(api, again, ELEMENTS, 1);
    const heir = await startWorker();
    const free: string[] = [];
    for (const { jobId } of freeJobs) free.push(await runJob(api, jobId, SLOT));
    await delay(chance.between(0, 800));
    victim.process.kill('SIGKILL');
    await victim.process.ended;
    killed.open();

    const times = await takeOversOf(caught);
    takeOvers.push(...times);
    for (const id of caught) {
      const run = await endedRun(api, id, 60_000);
      expect(run.attempt).toBe(2);
      const wanted = runIds[0]?.includes(id) ? rowsOf(first, ELEMENTS, round) : rowsOf(again, LEFT, round);
      differences.push(differenceOf(api, run, wanted));
    }
    for (const id of free) {
      differences.push(differenceOf(api, await endedRun(api, id, 60_000), rowsOf('free', ELEMENTS, 1)));
    }
    victim = heir;
  }
  expect(brokenPromises(deployment.s3.puts)).toEqual([]);
  expect(deployment.s3.refusals).toEqual([]);
  expect(Math.max(...takeOvers)).toBeLessThan(TAKE_OVER_MS);
  const slowest = (Math.max(...takeOvers) / 1000).toFixed(1);
  await tally({
    scenario: 3,
    done:
      `a server killed ${ROUNDS === 1 ? 'once' : `${ROUNDS} times`} during exports: ${atMoments} at ${MOMENTS + MOMENTS_AGAIN} chosen points, ` +
      `${ROUNDS * FREE} at random; taken over after at most ${slowest} s with a lease of ${LEASE_SECONDS} s`,
    tried: `${counted(differences.length, 'exports')} of several objects`,
    ...sumOf(differences),
  });
}, 600_000);
