import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  cancelRun,
  createJob,
  deleteJob,
  innerId,
  jobSettings,
  querySql,
  type Result,
  runJob,
  runsOf,
  type Settings,
  tryCreateJob,
  tryUpdateJob,
  updateJob,
} from '../support/job-steps.ts';
import { untilLockWaits } from '../support/lock-waits.ts';
import { withClient } from '../support/postgres-admin.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// After a job moves, its new runs write to the new destination; runs that were queued before still write to the old one. The
// server has no worker, so runs stay QUEUED.

const TAKEN = { __typename: 'ConflictError', code: 'CONFLICT' };

let server: TestServer;
let theirKey: string;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  theirKey = await server.createKey('others', ['JOBS']);
});
afterAll(() => server.stop());

const checkJob = async (settings: Settings, key = theirKey): Promise<Result> => {
  const { checkJob: result } = await server.graphql<{ checkJob: Result }>(
    `mutation ($input: CreateJobInput!) { checkJob(input: $input) { __typename ... on UserError { code message } } }`,
    { input: settings },
    key,
  );
  return result;
};

describe.concurrent('destination that a job left', () => {
  test.each<[string, Settings]>([
    ['by another s3Url', { s3Url: 'other-exports/left' }],
    ['by another name', { jobName: 'Renamed' }],
  ])('%s is free for any account only when the pending runs for it have ended', async (how, move) => {
    const leaving = await createJob(server, { s3Url: 'exports/left', jobName: `Left ${how}` });
    // The name differs, so that only the destination is in conflict.
    const place = { s3Url: 's3://exports/left/', jobName: `LEFT ${how}` };
    const waiting = await runJob(server, leaving);
    await updateJob(server, leaving, move);

    const mine = await tryCreateJob(server, jobSettings(place));
    const theirs = await tryCreateJob(server, jobSettings(place), theirKey);
    expect([mine, theirs]).toMatchObject([TAKEN, TAKEN]);
    // The message is the same for every destination in use and reveals nothing else.
    expect(theirs['message']).toMatch(/^Another job writes to the same S3 bucket/);
    expect(theirs).toEqual(mine);
    expect(await checkJob(jobSettings(place))).toEqual(mine);
    const coming = await createJob(server, { s3Url: 'exports/left/beside', jobName: `Left ${how}` }, theirKey);
    expect(await tryUpdateJob(server, { id: coming, ...place }, theirKey)).toEqual(mine);

    // The job itself can return to the destination and leave it again.
    await updateJob(server, leaving, place);
    await updateJob(server, leaving, { jobName: `Left ${how}`, ...move });
    await cancelRun(server, waiting);
    expect((await checkJob(jobSettings(place)))['__typename']).toBe('JobCheck');
    expect(await tryUpdateJob(server, { id: coming, ...place }, theirKey)).toMatchObject({ __typename: 'Job' });
  });

  test('is free immediately when the pending runs write to another destination or the job was deleted', async () => {
    const [deeper, deleted] = [
      await createJob(server, { s3Url: 'exports/shared/deeper', jobName: 'x' }),
      await createJob(server, { s3Url: 'exports', jobName: 'Shared' }),
    ];
    await runJob(server, deeper);
    await runJob(server, deleted);
    await deleteJob(server, deleted);
    for (const place of [
      { s3Url: 'exports/shared', jobName: 'Deeper' },
      { s3Url: 'exports', jobName: 'Shared' },
    ]) {
      expect(await tryCreateJob(server, jobSettings(place))).toMatchObject({ __typename: 'Job' });
    }
  });
});

test('destination that a job is leaving > is in use for a concurrent createJob when a run is queued', async () => {
  const place = { s3Url: 'exports/moment', jobName: 'Moment' };
  const leaving = await createJob(server, place);
  const runId = await runJob(server, leaving);
  await cancelRun(server, runId);
  const taking = await withClient(server.database.url, async (mover) => {
    // Simulates a run that is queued and an update of its job after that, both not yet committed.
    await mover.query('BEGIN');
    await mover.query(`UPDATE runs SET status = 'QUEUED', finished_at = NULL WHERE id = $1`, [innerId(runId)]);
    await mover.query(`UPDATE jobs SET destination = 'exports/elsewhere' WHERE id = $1`, [innerId(leaving)]);
    const created = tryCreateJob(server, jobSettings(place), theirKey);
    await untilLockWaits(server, 'transactionid', created);
    await mover.query('COMMIT');
    return created;
  });
  expect(taking).toMatchObject(TAKEN);
  expect(await runsOf(server, leaving)).toMatchObject([{ status: 'QUEUED' }]);
});

test('updateJob > does not check for other pending runs when the destination stays', async () => {
  const leaving = await createJob(server, { s3Url: 'exports/stays', jobName: 'Stays' });
  const runId = await runJob(server, leaving);
  await updateJob(server, leaving, { jobName: 'Stays no more' });
  await cancelRun(server, runId);
  const stays = await createJob(server, { s3Url: 'exports/stays', jobName: 'Stays' });
  // An older version of Sluice could leave this state.
  await querySql(server, `UPDATE runs SET status = 'QUEUED', finished_at = NULL WHERE id = $1`, [innerId(runId)]);
  expect(await updateJob(server, stays, { description: 'edited' })).toMatchObject({ version: 2 });
});

test('query for the pending runs of a destination > uses an index', async () => {
  const rows = await withClient(server.database.url, async (client) => {
    await client.query('SET enable_seqscan = off');
    return client.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT 1 FROM runs WHERE (bucket || '/' || regexp_replace(manifest_key, '/[^/]*$', '')) = 'a/b'
       AND status IN ('QUEUED', 'RUNNING')`,
    );
  });
  expect(rows.rows.map((row) => row['QUERY PLAN']).join('\n')).toContain('runs_active_destination');
});
