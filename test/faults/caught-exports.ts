import type { Faults } from '../support/faults.ts';
import { createJob, endedRun, runJob, type RunView, type StepServer } from '../support/job-steps.ts';
import { settingsOf, SLOT } from './parted-exports.ts';

/** The stage of an export at which something happens to its server: the store holds the request of this stage. */
export interface Moment {
  readonly name: string;
  /** Whether a request is the one, by its key. The first that is so counts. */
  isAt(key: string): boolean;
  /** The object is stored when it has happened, and the answer lost; else nothing is stored. */
  readonly stored: boolean;
}

export const isPart =
  (number: number) =>
  (key: string): boolean =>
    key.endsWith(`-${String(number).padStart(5, '0')}.csv`);

export const isManifest = (key: string): boolean => key.endsWith('.manifest.json');

/** Stages of an export of several parts into an empty window. */
export const momentsOf = (parts: number): Moment[] => [
  { name: 'before the first object', isAt: isPart(1), stored: false },
  { name: 'after the first object', isAt: isPart(1), stored: true },
  { name: 'between two objects', isAt: isPart(3), stored: false },
  { name: 'after the last object', isAt: isPart(parts), stored: true },
  { name: 'before the manifest', isAt: isManifest, stored: false },
  { name: 'after the manifest', isAt: isManifest, stored: true },
];

/** Stages of an export that rewrites a window with fewer parts. The manifest is "rewriting" first. */
export const rewritingMomentsOf = (parts: number): Moment[] => [
  { name: 'before the manifest says rewriting', isAt: isManifest, stored: false },
  { name: 'after the manifest says rewriting', isAt: isManifest, stored: true },
  { name: 'between objects that are written again', isAt: isPart(2), stored: true },
  { name: 'at an object that is emptied', isAt: isPart(parts + 1), stored: false },
];

/** A job that writes below a folder of its own. */
export interface CatchableJob {
  readonly jobId: string;
  readonly folder: string;
}

export const createJobs = async (
  server: StepServer,
  stream: string,
  folder: string,
  count: number,
): Promise<CatchableJob[]> => {
  const jobs: CatchableJob[] = [];
  for (let number = 1; number <= count; number += 1) {
    const place = `${folder}/${number}`;
    const jobId = await createJob(server, settingsOf(stream, place.replaceAll('/', ' '), place));
    jobs.push({ jobId, folder: `${place}/` });
  }
  return jobs;
};

/** Runs each of the jobs once, and waits until all have succeeded. */
export const runAll = async (server: StepServer, jobs: readonly CatchableJob[]): Promise<RunView[]> => {
  const runIds: string[] = [];
  for (const { jobId } of jobs) runIds.push(await runJob(server, jobId, SLOT));
  const runs: RunView[] = [];
  for (const runId of runIds) runs.push(await endedRun(server, runId));
  const failed = runs.find(({ status }) => status !== 'SUCCEEDED');
  if (failed) throw new Error(JSON.stringify(failed));
  return runs;
};

/**
 * Runs the first job up to the first stage, and so on; resolves with the ids of the runs when each is at its stage. `over`
 * settles when what happens to their server has happened: then what is to be stored is stored.
 */
export const catchExports = async (
  server: StepServer,
  faults: Faults,
  jobs: readonly CatchableJob[],
  moments: readonly Moment[],
  over: Promise<void>,
): Promise<string[]> => {
  const standing = moments.map((moment, index) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let asked = 0;
    faults.on(jobs[index]?.folder ?? '', ({ key }) => {
      if (!moment.isAt(key) || (asked += 1) > 1) return undefined;
      resolve();
      return moment.stored ? { hold: over } : 'hang';
    });
    return promise;
  });
  const runIds: string[] = [];
  for (const { jobId } of jobs.slice(0, moments.length)) runIds.push(await runJob(server, jobId, SLOT));
  await Promise.all(standing);
  return runIds;
};
