import { z } from 'zod';
import { parseGlobalId } from '../../lib/global-ids.ts';
import { checkJob } from '../../jobs/check.ts';
import { type JobRow, listJobs } from '../../jobs/jobs.ts';
import { upcomingSlots } from '../../jobs/schedule/upcoming-slots.ts';
import { createJob, deleteJob, updateJob } from '../../jobs/commands.ts';
import type { JobRules } from '../../jobs/settings-schema.ts';
import type { JobPatch } from '../../jobs/settings.ts';
import { findJob, jobIdOf, jsonBody, MISSING, withoutInput } from '../find-job.ts';
import { answeredCheck, answeredJob, formatCheck, formatJob } from '../schemas/job-responses.ts';
import {
  checkedJobSchema,
  jobSchema,
  jobWithIdSchema,
  KEPT_FIELDS,
  newJobSchema,
  readJob,
} from '../schemas/job-inputs.ts';
import { buildNextLink, listParameters, NEXT, readPageParameters } from '../pagination.ts';
import type { Call, Reply, Route } from '../route.ts';

// Amberflo's paths.

const SHOWN_SLOTS = 5;

function answerJob(call: Call, job: JobRow) {
  return formatJob(job, upcomingSlots(job.settings, call.services.clock.now(), SHOWN_SLOTS));
}

function rulesOf({ services: { clock, findRegionProblem } }: Call): JobRules {
  return { clock, findRegionProblem };
}

async function replaceJob(
  call: Call,
  id: string,
  { patch, version = null, strict }: Awaited<ReturnType<typeof readReplacement>>,
): Promise<Reply> {
  const { services } = call;
  const job = await withoutInput(updateJob(services, call.principal.accountId, id, { patch, version, strict }));
  return { body: answerJob(call, job) };
}

/** An existing job may keep a one-off time that has passed. Whether it is this time is checked when the job is locked. */
async function readReplacement<Schema extends typeof jobSchema | typeof jobWithIdSchema>(call: Call, schema: Schema) {
  const body: unknown = await call.readJson();
  const job = readJob(schema, body, { ...rulesOf(call), mayHavePassed: () => true, mayHaveBraces: () => true });
  const absent = KEPT_FIELDS.filter((field) => (body as Record<string, unknown>)[field] === undefined);
  const patch: JobPatch = { ...job.settings, ...Object.fromEntries(absent.map((field) => [field, undefined])) };
  return { ...job, patch };
}

const REFUSED = { 409: 'Another job has the name or the destination, or the version is stale.' };

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
    summary: 'List the jobs, newest first',
    scope: 'READ',
    parameters: listParameters,
    success: { status: 200, description: 'One page of jobs.', schema: z.array(answeredJob), headers: NEXT },
    handle: async (call) => {
      const asked = readPageParameters(call);
      const page = await listJobs(call.services.db, call.principal.accountId, asked);
      return {
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
    summary: 'Create a job',
    description: 'An enabled job with neither cron nor scheduledTimeInSeconds runs once, immediately.',
    scope: 'JOBS',
    body: {
      ...jsonBody(newJobSchema),
      content: { 'application/json': { schema: newJobSchema, example: EXAMPLE_JOB } },
    },
    success: { status: 201, description: 'The job, with all defaults.', schema: answeredJob },
    failures: REFUSED,
    handle: async (call) => {
      const { services } = call;
      const { settings, strict } = readJob(newJobSchema, await call.readJson(), rulesOf(call));
      const job = await withoutInput(createJob(services, call.principal.accountId, settings, strict));
      return { body: answerJob(call, job) };
    },
  },
  {
    method: 'put',
    path: '/jobs',
    family: 'jobs',
    operationId: 'replaceJobById',
    summary: 'Replace the settings of the job whose id is in the body',
    scope: 'JOBS',
    body: jsonBody(jobWithIdSchema),
    success: { status: 200, description: 'The updated job.', schema: answeredJob },
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
    summary: 'Check the settings of a job without storing them',
    description:
      'Validates the settings like a create, or like a replacement of the job with the given id, and returns what a run would do now.',
    scope: 'JOBS',
    body: jsonBody(checkedJobSchema),
    success: { status: 200, description: 'The result of the check.', schema: answeredCheck },
    failures: { ...REFUSED, ...MISSING },
    handle: async (call) => {
      const { services, principal } = call;
      const body: unknown = await call.readJson();
      const isEdit = () => typeof body === 'object' && body !== null && 'id' in body && body.id !== null;
      const job = readJob(checkedJobSchema, body, { ...rulesOf(call), mayHavePassed: isEdit, mayHaveBraces: isEdit });
      const id = job.id == null ? null : parseGlobalId('Job', job.id);
      const check = await withoutInput(checkJob(services, principal.accountId, job.settings, id, job.strict));
      return { body: formatCheck(check) };
    },
  },
  {
    method: 'get',
    path: '/jobs/{id}',
    family: 'jobs',
    operationId: 'getJob',
    summary: 'Get a job',
    scope: 'READ',
    success: { status: 200, description: 'The job.', schema: answeredJob },
    failures: MISSING,
    handle: async (call) => ({ body: answerJob(call, await findJob(call)) }),
  },
  {
    method: 'put',
    path: '/jobs/{id}',
    family: 'jobs',
    operationId: 'replaceJob',
    summary: 'Replace the settings of a job',
    description:
      'Fields that are absent get their defaults, except those that the schema names. Applies to slots that are not yet queued, and never starts a run.',
    scope: 'JOBS',
    body: jsonBody(jobSchema),
    success: { status: 200, description: 'The updated job.', schema: answeredJob },
    failures: { ...REFUSED, ...MISSING },
    handle: async (call) => replaceJob(call, jobIdOf(call), await readReplacement(call, jobSchema)),
  },
  {
    method: 'delete',
    path: '/jobs/{id}',
    family: 'jobs',
    operationId: 'deleteJob',
    summary: 'Delete a job. Cancels its waiting and active runs, and keeps their history',
    scope: 'JOBS',
    success: { status: 204, description: 'The job is deleted.' },
    failures: MISSING,
    handle: async (call) => {
      await deleteJob(call.services, call.principal.accountId, jobIdOf(call));
      return {};
    },
  },
];
