import { z } from 'zod';
import { idOf } from '../../db/public-ids.ts';
import { ValidationError } from '../../errors/errors.ts';
import { checkJob } from '../../jobs/check.ts';
import type { JobInput } from '../../jobs/inputs.ts';
import { type JobRow, listJobs, upcomingSlots } from '../../jobs/jobs.ts';
import { createJob, deleteJob, updateJob } from '../../jobs/commands.ts';
import { findJob, jobIdOf, jsonBody, MISSING } from '../find-job.ts';
import { answeredCheck, answeredJob, formatCheck, formatJob } from '../schemas/job-responses.ts';
import {
  checkedJobSchema,
  jobSchema,
  jobWithIdSchema,
  newJobSchema,
  readJob,
  spellJobPath,
  toJobInput,
} from '../schemas/job-inputs.ts';
import { buildNextLink, listParameters, NEXT, readPageParameters } from '../pagination.ts';
import type { Call, Reply, Route } from '../route.ts';

// Amberflo's paths.

/** The paths of what the domain refuses, in the words of this API. */
const spelled = async <Value>(job: JobInput, work: Promise<Value>): Promise<Value> => {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    throw new ValidationError(
      error.issues.map((issue) => ({ ...issue, path: spellJobPath(job, issue.path) })),
      error.issueCount,
    );
  }
};

const SHOWN_SLOTS = 5;

const answerJob = (call: Call, job: JobRow) =>
  formatJob(job, upcomingSlots(job.settings, call.services.clock.now(), SHOWN_SLOTS));

const replaceJob = async (call: Call, id: string, body: z.output<typeof jobSchema>): Promise<Reply> => {
  const { services } = call;
  const input = toJobInput(body);
  const job = await spelled(input, updateJob(services, call.principal.accountId, id, body.version ?? null, input));
  return { status: 200, body: answerJob(call, job) };
};

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
      const input = toJobInput(readJob(newJobSchema, await call.readJson(), services.clock.now()));
      const job = await spelled(input, createJob(services, call.principal.accountId, input));
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
      const body = readJob(jobWithIdSchema, await call.readJson(), call.services.clock.now());
      return replaceJob(call, idOf('Job', body.id), body);
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
      const body = readJob(checkedJobSchema, await call.readJson(), clock.now());
      const input = toJobInput(body);
      const context = { db, clock, canMail, maxFilledRows: limits.maxFilledRows };
      const id = body.id == null ? null : idOf('Job', body.id);
      return {
        status: 200,
        body: formatCheck(await spelled(input, checkJob(context, call.principal.accountId, input, id))),
      };
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
    handle: async (call) =>
      replaceJob(call, jobIdOf(call), readJob(jobSchema, await call.readJson(), call.services.clock.now())),
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
