import { createBackfill } from '../../backfills/commands.ts';
import { NotFoundError } from '../../errors/errors.ts';
import { parseGlobalId } from '../../lib/global-ids.ts';
import { loadBackfills } from '../../runs/backfills/read-backfills.ts';
import { parseInput } from '../../validation/zod-issues.ts';
import { jobIdOf, jsonBody, MISSING, withoutInput } from '../find-job.ts';
import { parameterOf, type Route } from '../route.ts';
import { answeredBackfill, formatBackfill, newBackfillSchema } from '../schemas/backfills.ts';

// Backfills of a job. These routes have no counterpart in Amberflo's API.

export const backfillRoutes: readonly Route[] = [
  {
    method: 'post',
    path: '/jobs/{id}/backfills',
    family: 'jobs',
    operationId: 'createBackfill',
    summary: 'Deliver the windows of a job that lie in a span, one after the other',
    scope: 'JOBS',
    body: jsonBody(newBackfillSchema),
    success: { status: 201, description: 'The backfill. Its first run waits for a worker.', schema: answeredBackfill },
    failures: {
      ...MISSING,
      409: 'The job has a backfill that has not ended, or the S3 bucket belongs to another account of this server.',
    },
    handle: async (call) => {
      const input = parseInput(newBackfillSchema, await call.readJson());
      const { services, principal } = call;
      return {
        body: formatBackfill(await withoutInput(createBackfill(services, principal.accountId, jobIdOf(call), input))),
      };
    },
  },
  {
    method: 'get',
    path: '/backfills/{id}',
    family: 'jobs',
    operationId: 'getBackfill',
    summary: 'Get a backfill',
    scope: 'READ',
    success: { status: 200, description: 'The backfill.', schema: answeredBackfill },
    failures: MISSING,
    handle: async (call) => {
      const id = parseGlobalId('Backfill', parameterOf(call, 'id'));
      const [backfill] = await loadBackfills(call.services.db, call.principal.accountId, [id]);
      if (!backfill) throw new NotFoundError('The backfill does not exist. Check the id.');
      return { body: formatBackfill(backfill) };
    },
  },
];
