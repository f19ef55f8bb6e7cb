import { ConflictError, LimitExceededError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { readMoment } from '../../streams/ledger-moment.ts';
import { readUsage, type Usage, type UsagePoint, type UsageSeries } from '../../usage/usage.ts';
import { usageInput, usageQueryFields as fields } from '../../usage/inputs.ts';
import { descriptionOf } from '../../validation/zod-issues.ts';
import type { Builder } from './builder.ts';
import { accountOf } from './context.ts';
import { AGGREGATION } from './field-costs.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;

export function addUsage(builder: Builder, refs: Refs): void {
  const point = builder.objectRef<UsagePoint>('UsagePoint').implement({
    description: 'Usage in one time bucket.',
    authScopes: READ,
    fields: (t) => ({
      bucketStart: t.expose('bucketStart', { type: 'DateTime', description: 'Start of the bucket, inclusive.' }),
      bucketEnd: t.expose('bucketEnd', { type: 'DateTime', description: 'End of the bucket, exclusive.' }),
      value: t.expose('value', { type: 'Decimal', description: 'Exact sum, after rescaling.' }),
    }),
  });
  const series = builder.objectRef<UsageSeries>('UsageSeries').implement({
    description: 'Usage of one stream and group over time.',
    authScopes: READ,
    fields: (t) => ({
      meterApiName: t.exposeString('meterApiName', { description: 'Name of the stream.' }),
      group: t.expose('group', {
        type: [refs.dimensionFilter],
        description:
          'Values of the group, in the order of `groupBy`. Dimensions that the stream lacks are omitted. Empty if `others`.',
      }),
      others: t.exposeBoolean('others', {
        description: 'Whether the series sums the groups beyond `top`. At most one series of a stream does.',
      }),
      groupCount: t.expose('groupCount', {
        type: 'SafeInt',
        description: 'Number of groups in the series: 1, or the number that `others` sums.',
      }),
      total: t.expose('total', { type: 'Decimal', description: 'Exact sum of the points.' }),
      points: t.expose('points', { type: [point], description: 'Points of the series, oldest first.' }),
    }),
  });
  const usage = builder.objectRef<Usage>('Usage').implement({
    description: 'Usage by stream, group and bucket. An export with the same settings contains the same sums.',
    authScopes: READ,
    fields: (t) => ({
      from: t.expose('from', {
        type: 'DateTime',
        description: 'Start of the window, at a bucket boundary, inclusive.',
      }),
      to: t.expose('to', { type: 'DateTime', description: 'End of the window, at a bucket boundary, exclusive.' }),
      series: t.expose('series', {
        type: [series],
        description: 'Series, sorted by stream and then by group; `others` is the last of its stream.',
      }),
    }),
  });
  const input = builder.inputType('UsageInput', {
    description: 'Selection and aggregation of usage.',
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
      top: t.int({ description: descriptionOf(fields.top) }),
      asOf: t.field({ type: refs.ledgerMomentInput, description: descriptionOf(fields.asOf) }),
    }),
  });
  builder.queryField('usage', (t) =>
    t.field({
      type: usage,
      authScopes: READ,
      ...AGGREGATION,
      description: 'Usage of the streams of the account, as of now or of an earlier state of the ledger.',
      args: {
        input: t
          .arg({ type: input, required: true, description: 'Selection and aggregation of usage.' })
          .validate(usageInput),
      },
      errors: {
        // NotFoundError and ConflictError: the state of `asOf` does not exist or cannot be read.
        types: [ValidationError, LimitExceededError, NotFoundError, ConflictError],
        union: { name: 'UsageResult', description: 'Usage, or the reason why the query was rejected.' },
      },
      resolve: (_, { input: asked }, context) => {
        const { db, clock, limits } = context.services;
        const asOf = readMoment(asked.asOf, clock.now(), ['input', 'asOf']);
        return readUsage(db, accountOf(context), asked, limits, asOf);
      },
    }),
  );
}
