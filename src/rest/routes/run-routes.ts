import { z } from 'zod';
import { parseGlobalId } from '../../lib/global-ids.ts';
import { NotFoundError } from '../../errors/errors.ts';
import { runJob } from '../../jobs/commands.ts';
import { slotInput } from '../../jobs/run-input.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { listRuns, loadRunObjects, loadRuns, type RunRow } from '../../runs/runs.ts';
import { findJob, jobIdOf, jsonBody, MISSING } from '../find-job.ts';
import { answeredRun, formatRun } from '../schemas/job-responses.ts';
import { buildNextLink, listParameters, NEXT, readPageParameters } from '../pagination.ts';
import { type Call, parameterOf, type Route } from '../route.ts';
import { parseInput } from '../../validation/zod-issues.ts';

// Runs of a job. These routes have no counterpart in Amberflo's API.

async function formatRuns(call: Call, runs: readonly RunRow[]) {
  const ids = runs.map(({ id }) => id);
  const objects = ids.length === 0 ? [] : await loadRunObjects(call.services.db, ids);
  const byRun = Map.groupBy(objects, ({ runId }) => runId);
  const now = call.services.clock.now();
  return runs.map((run) => formatRun(run, byRun.get(run.id) ?? [], now));
}

const answeredTest = z
  .object({ key: z.string().meta({ description: 'Object key that was written. The object can be deleted.' }) })
  .meta({ id: 'DestinationTest' });

const manualRunSchema = (clock: Clock) => z.strictObject({ scheduledFor: slotInput(clock) }).meta({ id: 'ManualRun' });

export const runRoutes: readonly Route[] = [
  {
    method: 'post',
    path: '/jobs/{id}/run',
    family: 'jobs',
    operationId: 'runJob',
    summary: 'Start a run of a job',
    scope: 'JOBS',
    body: jsonBody(manualRunSchema(systemClock), false),
    success: { status: 200, description: 'The run. It waits for a worker.', schema: answeredRun },
    failures: { ...MISSING, 409: 'The S3 bucket belongs to another account of this server.' },
    handle: async (call) => {
      const { scheduledFor } = parseInput(manualRunSchema(call.services.clock), (await call.readJson()) ?? {});
      const run = await runJob(call.services, call.principal.accountId, jobIdOf(call), scheduledFor);
      return { body: formatRun(run, [], call.services.clock.now()) };
    },
  },
  {
    method: 'post',
    path: '/jobs/{id}/test',
    family: 'jobs',
    operationId: 'testDestination',
    summary: 'Test the destination of a job by writing one object, as a run would',
    description:
      'Writes `_sluice-destination-test.json` below the path of the job, with its placeholders replaced for the current window. If the store refuses it, the response is 409 with the error that a run would have and the bucket policy to attach.',
    scope: 'JOBS',
    success: { status: 200, description: 'The key of the object that was written.', schema: answeredTest },
    failures: { ...MISSING, 409: 'The store refused the object, or the S3 bucket belongs to another account.' },
    handle: async (call) => {
      const input = {
        jobId: jobIdOf(call),
        s3Url: null,
        bucketOwner: null,
        region: null,
        encryption: null,
        kmsKeyId: null,
      };
      const { db, destinationTests } = call.services;
      return { body: await destinationTests.run(db, call.principal.accountId, input, call.ended()) };
    },
  },
  {
    method: 'get',
    path: '/jobs/{id}/runs',
    family: 'jobs',
    operationId: 'listRuns',
    summary: 'List the runs of a job, newest first',
    scope: 'READ',
    parameters: listParameters,
    success: { status: 200, description: 'One page of runs.', schema: z.array(answeredRun), headers: NEXT },
    failures: MISSING,
    handle: async (call) => {
      const job = await findJob(call);
      const asked = readPageParameters(call);
      const page = await listRuns(call.services.db, call.principal.accountId, { ...asked, jobId: job.id });
      return {
        body: await formatRuns(call, page.rows),
        headers: buildNextLink(asked, page),
      };
    },
  },
  {
    method: 'get',
    path: '/runs/{id}',
    family: 'jobs',
    operationId: 'getRun',
    summary: 'Get a run',
    scope: 'READ',
    success: { status: 200, description: 'The run.', schema: answeredRun },
    failures: MISSING,
    handle: async (call) => {
      const runs = await loadRuns(call.services.db, call.principal.accountId, [
        parseGlobalId('Run', parameterOf(call, 'id')),
      ]);
      const [run] = await formatRuns(call, runs);
      if (!run) throw new NotFoundError('The run does not exist. Check the id.');
      return { body: run };
    },
  },
];
