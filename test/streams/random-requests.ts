import fc from 'fast-check';
import type { UsageQuestion } from '../usage/usage-oracle.ts';
import { formatValue, parseValue } from './model.ts';
import type { FilterEntry, RecordInput, ScopeInput, WriteInput, WriteKind } from './writes.ts';

// Random requests with few streams, buckets, filters and elements, so that they often concern the same records.

/** A value of an arbitrary. */
export type Drawn<From> = From extends fc.Arbitrary<infer Value> ? Value : never;

export interface Shape {
  readonly granularity: 'HOURLY' | 'DAILY' | 'MONTHLY';
  readonly dimensions: readonly string[];
}

const SHAPES: readonly Shape[] = [
  { granularity: 'HOURLY', dimensions: ['region'] },
  { granularity: 'DAILY', dimensions: [] },
  { granularity: 'MONTHLY', dimensions: ['team', 'region'] },
  { granularity: 'DAILY', dimensions: ['region', '__proto__', 'team'] },
  { granularity: 'HOURLY', dimensions: ['team', 'région'] },
];
/** They differ in case alone. */
export const STREAM_NAMES = ['usage.v1', 'Usage.v1'] as const;
const ELEMENTS = ['hooli', 'Hooli'];
/** U+1F600 comes before U+FF5E by UTF-16 units, and behind it bytewise. */
const VALUES = ['a', '\u{1f600}', '\uff5e'];
const BUCKETS = {
  HOURLY: ['2026-01-31T23:00:00Z', '2026-02-01T00:00:00Z', '2026-02-01T05:00:00Z'],
  DAILY: ['2026-01-31T00:00:00Z', '2026-02-01T00:00:00Z', '2026-02-02T00:00:00Z'],
  MONTHLY: ['2025-12-01T00:00:00Z', '2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'],
};
/** The bucket after the last one, for the end of a scope. */
const NEXT = { HOURLY: '2026-02-01T06:00:00Z', DAILY: '2026-02-03T00:00:00Z', MONTHLY: '2026-03-01T00:00:00Z' };
const LENGTHS = { HOURLY: 3_600_000, DAILY: 86_400_000, MONTHLY: 28 * 86_400_000 };

/** A time in the bucket with that offset (minutes). Hours are instants; days and months are dates in any offset. */
const spellMoment = (granularity: Shape['granularity'], bucket: string, after: number, offset: number): string => {
  const shift = granularity === 'HOURLY' ? offset * 60_000 : 0;
  const local = new Date(Date.parse(bucket) + after + shift).toISOString().replace('Z', '');
  if (offset === 0) return `${local}Z`;
  const size = Math.abs(offset);
  const digits = (n: number) => String(n).padStart(2, '0');
  return `${local}456${offset < 0 ? '-' : '+'}${digits(Math.floor(size / 60))}:${digits(size % 60)}`;
};

/** At most 38 significant digits, at most 30 decimals, spelled in one of several ways. */
const value: fc.Arbitrary<string | number> = fc
  .record({
    digits: fc.oneof(fc.bigInt({ min: 0n, max: 9n }), fc.bigInt({ min: 0n, max: 10n ** 38n - 1n })),
    decimals: fc.integer({ min: 0, max: 30 }),
    spelling: fc.constantFrom('plain', 'plus', 'zeros', 'exponent', 'number'),
  })
  .map(({ digits, decimals, spelling }) => {
    const plain = formatValue(digits, decimals);
    if (spelling === 'plus') return `+${plain}`;
    if (spelling === 'zeros') return `00${plain}${plain.includes('.') ? '000' : '.0'}`;
    if (spelling === 'exponent') return `${digits}e-${decimals}`;
    if (spelling === 'number' && digits < 10n ** 15n) return Number(plain);
    return plain;
  });

/** Mostly the one value, another for each dimension, so that a value in the wrong dimension is found. */
const mostly = (value: string) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom([value], [value, value]) },
    { weight: 1, arbitrary: fc.array(fc.constantFrom(...VALUES), { minLength: 1, maxLength: 3 }) },
  );

