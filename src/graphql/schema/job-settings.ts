import type { InputFieldRef, InputType, InterfaceRef, OutputType } from '@pothos/core';
import { defaultOf, jobFields, type JobSettings } from '../../jobs/settings.ts';
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
    } as const,
  });
  const compression = builder.enumType('Compression', {
    description: 'Compression of exported objects.',
    values: {
      NONE: { description: 'No compression is applied.' },
      GZIP: { description: 'Compression with gzip. Object keys end in `.gz`, and Content-Encoding is not set.' },
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
    format: same(format),
    compression: same(compression),
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
  } satisfies Record<Field, { input: Input | readonly [Input]; output: Output | readonly [Output] }>;
}

/** The types of a job's settings: CreateJobInput, UpdateJobInput and JobConfig. */
export function addJobSettings(builder: Builder, refs: Refs) {
  const types = createFieldTypes(builder, refs);
  const forEachField = <Made>(make: (field: Field) => Made): Record<Field, Made> =>
    Object.fromEntries((Object.keys(types) as Field[]).map((field) => [field, make(field)])) as Record<Field, Made>;

  const create = builder.inputType('CreateJobInput', {
    description: 'Settings of an export job.',
    fields: (t) =>
      forEachField((field): InputFieldRef<ExtendedTypes, unknown> => {
        const value = defaultOf(field);
        return t.field({
          type: types[field].input as Input,
          description: descriptionOf(jobFields[field]),
          required: value !== null,
          ...(value != null && { defaultValue: value }),
        });
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
          resolve: ({ settings }) => (settings[field] ?? null) as never,
        }),
      ),
  });
  return { create, update, config };
}

export type JobSettingsTypes = ReturnType<typeof addJobSettings>;
