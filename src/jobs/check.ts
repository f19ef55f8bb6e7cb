import { sql } from 'drizzle-orm';
import { readAsOfNow } from '../db/as-of.ts';
import type { Db } from '../db/client.ts';
import type { DimensionValues } from '../db/json-columns.ts';
import { LimitExceededError, NotFoundError } from '../errors/errors.ts';
import { manifestKey, objectKey, parseDestination } from './destination.ts';
import { assertCanStore, loadJobs, upcomingSlots } from './jobs.ts';
import { computeWindow } from './schedule/window.ts';
import { type JobSettings, patchSettings } from './settings.ts';
import type { Clock } from '../lib/clock.ts';
import { isWholeHoursFromUtc } from '../lib/zoned-time.ts';
import type { TimeWindow } from '../usage/buckets.ts';
import { isElement, usageQuery, type UsageStream } from '../usage/query.ts';
import { buildUsageSpec, assertFilledRowsWithinLimit } from '../usage/usage.ts';
import { extensionOf } from '../exports/formats.ts';
import { buildSampleQuery } from '../exports/copy-statement.ts';

export interface CheckContext {
  readonly db: Db;
  readonly clock: Clock;
  readonly maxFilledRows: number;
  readonly canMail: boolean;
}

export interface JobCheck {
  readonly job: JobSettings;
  readonly query: {
    readonly windowStart: Date;
    readonly windowEnd: Date;
    readonly aggregationBucket: JobSettings['aggregationBucket'];
    readonly meterApiNames: readonly string[];
    readonly groupBy: readonly string[];
    readonly filter: readonly DimensionValues[];
    readonly sql: string;
    readonly parameters: readonly (string | null)[];
  };
  readonly nextRuns: readonly Date[];
  readonly objectKeys: readonly string[];
  readonly sample: readonly string[];
  readonly warnings: readonly string[];
}

const SAMPLE_ROWS = 10;
const SHOWN_SLOTS = 5;

/** Validates like createJob, or like updateJob of the job with this id, and previews a run. Stores nothing. */
export async function checkJob(
  { db, clock, maxFilledRows, canMail }: CheckContext,
  accountId: bigint,
  settings: JobSettings,
  id: string | null,
): Promise<JobCheck> {
  const now = clock.now();
  const [existing] = id === null ? [] : await loadJobs(db, accountId, [id]);
  if (id !== null && !existing) throw new NotFoundError('The job does not exist. Check the id.');
  // For its ValidationError only: `settings` has all fields, but its one-off time may have passed only if the job had it before.
  if (existing) patchSettings(existing.settings, settings, clock);
  await assertCanStore(db, accountId, settings, existing ?? null);

  const window = computeWindow(settings, now);
  const extension = extensionOf(settings.format);
  const { spec, warning, sample } = await readAsOfNow(db, accountId, async (tx, watermark) => {
    const planned = await buildUsageSpec(tx, accountId, settings, window, watermark);
    const exceeded = await assertFilledRowsWithinLimit(tx, planned, maxFilledRows).then(
      () => null,
      (error: unknown) => {
        if (error instanceof LimitExceededError) return error.message;
        throw error;
      },
    );
    const { rows } =
      exceeded === null
        ? await tx.execute<{ line: string }>(sql.raw(buildSampleQuery(planned, extension, SAMPLE_ROWS)))
        : { rows: [] };
    return { spec: planned, warning: exceeded, sample: rows.map(({ line }) => line) };
  });
  const query = usageQuery(spec);
  const { path, slug } = parseDestination(settings);
  const compressed = settings.compression === 'GZIP';
  return {
    job: settings,
    query: {
      windowStart: window.start,
      windowEnd: window.end,
      aggregationBucket: settings.aggregationBucket,
      meterApiNames: spec.streams.map((stream) => stream.name),
      groupBy: spec.groupBy,
      filter: settings.filter ?? [],
      sql: query.text,
      parameters: query.parameters,
    },
    nextRuns: upcomingSlots(settings, now, SHOWN_SLOTS),
    objectKeys: [objectKey({ path, slug, window, extension, compressed }), manifestKey({ path, slug, window })],
    sample,
    warnings: [...findWarnings(settings, spec.streams, window, canMail), ...(warning === null ? [] : [warning])],
  };
}

/** Finds settings that are valid but probably not intended. */
function findWarnings(
  settings: JobSettings,
  streams: readonly UsageStream[],
  window: TimeWindow,
  canMail: boolean,
): string[] {
  const warnings: string[] = [];
  const names = new Set(streams.map((stream) => stream.name));
  for (const name of settings.meterApiNames ?? []) {
    if (!names.has(name)) warnings.push(`There is no stream "${name}" yet.`);
  }
  const dimensions = new Set(streams.flatMap((stream) => stream.dimensions));
  const named = [...(settings.groupBy ?? []), ...(settings.filter ?? []).map((entry) => entry.dimension)];
  for (const name of new Set(named)) {
    if (!isElement(name) && !dimensions.has(name)) warnings.push(`None of the streams has the dimension "${name}".`);
  }
  const daily = streams.filter((stream) => stream.granularity !== 'HOURLY');
  if (settings.aggregationBucket === 'HOUR' && daily.length > 0) {
    warnings.push(`The records of ${quote(daily)} are daily or monthly. Each counts in the first hour of its date.`);
  }
  const hourly = streams.filter((stream) => stream.granularity === 'HOURLY');
  if (hourly.length > 0 && !isWholeHoursFromUtc(window.start, window.end, settings.timeZone)) {
    warnings.push(
      `${settings.timeZone} is not whole hours from UTC: each hourly record of ${quote(hourly)} counts in the bucket that contains the start of its hour.`,
    );
  }
  if (settings.email !== null && !canMail) {
    warnings.push('No email will be sent, because SMTP_URL is not set on the server.');
  }
  return warnings;
}

function quote(streams: readonly UsageStream[]): string {
  return (
    streams
      .slice(0, 5)
      .map((stream) => `"${stream.name}"`)
      .join(', ') + (streams.length > 5 ? ' and others' : '')
  );
}