const oneRecord = fc.record({
  bucket: fc.constantFrom(0, 0, 1, 2),
  after: fc.nat(999),
  offset: fc.constantFrom(0, 0, 330, -480, 765),
  element: fc.nat(ELEMENTS.length - 1),
  values: fc.tuple(mostly('a'), mostly('b'), mostly('c')),
  reversed: fc.boolean(),
  value,
  /** For selectors: which dimensions and whether the element is given. */
  given: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
  elementGiven: fc.boolean(),
  noFilter: fc.constantFrom(null, undefined, []),
});

export type Command =
  | { readonly do: WriteKind; readonly input: (shapeOf: (name: string) => Shape) => WriteInput }
  | { readonly do: 'again'; readonly which: number }
  | { readonly do: 'deleteStream'; readonly name: string }
  | { readonly do: 'snapshot' }
  /** Like the server does in the background. */
  | { readonly do: 'mergeTotals' }
  /** As the server does when it finds a large bucket. */
  | { readonly do: 'hashKeys'; readonly name: string }
  /** As after an update, where a server of before there were totals wrote the last operations. */
  | { readonly do: 'forgetTotals'; readonly name: string };

const spell = (one: Drawn<typeof oneRecord>, shape: Shape, kind: WriteKind): RecordInput => {
  const { granularity } = shape;
  const timestamp = spellMoment(
    granularity,
    BUCKETS[granularity][one.bucket] ?? '',
    Math.floor(((LENGTHS[granularity] - 1) * one.after) / 999),
    one.offset,
  );
  const whole: FilterEntry[] = shape.dimensions.map((dimension, index) => ({
    dimension,
    values: one.values[index] ?? [],
  }));
  const elementName = ELEMENTS[one.element] ?? '';
  if (kind !== 'Delete') {
    const filter = one.reversed ? whole.toReversed() : whole;
    return { timestamp, granularity, elementName, value: one.value, ...(filter.length > 0 && { filter }) };
  }
  const partial = whole.filter((_, index) => one.given[index]);
  const filter = partial.length > 0 ? partial : one.noFilter;
  return {
    timestamp,
    granularity,
    ...(filter !== undefined && { filter }),
    ...(one.elementGiven && { elementName }),
  };
};

/** Another time in the same bucket, with another offset. */
const respellMoment = ({ timestamp, granularity }: RecordInput): string =>
  granularity === 'HOURLY'
    ? new Date(timestamp).toISOString().replace(/:\d\d\.\d{3}Z$/, ':59.999+00:00')
    : `${timestamp.slice(0, 10)}T23:59:59.999-11:00`;

/** The same content in another spelling. */
export const respell = (input: WriteInput): WriteInput => ({
  ...input,
  ...(input.scope && {
    scope: { ...input.scope, from: respellBoundary(input.scope.from), to: respellBoundary(input.scope.to) },
  }),
  records: input.records.map((record) => ({
    ...record,
    timestamp: respellMoment(record),
    ...(record.filter && {
      filter: record.filter
        .map(({ dimension, values }) => ({ dimension, values: [...values, ...values].toReversed() }))
        .toReversed(),
    }),
    ...(record.value !== undefined && { value: formatValue(parseValue(String(record.value))) }),
  })),
});

const oneScope = fc.record({
  /** Mostly everything; now and then the end is not after the start. */
  span: fc.oneof(
    { weight: 3, arbitrary: fc.constant<[number, number]>([0, 3]) },
    { weight: 2, arbitrary: fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 3 })) },
  ),
  offset: fc.constantFrom(0, 0, 330, -480),
  values: fc.tuple(mostly('a'), mostly('b'), mostly('c')),
  /** Whether each dimension, and the element, is given. */
  given: fc.array(fc.constantFrom(false, false, true), { minLength: 3, maxLength: 3 }),
  element: fc.constantFrom(null, null, undefined, ...ELEMENTS),
  hidesOnly: fc.constantFrom(false, false, true),
});

const spellScope = (one: Drawn<typeof oneScope>, { granularity, dimensions }: Shape): ScopeInput => {
  const buckets = [...BUCKETS[granularity], NEXT[granularity]];
  const [from, to] = one.span.map((index) => spellMoment(granularity, buckets[index] ?? '', 0, one.offset));
  const filter = dimensions
    .map((dimension, index) => ({ dimension, values: one.values[index] ?? [] }))
    .filter((_, index) => one.given[index]);
  return { from: from ?? '', to: to ?? '', filter, ...(one.element !== undefined && { elementName: one.element }) };
};

