import { z } from 'zod';
import { encodeCursor, MAX_PAGE, type Page } from '../db/paging.ts';
import { encodeId, idOf } from '../db/public-ids.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import { checkJob } from '../exports/check.ts';
import type { JobInput } from '../jobs/inputs.ts';
import { type JobRow, listJobs, loadJobs, upcomingSlots } from '../jobs/jobs.ts';
import { createJob, deleteJob, runJob, updateJob } from '../runs/job-changes.ts';
import { listRuns, loadRunObjects, loadRuns, type RunRow } from '../runs/runs.ts';
import { answeredCheck, answeredJob, answeredRun, formatCheck, formatJob, formatRun } from './job-answers.ts';
import {
  checkedJobSchema,
  jobSchema,
  jobWithIdSchema,
  newJobSchema,
  readJob,
  spellJobPath,
  toJobInput,
} from './job-inputs.ts';
import { type Call, parameterOf, type ParameterDocument, type Reply, type Route } from './route.ts';
import { issuesOf } from './shapes.ts';

// Amberflo's paths, and the runs of a job, which are Sluice's own.

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

const jobIdOf = (call: Call): string => idOf('Job', parameterOf(call, 'id'));

const replaceJob = async (call: Call, id: string, body: z.output<typeof jobSchema>): Promise<Reply> => {
  const { services } = call;
  const input = toJobInput(body);
  const job = await spelled(input, updateJob(services, call.principal.accountId, id, body.version ?? null, input));
  return { status: 200, body: answerJob(call, job) };
};

const sizeSchema = z.coerce.number().int().min(1).max(MAX_PAGE).default(MAX_PAGE);

const listParameters: readonly ParameterDocument[] = [
  { name: 'limit', in: 'query', schema: sizeSchema, description: `How many: 1 to ${MAX_PAGE}.` },
  { name: 'after', in: 'query', schema: z.string().optional(), description: 'Out of the Link with rel="next".' },
];

const pageOf = (call: Call): { first: number; after: string | null } => {
  const limit = sizeSchema.safeParse(call.query.get('limit') ?? undefined);
  if (!limit.success) {
    const message = `Must be a whole number from 1 to ${MAX_PAGE}.`;
    throw new ValidationError([{ path: ['limit'], code: 'BAD_VALUE', message }]);
  }
  return { first: limit.data, after: call.query.get('after') };
};

/** The address of the page behind this one, as a header. */
const linkToNext = <Row extends { createdAt: Date; id: string }>(
  path: string,
  { first }: { first: number },
  { rows, hasNextPage }: Page<Row>,
): Record<string, string> => {
  const last = rows.at(-1);
  if (!hasNextPage || !last) return {};
  const query = new URLSearchParams({
    limit: String(first),
    after: encodeCursor([last.createdAt.toISOString(), last.id]),
  });
  return { Link: `<${path}?${query}>; rel="next"` };
};

const formatRuns = async (call: Call, runs: readonly RunRow[]) => {
  const objects =
    runs.length === 0
      ? []
      : await loadRunObjects(
          call.services.db,
          runs.map(({ id }) => id),
        );
  const byRun = Map.groupBy(objects, ({ runId }) => runId);
  return runs.map((run) => formatRun(run, byRun.get(run.id) ?? []));
};

const noJob = (): NotFoundError => new NotFoundError('There is no such job.');

const findJob = async (call: Call) => {
  const [job] = await loadJobs(call.services.db, call.principal.accountId, [jobIdOf(call)]);
  if (!job) throw noJob();
  return job;
};

const NEXT = { Link: 'Where there are more: the address of the next page, rel="next".' };
const REFUSED = { 409: 'The name is taken, the destination is, or the version is stale.' };
const MISSING = { 404: 'There is no such thing in the account.' };

const jsonBody = (schema: z.ZodType, required = true) => ({
  required,
  description: 'Unknown fields are refused by name.',
  content: { 'application/json': { schema } },
});

const manualRunSchema = z
  .strictObject({
    scheduledFor: z
      .string()
      .nullish()
      .meta({ description: 'RFC 3339: the slot that the window is reckoned from. Left out: now.' }),
  })
  .meta({ id: 'ManualRun' });

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
      const asked = pageOf(call);
      const page = await listJobs(call.services.db, call.principal.accountId, asked);
      return {
        status: 200,
        body: page.rows.map((job) => answerJob(call, job)),
        headers: linkToNext('/jobs', asked, page),
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
  {
    method: 'post',
    path: '/jobs/{id}/run',
    family: 'jobs',
    operationId: 'runJob',
    summary: 'Makes a manual run of a job',
    scope: 'JOBS',
    body: jsonBody(manualRunSchema, false),
    success: { status: 200, description: 'The run, which waits for a worker.', schema: answeredRun },
    failures: MISSING,
    handle: async (call) => {
      const body = manualRunSchema.safeParse((await call.readJson()) ?? {}, { reportInput: true });
      if (!body.success) throw new ValidationError(issuesOf(body.error));
      const slot = body.data.scheduledFor ?? null;
      const started = runJob(call.services, call.principal.accountId, jobIdOf(call), slot);
      const run = await started.catch((error: unknown) => {
        if (!(error instanceof ValidationError)) throw error;
        throw new ValidationError(
          error.issues.map((issue) => ({ ...issue, path: issue.path.slice(1) })),
          error.issueCount,
        );
      });
      return { status: 200, body: formatRun(run, []) };
    },
  },
  {
    method: 'get',
    path: '/jobs/{id}/runs',
    family: 'jobs',
    operationId: 'listRuns',
    summary: 'Runs of a job, newest first',
    scope: 'READ',
    parameters: listParameters,
    success: { status: 200, description: '100 at most.', schema: z.array(answeredRun), headers: NEXT },
    failures: MISSING,
    handle: async (call) => {
      const job = await findJob(call);
      const asked = pageOf(call);
      const page = await listRuns(call.services.db, call.principal.accountId, { ...asked, jobId: job.id });
      return {
        status: 200,
        body: await formatRuns(call, page.rows),
        headers: linkToNext(`/jobs/${encodeId('Job', job.id)}/runs`, asked, page),
      };
    },
  },
  {
    method: 'get',
    path: '/runs/{id}',
    family: 'jobs',
    operationId: 'getRun',
    summary: 'One run',
    scope: 'READ',
    success: { status: 200, description: 'The run.', schema: answeredRun },
    failures: MISSING,
    handle: async (call) => {
      const runs = await loadRuns(call.services.db, call.principal.accountId, [idOf('Run', parameterOf(call, 'id'))]);
      const [run] = await formatRuns(call, runs);
      if (!run) throw new NotFoundError('There is no such run.');
      return { status: 200, body: run };
    },
  },
];
