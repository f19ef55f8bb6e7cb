import { LimitExceededError, ValidationError } from '../../errors/errors.ts';
import { readUsage, type Usage, type UsagePoint, type UsageSeries } from '../../usage/usage.ts';
import { usageInput, usageQueryFields as fields } from '../../usage/inputs.ts';
import { descriptionOf } from '../../validation/zod-issues.ts';
import type { Builder } from './builder.ts';
import { accountOf } from './context.ts';
import { AGGREGATION } from './field-costs.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;

export const addUsage = (builder: Builder, refs: Refs): void => {
  const point = builder.objectRef<UsagePoint>('UsagePoint').implement({
    description: 'The sum of one bucket.',
    authScopes: READ,
    fields: (t) => ({
      bucketStart: t.field({
        type: 'DateTime',
        description: 'Where the bucket begins.',
        resolve: (one) => one.bucketStart,
      }),
      bucketEnd: t.field({ type: 'DateTime', description: 'Where the next begins.', resolve: (one) => one.bucketEnd }),
      value: t.field({
        type: 'Decimal',
        description: 'The exact sum, rescaled where asked for.',
        resolve: (one) => one.value,
      }),
    }),
  });
  const series = builder.objectRef<UsageSeries>('UsageSeries').implement({
    description: 'The buckets of one stream and group.',
    authScopes: READ,
    fields: (t) => ({
      meterApiName: t.exposeString('meterApiName', { description: 'The stream.' }),
      group: t.field({
        type: [refs.dimensionFilter],
        description: 'The group, in the order of groupBy; a dimension that the stream lacks is left out.',
        resolve: (one) => [...one.group],
      }),
      total: t.field({ type: 'Decimal', description: 'The exact sum of the points.', resolve: (one) => one.total }),
      points: t.field({ type: [point], description: 'Oldest first.', resolve: (one) => [...one.points] }),
    }),
  });
  const usage = builder.objectRef<Usage>('Usage').implement({
    description: 'Usage by stream, group and bucket: what an export of the same settings would contain.',
    authScopes: READ,
    fields: (t) => ({
      from: t.field({
        type: 'DateTime',
        description: 'Where the window begins: a bucket boundary.',
        resolve: (one) => one.from,
      }),
      to: t.field({
        type: 'DateTime',
        description: 'Where it ends: half-open, extended to whole buckets.',
        resolve: (one) => one.to,
      }),
      series: t.field({
        type: [series],
        description: 'Sorted by stream, then by group.',
        resolve: (one) => [...one.series],
      }),
    }),
  });
  const input = builder.inputType('UsageInput', {
    description: 'Which usage to sum, and how.',
    fields: (t) => ({
      meterApiNames: t.stringList({ description: descriptionOf(fields.meterApiNames) }),
      from: t.field({ type: 'DateTime', required: true, description: descriptionOf(fields.from) }),
      to: t.field({ type: 'DateTime', required: true, description: descriptionOf(fields.to) }),
      aggregationBucket: t.field({
        type: refs.aggregationBucket,
        required: true,
        description: descriptionOf(fields.aggregationBucket),
      }),
      timeZone: t.field({
        type: 'TimeZone',
        required: true,
        defaultValue: 'UTC',
        description: descriptionOf(fields.timeZone),
      }),
      groupBy: t.stringList({ description: descriptionOf(fields.groupBy) }),
      filter: t.field({ type: [refs.dimensionFilterInput], description: descriptionOf(fields.filter) }),
      sparse: t.boolean({ required: true, defaultValue: true, description: descriptionOf(fields.sparse) }),
      rescaleFunction: t.field({ type: refs.rescaleInput, description: descriptionOf(fields.rescaleFunction) }),
    }),
  });
  builder.queryField('usage', (t) =>
    t.field({
      type: usage,
      authScopes: READ,
      ...AGGREGATION,
      description: 'Usage as of now.',
      args: {
        input: t.arg({ type: input, required: true, description: 'Which usage to sum, and how.' }).validate(usageInput),
      },
      errors: {
        types: [ValidationError, LimitExceededError],
        union: { name: 'UsageResult', description: 'The usage, or why there is none.' },
      },
      resolve: (_, args, context) =>
        readUsage(context.services.db, accountOf(context), args.input, context.services.limits),
    }),
  );
};
