import { z } from 'zod';
import { declareAndRelease } from '../../runs/release-runs.ts';
import { parseInput } from '../../validation/zod-issues.ts';
import { parameterOf, type Route } from '../route.ts';
import { timestamp } from '../schemas/records.ts';
import { accepted, readTarget, STREAM, STREAM_BUSY, success, write } from './telemetry-routes.ts';

// Declarations of completeness. CloudZero's API has no counterpart.

const declarationSchema = z.strictObject({
  through: timestamp.meta({
    description:
      'Date and time in ISO 8601, in any spelling that a record may have: every record of every bucket that ends at or before it was sent and acknowledged. An instant: moved back to the start of a bucket, which for DAILY and MONTHLY streams is midnight UTC.',
  }),
});

export const declarationRoutes: readonly Route[] = [
  {
    ...write,
    path: `${STREAM}/complete`,
    operationId: 'declareComplete',
    summary: 'Declare a stream complete through an instant',
    description:
      'Runs of jobs with completeWithin wait for it. Late records are still accepted. A declaration before an earlier one has no effect. If the stream does not exist, the response is 400 with the code NOT_FOUND.',
    body: {
      required: true,
      description: 'The instant.',
      content: { 'application/json': { schema: declarationSchema, example: { through: '2026-01-26T00:00:00Z' } } },
    },
    success: { ...success, description: 'The declaration is stored durably.' },
    failures: { 409: write.failures[409], 503: STREAM_BUSY },
    handle: async (call) => {
      const input = parseInput(declarationSchema, (await call.readJson()) ?? {});
      const target = { ...readTarget(call), stream: parameterOf(call, 'stream') };
      return {
        body: accepted(await declareAndRelease({ ...call.services, ended: call.ended }, { ...target, ...input })),
      };
    },
  },
];
