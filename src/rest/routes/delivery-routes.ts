import { z } from 'zod';
import { findCoverageProblem, MAX_COVERAGE_DAYS } from '../../deliveries/delivery.ts';
import { listDeliveries, readCoverage } from '../../deliveries/read-deliveries.ts';
import { type Issue, ValidationError } from '../../errors/errors.ts';
import { hashOutput } from '../../jobs/export-fingerprint.ts';
import { parseTimestamp } from '../../lib/timestamps.ts';
import { findJob, MISSING } from '../find-job.ts';
import { buildLink, listParameters, NEXT, readPageParameters } from '../pagination.ts';
import type { Call, Route } from '../route.ts';
import { readTimestampParameter } from '../timestamp-parameter.ts';
import { answeredCoverage, answeredDelivery, formatCoverage, formatDelivery } from '../schemas/delivery-responses.ts';

// Deliveries of a job. These routes have no counterpart in Amberflo's API.

const SPAN = ['from', 'to'] as const;

function readSpan(call: Call): { readonly from: Date; readonly to: Date } {
  const [from, to] = SPAN.map((name) => parseTimestamp(readTimestampParameter(call.query().get(name) ?? '')));
  const issues = SPAN.flatMap((name, index): Issue[] =>
    [from, to][index] == null
      ? [
          {
            path: [name],
            code: 'BAD_TIMESTAMP',
            message: 'Must be an RFC 3339 timestamp, such as 2026-01-25T00:00:00Z.',
          },
        ]
      : [],
  );
  if (from != null && to != null) {
    const problem = findCoverageProblem(from, to);
    if (problem) issues.push({ path: ['to'], ...problem });
  }
  if (issues.length > 0) throw new ValidationError(issues, issues.length);
  return { from: new Date(from ?? 0), to: new Date(to ?? 0) };
}

export const deliveryRoutes: readonly Route[] = [
  {
    method: 'get',
    path: '/jobs/{id}/deliveries',
    family: 'jobs',
    operationId: 'listDeliveries',
    summary: 'List the deliveries of a job by the end of the window, newest first',
    scope: 'READ',
    parameters: listParameters,
    success: { status: 200, description: 'One page of deliveries.', schema: z.array(answeredDelivery), headers: NEXT },
    failures: MISSING,
    handle: async (call) => {
      const job = await findJob(call);
      const asked = readPageParameters(call);
      const page = await listDeliveries(call.services.db, call.principal.accountId, { ...asked, jobId: job.id });
      const output = hashOutput(job.settings);
      return {
        body: page.rows.map((row) => formatDelivery(row, output)),
        headers: buildLink(asked, page, (row) => [row.windowEnd.toISOString(), row.id]),
      };
    },
  },
  {
    method: 'get',
    path: '/jobs/{id}/coverage',
    family: 'jobs',
    operationId: 'readCoverage',
    summary: 'Get the parts of a span that the S3 bucket has for the current output of a job',
    scope: 'READ',
    parameters: SPAN.map((name) => ({
      name,
      in: 'query',
      schema: z.string(),
      description: `${name === 'from' ? 'Start' : 'End'} of the span, RFC 3339. Maximum ${MAX_COVERAGE_DAYS} days.`,
    })),
    success: { status: 200, description: 'The coverage.', schema: answeredCoverage },
    failures: MISSING,
    handle: async (call) => {
      const { db, clock } = call.services;
      const job = await findJob(call);
      return { body: formatCoverage(await readCoverage(db, job, readSpan(call), clock.now())) };
    },
  },
];