/** The same boundary in another spelling. */
const respellBoundary = (timestamp: string): string =>
  /T00:00:00/.test(timestamp) && !timestamp.endsWith('Z') ? timestamp : timestamp.replace(/(\.\d+)?Z$/, '+00:00');

const writeCommand: fc.Arbitrary<Command> = fc
  .record({
    kind: fc.constantFrom<WriteKind>('Sum', 'Sum', 'Replace', 'Replace', 'Delete'),
    name: fc.constantFrom(...STREAM_NAMES),
    records: fc.array(oneRecord, { minLength: 1, maxLength: 4 }),
    idempotencyKey: fc.constantFrom(null, null, 'one', 'two'),
    scope: fc.option(oneScope),
    /** Now and then the shape of another stream. */
    foreign: fc.oneof(
      { weight: 15, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.nat(SHAPES.length - 1) },
    ),
  })
  .map(({ kind, name, records, idempotencyKey, foreign, scope }) => ({
    do: kind,
    input: (shapeOf) => {
      const shape = foreign === null ? shapeOf(name) : (SHAPES[foreign] ?? shapeOf(name));
      if (kind !== 'Replace' || !scope)
        return { stream: name, idempotencyKey, records: records.map((one) => spell(one, shape, kind)) };
      const inScope = scope.hidesOnly ? [] : records.map((one) => spell(one, shape, kind));
      return { stream: name, idempotencyKey, records: inScope, scope: spellScope(scope, shape) };
    },
  }));

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 12, arbitrary: writeCommand },
  { weight: 3, arbitrary: fc.nat(99).map((which): Command => ({ do: 'again', which })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...STREAM_NAMES).map((name): Command => ({ do: 'deleteStream', name })),
  },
  { weight: 2, arbitrary: fc.constant<Command>({ do: 'snapshot' }) },
  { weight: 2, arbitrary: fc.constant<Command>({ do: 'mergeTotals' }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...STREAM_NAMES).map((name): Command => ({ do: 'hashKeys', name })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...STREAM_NAMES).map((name): Command => ({ do: 'forgetTotals', name })),
  },
);

/** A history, and where it begins in the list of shapes; each new stream of a name takes the next shape. */
export const history = fc.record({
  firstShape: fc.nat(SHAPES.length - 1),
  commands: fc.array(command, { minLength: 6, maxLength: 14, size: 'max' }),
});

export const shapeAt = (index: number): Shape => SHAPES[index % SHAPES.length] as Shape;

const HOUR = 3_600_000;

/** A usage query over the buckets of the histories, from one hour to three months long. */
export const question: fc.Arbitrary<UsageQuestion & { readonly sparse: boolean; readonly coefficient: string | null }> =
  fc
    .record({
      from: fc.integer({ min: -60 * 24, max: 30 }),
      length: fc.integer({ min: 1, max: 80 }),
      aggregationBucket: fc.constantFrom('HOUR', 'DAY', 'WEEK', 'MONTH'),
      timeZone: fc.constantFrom('UTC', 'America/New_York', 'Asia/Kolkata', 'Pacific/Apia', 'America/Los_Angeles'),
      groupBy: fc.uniqueArray(fc.constantFrom('region', 'team', 'element', '__proto__', 'nowhere'), { maxLength: 3 }),
      filter: fc.constantFrom(
        [],
        [],
        [{ dimension: 'region', values: ['a', '\uff5e'] }],
        [
          { dimension: 'element_name', values: ['hooli', 'nobody'] },
          { dimension: 'team', values: ['b'] },
        ],
        [{ dimension: 'nowhere', values: ['a'] }],
      ),
      sparse: fc.boolean(),
      coefficient: fc.constantFrom(null, null, '-0.000000000001', '1024'),
    })
    .map(({ from, length, ...rest }) => {
      const start = Date.parse('2026-01-31T21:17:00Z') + from * HOUR;
      // Up to 80 hours, days, half weeks: enough for each kind without making thousands of buckets.
      const unit = { HOUR: HOUR, DAY: 24 * HOUR, WEEK: 84 * HOUR, MONTH: 84 * HOUR }[rest.aggregationBucket];
      return {
        ...rest,
        from: new Date(start).toISOString(),
        to: new Date(start + length * unit).toISOString(),
      };
    });
