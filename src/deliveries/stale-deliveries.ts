import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import type { DimensionValues } from '../db/json-columns.ts';
import type { CorrectionPreview } from '../streams/preview.ts';
import { ChangeIndex } from './compare-changes.ts';

interface OwedRow extends Record<string, unknown> {
  readonly window_start: string;
  readonly owed_until: string;
  readonly date_start: string;
  readonly date_owed_until: string;
  readonly filter: readonly DimensionValues[] | null;
  readonly deliveries: string;
}

/** Counts the deliveries whose rows agree with the ledger, and that the check would find STALE after the previewed write. */
export async function countStaleDeliveries(
  db: Db,
  { accountId, stream, keys, filters }: CorrectionPreview,
): Promise<number> {
  const [first, last] = [keys[0], keys.at(-1)];
  if (!stream || !first || !last) return 0;
  const isCalendar = stream.granularity !== 'HOURLY';
  const [start, end] = isCalendar
    ? [sql`d.date_start::timestamptz`, sql`d.date_owed_until::timestamptz`]
    : [sql`d.window_start`, sql`d.owed_until`];
  const { rows } = await db.execute<OwedRow>(sql`
    SELECT d.window_start, d.owed_until, d.date_start::text AS date_start, d.date_owed_until::text AS date_owed_until,
      nullif(j.settings -> 'filter', 'null') AS filter, count(*) AS deliveries
    FROM deliveries d JOIN jobs j ON j.account_id = d.account_id AND j.id = d.job_id
    WHERE d.account_id = ${accountId} AND d.revision > 0 AND d.stale_since IS NULL
      AND j.deleted_at IS NULL AND j.output_sha256 = d.output_sha256
      AND (j.settings -> 'meterApiNames' = 'null' OR j.settings -> 'meterApiNames' ? ${stream.name})
      AND ${start} <= ${last.bucketStart.toISOString()}::timestamptz AND ${end} > ${first.bucketStart.toISOString()}::timestamptz
    GROUP BY 1, 2, 3, 4, 5`);
  const changes = new ChangeIndex({
    isCalendar,
    keys: keys.map(({ bucketStart, filterId, element }) => ({ bucket: bucketStart.getTime(), filterId, element })),
    dimensions: new Map(
      [...filters].map(([id, entries]) => [
        id,
        Object.fromEntries(entries.map(({ dimension, values }) => [dimension, values])),
      ]),
    ),
  });
  const concerned = rows.filter((row) =>
    changes.concerns({
      windowStart: new Date(row.window_start),
      owedUntil: new Date(row.owed_until),
      dateStart: row.date_start,
      dateOwedUntil: row.date_owed_until,
      filter: row.filter,
    }),
  );
  return concerned.reduce((count, { deliveries }) => count + Number(deliveries), 0);
}
