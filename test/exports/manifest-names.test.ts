import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUN_QUEUE } from '../../src/db/queue.ts';
import { claimRun } from '../../src/runs/claim.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  deleteJob,
  endedRun,
  endedRunsOf,
  innerId,
  querySql,
  readRun,
  runJob,
  runsOf,
  updateJob,
} from '../support/job-steps.ts';
import { putManifest } from '../support/restatement-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// Versions before the underscore named the manifest of a window `<start>_<end>.manifest.json`. Their state is created here with
// SQL and a put, because this version does not write that name.

const SLOT = '2026-01-28T02:00:00Z';
const STEM = '20260121T000000Z_20260128T000000Z';
const [FORMER, CURRENT] = [`${STEM}.manifest.json`, `_${STEM}.manifest.json`];

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer();
  faults = createFaults(server.s3);
  await addRecords(server, 's', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'customer', value: '1' }]);
});
afterAll(async () => {
  try {
    expect(brokenPromises(server.s3.puts)).toEqual([]);
  } finally {
    await server.stop();
  }
});

const rename = (jobId: string, where = 'true'): Promise<unknown[]> =>
  querySql(server, `UPDATE runs SET manifest_key = replace(manifest_key, '/_', '/') WHERE job_id = $1 AND ${where}`, [
    innerId(jobId),
  ]);
const namesOf = async (jobId: string): Promise<string[]> => {
  const rows = await querySql<{ name: string }>(
    server,
    `SELECT regexp_replace(manifest_key, '.*/', '') AS name FROM runs WHERE job_id = $1 ORDER BY id`,
    [innerId(jobId)],
  );
  return rows.map(({ name }) => name);
};
let jobs = 0;
/** Creates a job whose window was delivered, compressed, under the former name. */
async function deliverAsBefore(): Promise<{ jobId: string; folder: string; puts: () => string[] }> {
  const folder = `former/names-${(jobs += 1)}`;
  const jobId = await createJob(server, { s3Url: 'exports/former', jobName: `Names ${jobs}`, compression: 'GZIP' });
  await endedRun(server, await runJob(server, jobId, SLOT));
  const complete = server.s3.object('exports', `${folder}/${CURRENT}`)?.body ?? Buffer.alloc(0);
  await putManifest(server, `${folder}/${FORMER}`, complete);
  // An underscore manifest of an attempt that ended before the move; a window that no run rewrote has none.
  await putManifest(server, `${folder}/${CURRENT}`, Buffer.from('{"state": "rewriting"}'));
  await rename(jobId);
  await updateJob(server, jobId, { compression: 'NONE' });
  const before = server.s3.puts.length;
  return { jobId, folder, puts: () => namesWithStates(folder, before) };
}

/** Names of the puts below the folder in order, with the states of manifests. */
function namesWithStates(folder: string, before: number): string[] {
  return server.s3.puts
    .slice(before)
    .filter(({ key }) => key.startsWith(`${folder}/`))
    .map(({ key, body }) => {
      const name = key.slice(folder.length + 1);
      return name.endsWith('.manifest.json')
        ? `${name} ${(JSON.parse(body.toString()) as { state: string }).state}`
        : name;
    });
}

