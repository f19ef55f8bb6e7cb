// Pure: how the routes tell of a failure.
import { z } from 'zod';
import type { Issue } from '../errors/errors.ts';

export interface Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly issues?: readonly Issue[];
  readonly issueCount?: number;
  readonly errorId?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const errorSchema = z
  .object({
    error: z.object({
      code: z.string().meta({ description: 'For programs, e.g. VALIDATION_FAILED, IDEMPOTENCY_MISMATCH.' }),
      message: z.string().meta({ description: 'For people: what is wrong and what to change.' }),
      issues: z
        .array(z.object({ path: z.array(z.string()), code: z.string(), message: z.string() }))
        .meta({ description: 'The first 100 things that are wrong with the input.' }),
      issueCount: z.int().optional().meta({ description: 'How many there are in all.' }),
      errorId: z.string().optional().meta({ description: 'Stands in the log beside the cause.' }),
    }),
  })
  .meta({ id: 'Error' });

export const formatError = ({
  code,
  message,
  issues = [],
  issueCount,
  errorId,
}: Failure): z.input<typeof errorSchema> => ({
  error: {
    code,
    message,
    issues: issues.map((issue) => ({ path: [...issue.path], code: issue.code, message: issue.message })),
    ...(issueCount !== undefined && { issueCount }),
    ...(errorId !== undefined && { errorId }),
  },
});
