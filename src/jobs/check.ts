import { sql } from 'drizzle-orm';
import { readAsOfNow } from '../db/as-of.ts';
import type { DimensionValues } from '../db/json-columns.ts';
import { NotFoundError } from '../errors/errors.ts';
import { expandFolder, manifestKey, objectKey, parseDestination } from './destination.ts';
import { assertCanStore, loadJobs } from './jobs.ts';
import { upcomingSlots } from './schedule/upcoming-slots.ts';
import { computeWindow } from './schedule/window.ts';
import { findTooManyRows, type WarningContext } from './read-warnings.ts';
import { assertNoWarnings, findWarnings } from './warnings.ts';
import { type FindRegionProblem, patchSettings } from './settings-schema.ts';
import type { JobSettings } from './settings.ts';
import type { Clock } from '../lib/clock.ts';
import { usageQuery } from '../usage/query.ts';
import { buildUsageSpec } from '../usage/usage.ts';
import { fileFormatOf } from '../exports/formats.ts';
import { buildSampleQuery } from '../exports/copy-statement.ts';

export interface CheckContext extends WarningContext {
  readonly clock: Clock;
  readonly findRegionProblem: FindRegionProblem;
}

/** The window of a slot, with the keys that its run would write as one object. */
export interface WindowPreview {
  readonly scheduledFor: Date;
  readonly windowStart: Date;
  readonly windowEnd: Date;
  readonly objectKeys: readonly string[];
  readonly manifestKey: string;
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
  readonly nextWindows: readonly WindowPreview[];
  readonly objectKeys: readonly string[];
  readonly sample: readonly string[];
  readonly warnings: readonly string[];
}

const SAMPLE_ROWS = 10;
const SHOWN_SLOTS = 5;
const SHOWN_WINDOWS = 3;

/**
 * Validates like createJob, or like updateJob of the job with this id, and previews a run. Stores nothing. If `strict`, throws
 * ValidationError with an issue for each warning.
 */
export async function checkJob(
  { db, clock, findRegionProblem, limits, canMail }: CheckContext,
  accountId: bigint,
  settings: JobSettings,
  id: string | null,
  strict: boolean,
): Promise<JobCheck> {
  const now = clock.now();
  const [existing] = id === null ? [] : await loadJobs(db, accountId, [id]);
  if (id !== null && !existing) throw new NotFoundError('The job does not exist. Check the id.');
  // For its ValidationError only: `settings` has all fields, but its one-off time may have passed only if the job had it before.
  if (existing) patchSettings(existing.settings, settings, { clock, findRegionProblem });
  await assertCanStore(db, accountId, settings, existing ?? null);

  const { window, ...preview } = previewWindow(settings, now);
  const format = fileFormatOf(settings);
  const { spec, tooManyRows, sample } = await readAsOfNow(db, accountId, async (tx, watermark) => {
    const planned = await buildUsageSpec(tx, accountId, settings, window, watermark);
    const exceeded = await findTooManyRows(tx, planned, limits.maxFilledRows);
    const { rows } =
      exceeded === null
        ? await tx.execute<{ line: string }>(sql.raw(buildSampleQuery(planned, format, SAMPLE_ROWS)))
        : { rows: [] };
    return { spec: planned, tooManyRows: exceeded, sample: rows.map(({ line }) => line) };
  });
  const warnings = findWarnings(settings, spec.streams, window, { canMail, tooManyRows });
  if (strict) assertNoWarnings(warnings);
  const query = usageQuery(spec);
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
    nextWindows: upcomingSlots(settings, now, SHOWN_WINDOWS).map((slot) => {
      const { window: next, ...keys } = previewWindow(settings, slot);
      return { scheduledFor: slot, windowStart: next.start, windowEnd: next.end, ...keys };
    }),
    objectKeys: [...preview.objectKeys, preview.manifestKey],
    sample,
    warnings: warnings.map(({ message }) => message),
  };
}

function previewWindow(settings: JobSettings, slot: Date) {
  const window = computeWindow(settings, slot);
  const folder = expandFolder(parseDestination(settings), window.start, settings.timeZone);
  return {
    window,
    objectKeys: [objectKey({ folder, window, ...fileFormatOf(settings) })],
    manifestKey: manifestKey(folder, window),
  };
}