describe('window that was delivered under the former name of its manifest', () => {
  test('moves to the name with an underscore when it runs again', async () => {
    const { jobId, folder, puts } = await deliverAsBefore();
    const again = await endedRun(server, await runJob(server, jobId, SLOT));
    expect(again).toMatchObject({ status: 'SUCCEEDED', manifestKey: `${folder}/${CURRENT}` });
    const written = [
      `${CURRENT} rewriting`,
      `${FORMER} moved`,
      `${STEM}.csv`,
      // The object of the former run, emptied.
      `${STEM}.csv.gz`,
      `${CURRENT} complete`,
    ];
    expect(puts()).toEqual(written);
    const moved: unknown = JSON.parse(server.s3.object('exports', `${folder}/${FORMER}`)?.body.toString() ?? '');
    expect(moved).toMatchObject({ version: 1, state: 'moved', manifestKey: `${folder}/${CURRENT}` });
    expect(moved).not.toHaveProperty('objects');
    expect(again.objects.map(({ rows }) => rows)).toEqual([1, 0]);
    expect(await namesOf(jobId)).toEqual([CURRENT, CURRENT]);

    // It moves once.
    await endedRun(server, await runJob(server, jobId, SLOT));
    expect(puts().slice(written.length)).toEqual([
      `${CURRENT} rewriting`,
      `${STEM}.csv`,
      `${STEM}.csv.gz`,
      `${CURRENT} complete`,
    ]);
  });

  test.each([1, 2, 3, 4, 5])('is correct when the attempt fails at put %i', async (failing) => {
    const { jobId, folder, puts } = await deliverAsBefore();
    let asked = 0;
    let namesAtFailure: Promise<string[]> | undefined;
    faults.on(`${folder}/`, () => {
      if ((asked += 1) !== failing) return undefined;
      namesAtFailure = namesOf(jobId);
      return { status: 403, code: 'AccessDenied' };
    });
    const failed = await endedRun(server, await runJob(server, jobId, SLOT));
    expect(failed.status).toBe('FAILED');
    // The runs have the name whose manifest is in force: that of an older server would be right if it took over now.
    const names = await namesAtFailure;
    expect(new Set(names)).toEqual(new Set([failing <= 2 ? FORMER : CURRENT]));
    const states = puts();
    const moved = states.includes(`${FORMER} moved`);
    expect(moved).toBe(failing > 2);
    expect(states.some((name) => name.startsWith(`${STEM}.csv`)) && !moved).toBe(false);

    const again = await endedRun(server, await runJob(server, jobId, SLOT));
    expect(again).toMatchObject({ status: 'SUCCEEDED', manifestKey: `${folder}/${CURRENT}` });
    expect(again.objects.map(({ key }) => key)).toEqual([`${folder}/${STEM}.csv`, `${folder}/${STEM}.csv.gz`]);
    expect(puts().at(-1)).toBe(`${CURRENT} complete`);
    expect(puts().findLast((name) => name.startsWith(FORMER))).toBe(`${FORMER} moved`);
    expect(new Set(await namesOf(jobId))).toEqual(new Set([CURRENT]));
  });

  test('moves when the run that wrote it is taken over before its end was stored', async () => {
    const { jobId, puts } = await deliverAsBefore();
    await querySql(server, `UPDATE runs SET status = 'QUEUED', finished_at = NULL WHERE job_id = $1`, [innerId(jobId)]);
    await server.resources.queue.send(RUN_QUEUE, { jobId: innerId(jobId) });
    expect(await endedRunsOf(server, jobId, 1)).toMatchObject([{ status: 'SUCCEEDED', attempt: 2 }]);
    expect(puts()).toEqual([`${CURRENT} rewriting`, `${FORMER} moved`, `${STEM}.csv.gz`, `${CURRENT} complete`]);
  });

  test('is not written by two workers when jobs claim it under different names', async () => {
    const { jobId, folder } = await deliverAsBefore();
    const db = server.resources.database.acrossAccounts;
    await querySql(
      server,
      `UPDATE runs SET lease_token = gen_random_uuid(), lease_until = now() + interval '1 h' WHERE job_id = $1`,
      [innerId(jobId)],
    );
    await deleteJob(server, jobId);
    const next = await createJob(server, { s3Url: 'exports/former', jobName: folder.slice('former/'.length) });
    const id = await runJob(server, next, SLOT);
    expect(await claimRun(db, innerId(next), 1000)).toHaveProperty('pausedUntil');
    expect((await readRun(server, id)).status).toBe('QUEUED');
    await querySql(server, `UPDATE runs SET lease_token = NULL, lease_until = NULL WHERE job_id = $1`, [
      innerId(jobId),
    ]);
    expect(await endedRun(server, id)).toMatchObject({ status: 'SUCCEEDED' });
    expect(await namesOf(jobId)).toEqual([CURRENT]);
  });
});

test('run that an older server queued > has the name with an underscore when it ends', async () => {
  const api = await startTestServer({ env: { ROLE: 'api' } });
  let worker: TestServer | undefined;
  try {
    const never = await createJob(api, { s3Url: 'exports/queued', jobName: 'Never written' });
    const between = await createJob(api, { s3Url: 'exports/queued', jobName: 'Between' });
    const last = [
      await runJob(api, never, SLOT),
      await runJob(api, between, SLOT),
      await runJob(api, between, SLOT),
    ][2];
    // The second run of the window was queued by an older server, after the first one and before the third.
    await querySql(api, `UPDATE runs SET manifest_key = replace(manifest_key, '/_', '/') WHERE id <> $1`, [
      innerId(await runJob(api, between, SLOT)),
    ]);
    worker = await startTestServer({ database: api.database, s3: api.s3, env: { ROLE: 'worker' } });
    expect(await endedRun(api, last ?? '')).toMatchObject({ status: 'SUCCEEDED' });
    for (const [jobId, folder, count] of [
      [never, 'queued/never-written', 1],
      [between, 'queued/between', 3],
    ] as const) {
      await endedRunsOf(api, jobId, count);
      expect(new Set((await runsOf(api, jobId)).map(({ manifestKey }) => manifestKey))).toEqual(
        new Set([`${folder}/${CURRENT}`]),
      );
      expect(api.s3.object('exports', `${folder}/${FORMER}`)).toBeUndefined();
    }
    expect(brokenPromises(api.s3.puts)).toEqual([]);
  } finally {
    await worker?.stop();
    await api.stop();
  }
});
