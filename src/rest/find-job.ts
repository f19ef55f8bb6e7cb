import type { z } from 'zod';
import { parseGlobalId } from '../lib/global-ids.ts';
import { NotFoundError, ValidationError } from '../errors/errors.ts';
import { loadJobs } from '../jobs/jobs.ts';
import { type BodyDocument, type Call, parameterOf } from './route.ts';

// Shared by the routes of jobs and of runs.

export const jobIdOf = (call: Call): string => parseGlobalId('Job', parameterOf(call, 'id'));

export async function findJob(call: Call) {
  const [job] = await loadJobs(call.services.db, call.principal.accountId, [jobIdOf(call)]);
  if (!job) throw new NotFoundError('The job does not exist. Check the id.');
  return job;
}

/** Removes the GraphQL argument "input" from the paths of a ValidationError that the domain throws. */
export function withoutInput<Value>(work: Promise<Value>): Promise<Value> {
  return work.catch((error: unknown) => {
    if (!(error instanceof ValidationError)) throw error;
    const issues = error.issues.map((issue) => ({ ...issue, path: issue.path.slice(1) }));
    throw new ValidationError(issues, error.issueCount);
  });
}

export const MISSING = { 404: 'The account has no object with this id.' };

export function jsonBody(schema: z.ZodType, required = true): BodyDocument {
  return {
    required,
    description: 'Unknown fields are rejected by name.',
    content: { 'application/json': { schema } },
  };
}
