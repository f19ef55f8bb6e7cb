import type { InputFieldRef, InputType, InterfaceRef, OutputType } from '@pothos/core';
import { defaultOf, jobFields, type JobSettings, readSetting, strictField } from '../../jobs/settings.ts';
import { descriptionOf } from '../../validation/zod-issues.ts';
import type { Builder } from './builder.ts';
import type { ExtendedTypes } from './connections.ts';
import type { Refs } from './refs.ts';

/** A stored job or a draft: both have settings. */
export interface HasSettings {
  readonly settings: JobSettings;
}

type Field = keyof typeof jobFields;
type Input = InputType<ExtendedTypes>;
type Output = OutputType<ExtendedTypes>;

/** The GraphQL type of each setting, as input and as output. Everything else about it is in src/jobs/settings.ts. */
function createFieldTypes(builder: Builder, refs: Refs) {
  const format = builder.enumType('ExportFormat', {
    description: 'File format of exported objects.',
    values: {
      JSON: { description: 'JSON array without insignificant whitespace.' },
      CSV: { description: 'CSV with RFC 4180 quoting, a header row and LF as line ending.' },
      NDJSON: { description: 'One JSON object per line.' },
      PARQUET: {
        description:
          'Parquet with timestamps in UTC and `value` as DECIMAL(38, 18), rounded half to even. The compression applies to the pages.',
      },
    } as const,
  });
  const compression = builder.enumType('Compression', {
    description: 'Compression of exported objects.',
    values: {
      NONE: { description: 'No compression is applied.' },
      GZIP: { description: 'Compression with gzip. Object keys end in `.gz`, and Content-Encoding is not set.' },
      ZSTD: { description: 'Compression with Zstandard. Object keys end in `.zst`, and Content-Encoding is not set.' },
    } as const,
  });
  const csvDialect = builder.enumType('CsvDialect', {
    description: 'How CSV is written.',
    values: {
      STANDARD: { description: 'RFC 4180 in UTF-8 with LF as line ending, for programs.' },
      EXCEL: {
        description:
          'For spreadsheets: with a byte order mark and CRLF, and with an apostrophe before text that a spreadsheet would execute as a formula.',
      },
    } as const,
  });
  const csvDelimiter = builder.enumType('CsvDelimiter', {
    description: 'Character between the cells of CSV.',
    values: {
      COMMA: { description: 'Comma, as in RFC 4180.' },
      SEMICOLON: {
        description: 'Semicolon, which Excel expects where the comma separates decimals, as in most of Europe.',
      },
    } as const,
  });
  const restatement = builder.enumType('Restatement', {
    description: 'Reaction to a delivered window that no longer agrees with the ledger.',
    values: {
      NONE: {
        description: 'The delivery is shown as STALE. redeliver, runJob or a backfill delivers it again.',
      },
      AUTOMATIC: { description: 'Sluice delivers the window again automatically, as the next revision.' },
    } as const,
  });
  const same = (type: Input & Output) => ({ input: type, output: type });
  const listOf = ({ input, output }: { input: Input; output: Output }) =>
    ({ input: [input], output: [output] }) as const;
  return {
    jobName: same('String'),
    description: same('String'),
    enabled: same('Boolean'),
    email: same('EmailAddress'),
    s3Url: same('String'),
    bucketOwner: same('String'),
    region: same('String'),
    encryption: same(refs.serverSideEncryption),
    kmsKeyId: same('String'),
    format: same(format),
    compression: same(compression),
    csvDialect: same(csvDialect),
    csvDelimiter: same(csvDelimiter),
    aggregationBucket: same(refs.aggregationBucket),
    timeZone: same('TimeZone'),
    range: same('AgoDuration'),
    endTimeOffset: same('AgoDuration'),
    cron: same('CronExpression'),
    scheduledTimeInSeconds: same('SafeInt'),
    meterApiNames: listOf(same('String')),
    groupBy: listOf(same('String')),
    filter: listOf({ input: refs.dimensionFilterInput, output: refs.dimensionFilter }),
    sparse: same('Boolean'),
    minimizeFresh: same('Boolean'),
    rescaleFunction: { input: refs.rescaleInput, output: refs.rescale },
    restatement: same(restatement),
    restateAfter: same('AgoDuration'),
    restateWithin: same('AgoDuration'),
    completeWithin: same('AgoDuration'),
  } satisfies Record<Field, { input: Input | readonly [Input]; output: Output | readonly [Output] }>;
}

/** The types of a job's settings: CreateJobInput, UpdateJobInput and JobConfig. */
export function addJobSettings(builder: Builder, refs: Refs) {
  const types = createFieldTypes(builder, refs);
  const forEachField = <Made>(make: (field: Field) => Made): Record<Field, Made> =>
    Object.fromEntries((Object.keys(types) as Field[]).map((field) => [field, make(field)])) as Record<Field, Made>;

  const create = builder.inputType('CreateJobInput', {
    description: 'Settings of an export job.',
    fields: (t) => ({
      ...forEachField((field): InputFieldRef<ExtendedTypes, unknown> => {
        const value = defaultOf(field);
        return t.field({
          type: types[field].input as Input,
          description: descriptionOf(jobFields[field]),
          required: value !== null,
          ...(value != null && { defaultValue: value }),
        });
      }),
      strict: t.boolean({ required: true, defaultValue: false, description: descriptionOf(strictField) }),
    }),
  });
  const update = builder.inputType('UpdateJobInput', {
    description:
      'Settings to change; omitted fields keep their value. Null clears an optional field and restores the default of a field that has one. Null in a required field is an issue.',
    fields: (t) => ({
      id: t.id({ required: true, description: 'Id of the job to change.' }),
      version: t.int({
        description:
          'Version that the change is based on. If it is not the current one, the result is a ConflictError.',
      }),
      ...forEachField((field): InputFieldRef<ExtendedTypes, unknown> =>
        t.field({ type: types[field].input as Input, description: descriptionOf(jobFields[field]) }),
      ),
      strict: t.boolean({ description: descriptionOf(strictField) }),
    }),
  });
  const config: InterfaceRef<ExtendedTypes, HasSettings> = builder.interfaceRef<HasSettings>('JobConfig').implement({
    description: 'Settings of an export job, with all defaults.',
    fields: (t) =>
      forEachField((field) =>
        t.field({
          type: types[field].output as Output,
          description: descriptionOf(jobFields[field]),
          nullable: defaultOf(field) === null,
          resolve: ({ settings }) => readSetting(settings, field) as never,
        }),
      ),
  });
  return { create, update, config };
}

export type JobSettingsTypes = ReturnType<typeof addJobSettings>;
