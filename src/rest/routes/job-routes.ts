import { z } from 'zod';
import { parseGlobalId } from '../../lib/global-ids.ts';
import { checkJob } from '../../jobs/check.ts';
import { type JobRow, listJobs, upcomingSlots } from '../../jobs/jobs.ts';
import { createJob, deleteJob, updateJob } from '../../jobs/commands.ts';
import { findJob, jobIdOf, jsonBody, MISSING, withoutInput } from '../find-job.ts';
import { answeredCheck, answeredJob, formatCheck, formatJob } from '../schemas/job-responses.ts';
import { checkedJobSchema, jobSchema, jobWithIdSchema, newJobSchema, readJob } from '../schemas/job-inputs.ts';
import { buildNextLink, listParameters, NEXT, readPageParameters } from '../pagination.ts';
import type { Call, Reply, Route } from '../route.ts';

// Amberflo's paths.

const SHOWN_SLOTS = 5;

const answerJob = (call: Call, job: JobRow) =>
  formatJob(job, upcomingSlots(job.settings, call.services.clock.now(), SHOWN_SLOTS));

const replaceJob = async (
  call: Call,
  id: string,
  { settings, version }: ReturnType<typeof readJob<typeof jobSchema>>,
): Promise<Reply> => {
  const { services } = call;
  const job = await withoutInput(updateJob(services, call.principal.accountId, id, version ?? null, settings));
  return { status: 200, body: answerJob(call, job) };
};

/** An existing job may keep a one-off time that has passed; whether it has this one is checked when the job is locked. */
const readReplacement = async <Schema extends typeof jobSchema | typeof jobWithIdSchema>(call: Call, schema: Schema) =>
  readJob(schema, await call.readJson(), { clock: call.services.clock, mayHavePassed: () => true });

const REFUSED = { 409: 'The name is taken, the destination is, or the version is stale.' };

const EXAMPLE_JOB = {
  jobName: 'daily-export',
  s3Url: 'my-usage-bucket',
  format: 'csv',
  aggregationBucket: 'day',
  range: 'ago(7d)',
  cron: '0 2 * * *',
};

export const jobRoutes: readonly Route[] = [
  {
    method: 'get',
    path: '/jobs',
    family: 'jobs',
    operationId: 'listJobs',
    summary: 'Jobs, newest first',
    scope: 'READ',
    parameters: listParameters,
    success: { status: 200, description: '100 at most.', schema: z.array(answeredJob), headers: NEXT },
    handle: async (call) => {
      const asked = readPageParameters(call);
      const page = await listJobs(call.services.db, call.principal.accountId, asked);
      return {
        status: 200,
        body: page.rows.map((job) => answerJob(call, job)),
        headers: buildNextLink(asked, page),
      };
    },
  },
  {
    method: 'post',
    path: '/jobs',
    family: 'jobs',
    operationId: 'createJob',
    summary: 'Stores a job',
    description: 'An enabled one with neither cron nor scheduledTimeInSeconds runs once at once.',
    scope: 'JOBS',
    body: {
      ...jsonBody(newJobSchema),
      content: { 'application/json': { schema: newJobSchema, example: EXAMPLE_JOB } },
    },
    success: { status: 201, description: 'The job, its defaults filled in.', schema: answeredJob },
    failures: REFUSED,
    handle: async (call) => {
      const { services } = call;
      const { settings } = readJob(newJobSchema, await call.readJson(), services);
      const job = await createJob(services, call.principal.accountId, settings);
      return { status: 201, body: answerJob(call, job) };
    },
  },
  {
    method: 'put',
    path: '/jobs',
    family: 'jobs',
    operationId: 'replaceJobById',
    summary: 'Replaces the settings of the job whose id stands in the body',
    scope: 'JOBS',
    body: jsonBody(jobWithIdSchema),
    success: { status: 200, description: 'The job as it is now.', schema: answeredJob },
    failures: { ...REFUSED, ...MISSING },
    handle: async (call) => {
      const body = await readReplacement(call, jobWithIdSchema);
      return replaceJob(call, parseGlobalId('Job', body.id), body);
    },
  },
  {
    method: 'post',
    path: '/jobs/check',
    family: 'jobs',
    operationId: 'checkJob',
    summary: 'Validates as a create would, and shows what a run now would do; stores nothing',
    description: 'With an id: as a PUT of that job would be checked.',
    scope: 'JOBS',
    body: jsonBody(checkedJobSchema),
    success: { status: 200, description: 'What was found.', schema: answeredCheck },
    failures: { ...REFUSED, ...MISSING },
    handle: async (call) => {
      const { db, clock, limits, canMail } = call.services;
      const body: unknown = await call.readJson();
      const mayHavePassed = () => typeof body === 'object' && body !== null && 'id' in body && body.id !== null;
      const job = readJob(checkedJobSchema, body, { clock, mayHavePassed });
      const context = { db, clock, canMail, maxFilledRows: limits.maxFilledRows };
      const id = job.id == null ? null : parseGlobalId('Job', job.id);
      const check = await withoutInput(checkJob(context, call.principal.accountId, job.settings, id));
      return { status: 200, body: formatCheck(check) };
    },
  },
  {
    method: 'get',
    path: '/jobs/{id}',
    family: 'jobs',
    operationId: 'getJob',
    summary: 'One job',
    scope: 'READ',
    success: { status: 200, description: 'The job.', schema: answeredJob },
    failures: MISSING,
    handle: async (call) => ({ status: 200, body: answerJob(call, await findJob(call)) }),
  },
  {
    method: 'put',
    path: '/jobs/{id}',
    family: 'jobs',
    operationId: 'replaceJob',
    summary: 'Replaces the settings of a job: what is left out takes its default',
    description: 'Takes effect for slots not yet queued; never starts a run.',
    scope: 'JOBS',
    body: jsonBody(jobSchema),
    success: { status: 200, description: 'The job as it is now.', schema: answeredJob },
    failures: { ...REFUSED, ...MISSING },
    handle: async (call) => replaceJob(call, jobIdOf(call), await readReplacement(call, jobSchema)),
  },
  {
    method: 'delete',
    path: '/jobs/{id}',
    family: 'jobs',
    operationId: 'deleteJob',
    summary: 'Deletes a job: cancels what waits and runs, and keeps the history',
    scope: 'JOBS',
    success: { status: 204, description: 'It is deleted.' },
    failures: MISSING,
    handle: async (call) => {
      await deleteJob(call.services, call.principal.accountId, jobIdOf(call));
      return { status: 204 };
    },
  },
];
