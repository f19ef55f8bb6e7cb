// Pure: the responses with deliveries and coverage.
import { z } from 'zod';
import { type DeliveryRow, findState, type TimeSpan } from '../../deliveries/delivery.ts';
import type { Coverage } from '../../deliveries/read-deliveries.ts';
import { encodeGlobalId } from '../../lib/global-ids.ts';
import { formatTimestamp } from '../../lib/timestamps.ts';

export const answeredDelivery = z
  .object({
    id: z.string(),
    jobId: z.string(),
    windowStart: z.string(),
    windowEnd: z.string(),
    state: z.enum(['missing', 'current', 'touched', 'stale', 'superseded', 'retired']),
    owedUntil: z.string().meta({ description: 'End of the buckets for which the delivery is responsible.' }),
    revision: z.int().meta({ description: 'Revision in the S3 bucket. 0 if the window was never delivered.' }),
    deliveredAt: z.string().nullable(),
    staleSince: z
      .string()
      .nullable()
      .meta({ description: 'When the oldest correction was found that makes the rows differ from the ledger.' }),
    complete: z
      .boolean()
      .nullable()
      .meta({ description: 'Whether the streams were declared complete for the window. Null if none counts.' }),
    runId: z.string().nullable().meta({ description: 'Run that wrote the revision.' }),
    manifestKey: z.string(),
  })
  .meta({ id: 'Delivery' });

const span = z.object({ from: z.string(), to: z.string() });

export const answeredCoverage = z
  .object({ from: z.string(), to: z.string(), delivered: z.array(span), stale: z.array(span), gaps: z.array(span) })
  .meta({ id: 'DeliveryCoverage' });

/** @param output hash of the current output of the job */
export function formatDelivery(delivery: DeliveryRow, output: Buffer): z.input<typeof answeredDelivery> {
  const state = findState(delivery, output);
  return {
    id: encodeGlobalId('Delivery', delivery.id),
    jobId: encodeGlobalId('Job', delivery.jobId),
    windowStart: formatTimestamp(delivery.windowStart),
    windowEnd: formatTimestamp(delivery.windowEnd),
    state: state.toLowerCase() as Lowercase<typeof state>,
    owedUntil: formatTimestamp(delivery.owedUntil),
    revision: delivery.revision,
    deliveredAt: delivery.deliveredAt && formatTimestamp(delivery.deliveredAt),
    complete: delivery.complete,
    staleSince: delivery.staleSince && formatTimestamp(delivery.staleSince),
    runId: delivery.runId === null ? null : encodeGlobalId('Run', delivery.runId),
    manifestKey: delivery.manifestKey,
  };
}

export function formatCoverage({ from, to, delivered, stale, gaps }: Coverage): z.input<typeof answeredCoverage> {
  return {
    ...formatSpan({ from, to }),
    delivered: delivered.map(formatSpan),
    stale: stale.map(formatSpan),
    gaps: gaps.map(formatSpan),
  };
}

function formatSpan({ from, to }: TimeSpan): { from: string; to: string } {
  return { from: formatTimestamp(from), to: formatTimestamp(to) };
}
