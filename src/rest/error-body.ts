// Pure: the body of an error response.
import { z } from 'zod';
import type { Issue } from '../errors/errors.ts';

export interface Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly issues?: readonly Issue[];
  readonly issueCount?: number;
  readonly errorId?: string;
  /** Set with bucketPolicy by a DestinationError only. */
  readonly reason?: string;
  readonly bucketPolicy?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const errorSchema = z
  .object({
    error: z.object({
      code: z
        .string()
        .meta({ description: 'Machine-readable code, such as VALIDATION_FAILED or IDEMPOTENCY_MISMATCH.' }),
      message: z.string().meta({ description: 'Description of the problem and of what to change.' }),
      issues: z
        .array(z.object({ path: z.array(z.string()), code: z.string(), message: z.string() }))
        .meta({ description: 'Problems of the input. At most the first 100.' }),
      issueCount: z.int().optional().meta({ description: 'Total number of problems.' }),
      errorId: z.string().optional().meta({ description: 'Id under which the log contains the cause.' }),
      reason: z
        .string()
        .optional()
        .meta({ description: 'With DESTINATION_REFUSED: error code that a run would have, such as ACCESS_DENIED.' }),
      bucketPolicy: z
        .string()
        .optional()
        .meta({ description: 'With DESTINATION_REFUSED: bucket policy to attach, as JSON text.' }),
    }),
  })
  .meta({ id: 'Error' });

export function formatError({
  code,
  message,
  issues = [],
  issueCount,
  errorId,
  reason,
  bucketPolicy,
}: Failure): z.input<typeof errorSchema> {
  return {
    error: {
      code,
      message,
      issues: issues.map((issue) => ({ path: [...issue.path], code: issue.code, message: issue.message })),
      ...(issueCount !== undefined && { issueCount }),
      ...(errorId !== undefined && { errorId }),
      ...(reason !== undefined && { reason }),
      ...(bucketPolicy !== undefined && { bucketPolicy }),
    },
  };
}
