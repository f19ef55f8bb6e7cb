// Pure: groups of settings that most jobs leave at their defaults.
import { createValues, type JobValues } from './job-values.ts';

export const GROUPS = [
  { name: 'filter', title: 'Filter', fields: ['filter'] },
  {
    name: 'file',
    title: 'File',
    fields: ['compression', 'csvDelimiter', 'csvDialect', 'sparse', 'coefficient'],
  },
  { name: 'window', title: 'Window', fields: ['endTimeOffset', 'minimizeFresh', 'completeWithin'] },
  { name: 'corrections', title: 'Corrections', fields: ['restatement', 'restateAfter', 'restateWithin'] },
  { name: 'bucket', title: 'Bucket and encryption', fields: ['region', 'bucketOwner', 'encryption', 'kmsKeyId'] },
  { name: 'notice', title: 'Notification and description', fields: ['email', 'description', 'enabled'] },
] as const satisfies readonly {
  readonly name: string;
  readonly title: string;
  readonly fields: readonly (keyof JobValues)[];
}[];

export type GroupName = (typeof GROUPS)[number]['name'];

/** Returns the groups that contain fields, such as those with issues. */
export function findGroups(fields: readonly string[]): GroupName[] {
  return GROUPS.filter((group) =>
    group.fields.some((own) => fields.some((field) => field === own || field.startsWith(`${own}.`))),
  ).map(({ name }) => name);
}

const WORDS: Readonly<Partial<Record<keyof JobValues, (values: JobValues) => string>>> = {
  filter: ({ filter }) => filter.map(({ dimension }) => dimension || 'no dimension').join(', '),
  compression: ({ compression }) => (compression === 'GZIP' ? 'gzip' : 'Zstandard'),
  csvDelimiter: ({ format }) => (format === 'CSV' ? 'semicolons' : ''),
  csvDialect: ({ format }) => (format === 'CSV' ? 'for Excel' : ''),
  sparse: () => 'empty buckets have rows',
  coefficient: ({ coefficient }) => `times ${coefficient}`,
  endTimeOffset: ({ endTimeOffset }) => `ends ${endTimeOffset} before the slot`,
  minimizeFresh: () => 'partial buckets too',
  completeWithin: ({ completeWithin }) => `waits up to ${completeWithin}`,
  restatement: () => 'not delivered again',
  restateAfter: ({ restatement, restateAfter }) => (restatement === 'AUTOMATIC' ? `collected for ${restateAfter}` : ''),
  restateWithin: ({ restatement, restateWithin }) => (restatement === 'AUTOMATIC' ? `up to ${restateWithin}` : ''),
  region: ({ region }) => region,
  bucketOwner: ({ bucketOwner }) => `owner ${bucketOwner}`,
  encryption: ({ encryption }) => (encryption === 'KMS' ? 'KMS' : 'SSE-S3'),
  email: ({ email }) => email,
  description: () => 'described',
  enabled: () => 'disabled',
};

const DEFAULTS = createValues('UTC');

/** Describes the settings of a group that differ from their defaults; `defaults` if none does. */
export function summarize(name: GroupName, values: JobValues): string {
  const fields: readonly (keyof JobValues)[] = GROUPS.find((group) => group.name === name)?.fields ?? [];
  const words = fields
    .filter((field) => JSON.stringify(values[field]) !== JSON.stringify(DEFAULTS[field]))
    .flatMap((field) => WORDS[field]?.(values) || []);
  return words.join(', ') || (name === 'filter' || name === 'notice' ? 'none' : 'defaults');
}
