// Pure: the request and the response with a backfill.
import { z } from 'zod';
import { BACKFILL_ORDERS, REPROCESS } from '../../backfills/input.ts';
import { encodeGlobalId } from '../../lib/global-ids.ts';
import { formatTimestamp } from '../../lib/timestamps.ts';
import type { BackfillRow } from '../../runs/backfills/progress.ts';
import { optional } from '../../validation/zod-issues.ts';
import { word } from './shapes.ts';

export const newBackfillSchema = z
  .strictObject({
    from: z.string().meta({ description: 'Start of the span, RFC 3339. Windows that start earlier are left out.' }),
    to: z.string().meta({
      description: 'End of the span, RFC 3339. Windows that end later or have not ended are left out.',
    }),
    order: optional(word(BACKFILL_ORDERS, 'lower'), 'OLDEST_FIRST').meta({
      description: 'Order of the windows. Defaults to oldest_first.',
    }),
    reprocess: optional(word(REPROCESS, 'lower'), 'MISSING').meta({
      description:
        'Windows that get a run: those that were never delivered (missing), also those that are touched, stale or retired (stale), or all. Defaults to missing.',
    }),
  })
  .meta({ id: 'NewBackfill' });

export const answeredBackfill = z
  .object({
    id: z.string(),
    jobId: z.string(),
    from: z.string(),
    to: z.string(),
    order: z.enum(['oldest_first', 'newest_first']),
    reprocess: z.enum(['missing', 'stale', 'all']),
    status: z.enum(['running', 'paused', 'succeeded', 'failed', 'canceled']),
    createdAt: z.string(),
    finishedAt: z.string().nullable(),
    windows: z.int(),
    delivered: z.int(),
    skipped: z.int().meta({ description: 'Number of windows that needed no run when their turn came.' }),
    failed: z.int(),
    rowsWritten: z.int(),
    bytesWritten: z.int(),
    error: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }).nullable(),
  })
  .meta({ id: 'Backfill' });

const lower = <Word extends string>(text: Word): Lowercase<Word> => text.toLowerCase() as Lowercase<Word>;

export function formatBackfill(backfill: BackfillRow): z.input<typeof answeredBackfill> {
  return {
    id: encodeGlobalId('Backfill', backfill.id),
    jobId: encodeGlobalId('Job', backfill.jobId),
    from: formatTimestamp(backfill.spanStart),
    to: formatTimestamp(backfill.spanEnd),
    order: backfill.newestFirst ? 'newest_first' : 'oldest_first',
    reprocess: lower(backfill.reprocess),
    status: lower(backfill.status),
    createdAt: formatTimestamp(backfill.createdAt),
    finishedAt: backfill.finishedAt && formatTimestamp(backfill.finishedAt),
    windows: backfill.windows,
    delivered: backfill.delivered,
    skipped: backfill.skipped,
    failed: backfill.failed,
    rowsWritten: backfill.rows,
    bytesWritten: backfill.bytes,
    error: backfill.error,
  };
}
