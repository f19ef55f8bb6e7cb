// Pure: two edits of one job, setting by setting.
import { describeSchedule } from '../../ui/schedule-text.ts';
import type { JobSettings } from './job-values.ts';

export type Side = 'theirs' | 'yours';

export interface Difference {
  /** Name of the setting, or `schedule`. */
  readonly name: string;
  readonly label: string;
  readonly before: string;
  readonly theirs: string;
  readonly yours: string;
  /** Both sides changed it. */
  readonly isContested: boolean;
  /** The side that changed it; yours if both did. */
  readonly suggestion: Side;
}

const LABELS: Readonly<Record<keyof JobSettings, string>> = {
  jobName: 'Name',
  description: 'Description',
  enabled: 'Enabled',
  email: 'Notify',
  s3Url: 'Destination',
  region: 'Region',
  bucketOwner: 'Owner of the bucket',
  encryption: 'Encryption',
  kmsKeyId: 'KMS key',
  cron: 'Schedule',
  scheduledTimeInSeconds: 'Schedule',
  timeZone: 'Time zone',
  range: 'Window',
  endTimeOffset: 'End of the window before the slot',
  minimizeFresh: 'Only whole buckets',
  completeWithin: 'Wait for complete streams',
  aggregationBucket: 'Bucket',
  meterApiNames: 'Streams',
  groupBy: 'Group by',
  filter: 'Filter',
  format: 'Format',
  compression: 'Compression',
  csvDelimiter: 'Delimiter',
  csvDialect: 'CSV dialect',
  sparse: 'Leave out buckets without usage',
  rescaleFunction: 'Multiply values by',
  restatement: 'Deliver corrections',
  restateAfter: 'Collect corrections for',
  restateWithin: 'Deliver corrections up to',
};

/** Settings that are one choice. */
const SCHEDULE = ['cron', 'scheduledTimeInSeconds'] as const;

function describe(name: keyof JobSettings, job: JobSettings): string {
  if (name === 'cron') return describeSchedule(job);
  if (name === 'filter') {
    return (job.filter ?? []).map(({ dimension, values }) => `${dimension}: ${values.join(', ')}`).join('; ') || 'none';
  }
  if (name === 'rescaleFunction') return job.rescaleFunction?.coefficient ?? 'none';
  const value = job[name];
  if (value === null || value === '') return 'none';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return Array.isArray(value) ? value.join(', ') : String(value);
}

const namesOf = (name: keyof JobSettings): readonly (keyof JobSettings)[] => (name === 'cron' ? SCHEDULE : [name]);

function isSame(name: keyof JobSettings, one: JobSettings, other: JobSettings): boolean {
  return namesOf(name).every((part) => JSON.stringify(one[part]) === JSON.stringify(other[part]));
}

/** Lists the settings in which two edits of the same version differ. */
export function listDifferences(before: JobSettings, theirs: JobSettings, yours: JobSettings): Difference[] {
  return (Object.keys(LABELS) as (keyof JobSettings)[])
    .filter((name) => name !== 'scheduledTimeInSeconds' && !isSame(name, theirs, yours))
    .map((name) => {
      const isTheirEdit = !isSame(name, before, theirs);
      const isYourEdit = !isSame(name, before, yours);
      return {
        name,
        label: LABELS[name],
        before: describe(name, before),
        theirs: describe(name, theirs),
        yours: describe(name, yours),
        isContested: isTheirEdit && isYourEdit,
        suggestion: isYourEdit ? 'yours' : 'theirs',
      };
    });
}

/** Returns their settings with those that the user chose from the own edit. */
export function mergeSettings(
  theirs: JobSettings,
  yours: JobSettings,
  choices: Readonly<Record<string, Side>>,
): JobSettings {
  const chosen = Object.keys(choices)
    .filter((name) => choices[name] === 'yours')
    .flatMap((name) => namesOf(name as keyof JobSettings));
  return { ...theirs, ...Object.fromEntries(chosen.map((name) => [name, yours[name]])) };
}
