import type { Db } from '../db/client.ts';
import type { JobSettings } from '../db/json-columns.ts';
import { bucketsOf, type TimeWindow } from '../usage/buckets.ts';
import type { UsageSpec } from '../usage/query.ts';
import { resolveStreams } from '../usage/usage.ts';

/** What a run of these settings reads for a window, as of a watermark: the same for the export and for its preview. */
export const exportSpec = async (
  db: Db,
  accountId: bigint,
  settings: JobSettings,
  window: TimeWindow,
  watermark: string,
): Promise<UsageSpec> => ({
  accountId,
  watermark,
  streams: await resolveStreams(db, accountId, settings.meterApiNames, watermark),
  buckets: bucketsOf(window, settings.aggregationBucket, settings.timeZone),
  timeZone: settings.timeZone,
  groupBy: settings.groupBy ?? [],
  filter: settings.filter ?? [],
  sparse: settings.sparse,
  coefficient: settings.rescaleFunction?.coefficient ?? null,
});
