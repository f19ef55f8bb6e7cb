// Pure: how the commands show a job, its settings and their changes.
import { isDeepStrictEqual } from 'node:util';
import { jobFields } from '../jobs/settings.ts';
import { formatInZone } from '../lib/zoned-time.ts';
import { formatFields } from './output/print-list.ts';

const SETTINGS = Object.keys(jobFields);

const SELECTIONS: Readonly<Record<string, string>> = {
  filter: 'filter { dimension values }',
  rescaleFunction: 'rescaleFunction { function coefficient }',
};

/** The settings of a job, as fields of a GraphQL query. */
const SETTING_FIELDS = SETTINGS.map((field) => SELECTIONS[field] ?? field).join(' ');

/** Everything that the commands show of a job, as fields of a GraphQL query. */
export const JOB_FIELDS = `id version createdAt updatedAt ${SETTING_FIELDS} nextRuns(first: 3) warnings
  runs(first: 1) { edges { node { id status scheduledFor } } }`;

type Settings = Readonly<Record<string, unknown>>;

interface LastRun {
  readonly id: string;
  readonly status: string;
  readonly scheduledFor: string;
}

interface JobBase extends Settings {
  readonly id: string;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly jobName: string;
  readonly s3Url: string;
  readonly enabled: boolean;
  readonly cron: string | null;
  readonly scheduledTimeInSeconds: number | null;
  readonly timeZone: string;
  readonly nextRuns: readonly string[];
  readonly warnings: readonly string[];
}

/** A job as the API returns JOB_FIELDS. */
export interface ReturnedJob extends JobBase {
  readonly runs: { readonly edges: readonly { readonly node: LastRun }[] };
}

/** A job as the commands print it as JSON. */
export interface ShownJob extends JobBase {
  readonly lastRun: LastRun | null;
}

/** Fields of a printed job that are not settings. Files with them can be used to create and edit jobs. */
export const READ_ONLY_FIELDS = ['id', 'createdAt', 'updatedAt', 'nextRuns', 'warnings', 'lastRun'];

export function toShownJob({ runs, ...job }: ReturnedJob): ShownJob {
  return { ...job, lastRun: runs.edges[0]?.node ?? null };
}

export function pickSettingFields(job: Settings): Record<string, unknown> {
  return Object.fromEntries(SETTINGS.map((field) => [field, job[field]]));
}

/** Formats times in the time zone of a job, with its offset. */
export function formatTimes(times: readonly string[], timeZone: string): string {
  return times.map((time) => formatInZone(new Date(time), timeZone)).join(', ');
}

export function formatSchedule({ enabled, cron, scheduledTimeInSeconds, timeZone }: ShownJob): string {
  const schedule =
    cron !== null
      ? `${cron} (${timeZone})`
      : scheduledTimeInSeconds !== null
        ? `once at ${formatInZone(new Date(scheduledTimeInSeconds * 1000), timeZone)}`
        : 'on request';
  return enabled ? schedule : `${schedule}, disabled`;
}

/** Formats the value of a setting in one line. */
export function formatSetting(value: unknown): string {
  if (value === null || value === undefined) return '-';
  if (Array.isArray(value)) return value.map(formatSetting).join(', ');
  if (typeof value !== 'object') return typeof value === 'string' ? value : JSON.stringify(value);
  if ('dimension' in value && 'values' in value) return `${String(value.dimension)}=${formatSetting(value.values)}`;
  return Object.values(value).map(String).join(' ');
}

export function formatJob(job: ShownJob): string {
  const { lastRun } = job;
  return formatFields([
    ['Job', job.jobName],
    ['Id', job.id],
    ['Version', `${job.version}, changed at ${job.updatedAt}`],
    ['Schedule', formatSchedule(job)],
    ['Next runs', formatTimes(job.nextRuns, job.timeZone) || 'none'],
    [
      'Last run',
      lastRun ? `${lastRun.status}, slot ${formatTimes([lastRun.scheduledFor], job.timeZone)}, ${lastRun.id}` : 'none',
    ],
    ...SETTINGS.filter((field) => field !== 'jobName' && job[field] !== null).map((field): [string, string] => [
      field,
      formatSetting(job[field]),
    ]),
  ]);
}

export interface SettingChange {
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Returns the settings that differ. */
export function findChanges(before: Settings, after: Settings): SettingChange[] {
  return SETTINGS.filter((field) => !isEqual(before[field], after[field])).map((field) => ({
    field,
    before: before[field] ?? null,
    after: after[field] ?? null,
  }));
}

/** A setting that two edits of a job are about. */
export interface EditConflict {
  readonly field: string;
  /** The value that both edits are based on; undefined if it is not known. */
  readonly base: unknown;
  readonly stored: unknown;
  readonly wanted: unknown;
}

/**
 * Compares an edit with the job as another edit stored it, which the edit does not know.
 * @param base the job that the edit is based on; null if its settings are not known
 * @returns the settings that either edit changes
 */
export function compareEdits(base: Settings | null, stored: Settings, patch: Settings): EditConflict[] {
  return SETTINGS.flatMap((field) => {
    const isPatched = patch[field] !== undefined;
    const wanted = isPatched ? patch[field] : base?.[field];
    const isTheirs = base !== null && !isEqual(base[field], stored[field]);
    const isOurs = isPatched && !isEqual(patch[field], stored[field]);
    return isTheirs || isOurs ? [{ field, base: base?.[field], stored: stored[field], wanted }] : [];
  });
}

const isEqual = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a ?? null, b ?? null);
