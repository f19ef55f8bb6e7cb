import type { FilterEntry, RecordInput, ScopeInput, WriteAnswer, WriteInput, WriteKind } from './writes.ts';

// A model of streams that is as simple as possible: lists in memory, loops, whole numbers of 10^-30. It shares no code with
// Sluice and takes only input whose single values are in order; shapes, keys and idempotency it judges itself.

const DECIMALS = 30;
export const ONE = 10n ** BigInt(DECIMALS);

export interface ModelRecord {
  readonly bucket: string;
  readonly filter: ReadonlyMap<string, readonly string[]>;
  readonly element: string;
  readonly value: bigint;
}

export interface ModelStream {
  readonly name: string;
  readonly granularity: string;
  readonly dimensions: readonly string[];
  live: ModelRecord[];
}

/** The number that the text spells, in units of 10^-30. */
export const parseValue = (text: string): bigint => {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().replace(/^\+/, '').split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const shift = DECIMALS + Number(exponent) - fraction.length;
  const digits = BigInt(whole + fraction);
  return shift >= 0 ? digits * 10n ** BigInt(shift) : digits / 10n ** BigInt(-shift);
};

/** Formats a number of units of 10^-`decimals` in plain notation. */
export const formatValue = (value: bigint, decimals = DECIMALS): string => {
  const size = (value < 0n ? -value : value).toString().padStart(decimals + 1, '0');
  const fraction = size.slice(size.length - decimals).replace(/0+$/, '');
  return `${value < 0n ? '-' : ''}${size.slice(0, size.length - decimals)}${fraction === '' ? '' : `.${fraction}`}`;
};

/** An hour is an instant; a day or a month is the date as written, with any offset. */
const bucketOf = (timestamp: string, granularity: string): string => {
  const iso = granularity === 'HOURLY' ? new Date(timestamp).toISOString() : timestamp;
  const length = { HOURLY: 13, DAILY: 10, MONTHLY: 7 }[granularity] ?? 0;
  return iso.slice(0, length) + '0000-01-01T00:00:00Z'.slice(length);
};

const compareTexts = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Values are listed bytewise, as everything that Sluice sorts. */
export const canonicalFilter = (filter: readonly FilterEntry[]): ReadonlyMap<string, readonly string[]> =>
  new Map(
    filter
      .map((entry) => [entry.dimension, [...new Set(entry.values)].sort(compareTexts)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

const textOf = (filter: ReadonlyMap<string, readonly string[]>): string => JSON.stringify([...filter]);

export const keyOf = (record: Pick<ModelRecord, 'bucket' | 'filter' | 'element'>): string =>
  JSON.stringify([record.bucket, textOf(record.filter), record.element]);

/** Live values by key. */
export const liveValues = (records: readonly ModelRecord[]): Map<string, bigint> => {
  const values = new Map<string, bigint>();
  for (const record of records) values.set(keyOf(record), (values.get(keyOf(record)) ?? 0n) + record.value);
  return values;
};

interface Counts {
  readonly inserted: number;
  readonly hidden: number;
}

export class Model {
  streams: ModelStream[] = [];
  readonly #operations = new Map<
    string,
    { readonly content: string; readonly granularity: string; readonly counts: Counts }
  >();

  clone(): Model {
    const clone = new Model();
    clone.streams = this.copy();
    for (const [key, operation] of this.#operations) clone.#operations.set(key, operation);
    return clone;
  }

  find(name: string): ModelStream | undefined {
    return this.streams.find((stream) => stream.name === name);
  }

  /** The streams as they are now; later writes do not change the copy. */
  copy(): ModelStream[] {
    return this.streams.map((stream) => ({ ...stream, live: [...stream.live] }));
  }

  deleteStream(name: string): boolean {
    const before = this.streams.length;
    this.streams = this.streams.filter((stream) => stream.name !== name);
    return this.streams.length < before;
  }

  /** Does the write, and says what the answer must be: `taken 2 1 replayed`, or the code of the failure. */
  write(kind: WriteKind, input: WriteInput): string {
    const { idempotencyKey } = input;
    const earlier = idempotencyKey == null ? undefined : this.#operations.get(idempotencyKey);
    if (earlier) {
      const content = contentOf(kind, input, earlier.granularity);
      return earlier.content === content ? told(earlier.counts, true) : 'IDEMPOTENCY_MISMATCH';
    }
    const outcome = kind === 'Delete' ? this.#delete(input) : this.#insert(kind, input);
    if (typeof outcome === 'string') return outcome;
    const granularity = this.find(input.stream)?.granularity ?? '';
    const content = contentOf(kind, input, granularity);
    if (idempotencyKey != null) this.#operations.set(idempotencyKey, { content, granularity, counts: outcome });
    return told(outcome, false);
  }

  #insert(kind: WriteKind, input: WriteInput): Counts | string {
    const known = this.find(input.stream);
    const { scope } = input;
    if (!known && input.records.length === 0) return 'NOT_FOUND';
    const [first] = input.records;
    const shape = known ?? {
      granularity: first?.granularity ?? '',
      dimensions: (first?.filter ?? []).map((entry) => entry.dimension),
    };
    const records = input.records.map(readRecord);
    for (const [index, { filter }] of records.entries()) {
      if (input.records[index]?.granularity !== shape.granularity) return 'VALIDATION_FAILED';
      if ([...filter.keys()].sort().join() !== [...shape.dimensions].sort().join()) return 'VALIDATION_FAILED';
    }
    const keys = new Set(records.map(keyOf));
    if (kind === 'Replace' && keys.size < records.length) return 'VALIDATION_FAILED';
    if (scope) {
      if (!isBoundary(scope.from, shape.granularity) || !isBoundary(scope.to, shape.granularity))
        return 'VALIDATION_FAILED';
      if (bucketOf(scope.from, shape.granularity) >= bucketOf(scope.to, shape.granularity)) return 'VALIDATION_FAILED';
      if ((scope.filter ?? []).some((entry) => !shape.dimensions.includes(entry.dimension))) return 'VALIDATION_FAILED';
      if (!records.every((record) => liesIn(scope, shape.granularity, record))) return 'VALIDATION_FAILED';
    }
    const stream: ModelStream = known ?? { name: input.stream, live: [], ...shape };
    if (!known) this.streams.push(stream);
    const before = stream.live.length;
    const isHidden = (record: ModelRecord): boolean =>
      scope ? liesIn(scope, stream.granularity, record) : keys.has(keyOf(record));
    if (kind === 'Replace') stream.live = stream.live.filter((record) => !isHidden(record));
    const hidden = before - stream.live.length;
    stream.live.push(...records);
    return { inserted: records.length, hidden };
  }

  #delete(input: WriteInput): Counts | string {
    const stream = this.find(input.stream);
    if (!stream) return 'NOT_FOUND';
    for (const selector of input.records) {
      if (selector.granularity !== stream.granularity) return 'VALIDATION_FAILED';
      if ((selector.filter ?? []).some((entry) => !stream.dimensions.includes(entry.dimension)))
        return 'VALIDATION_FAILED';
    }
    const before = stream.live.length;
    stream.live = stream.live.filter((record) => !input.records.some((selector) => selects(selector, record)));
    return { inserted: 0, hidden: before - stream.live.length };
  }
}

/** Converts a response of the server to a result of `Model.write`. */
export const answerOf = (answer: WriteAnswer): string =>
  answer.operation
    ? told(
        { inserted: answer.operation.insertedRecords, hidden: answer.operation.hiddenRecords },
        answer.replayed === true,
      )
    : (answer.code ?? answer.__typename);

const told = ({ inserted, hidden }: Counts, replayed: boolean): string =>
  `taken ${inserted} ${hidden}${replayed ? ' replayed' : ''}`;

const readRecord = (input: RecordInput): ModelRecord => ({
  bucket: bucketOf(input.timestamp, input.granularity),
  filter: canonicalFilter(input.filter ?? []),
  element: input.elementName ?? '',
  value: parseValue(String(input.value)),
});

const selects = (selector: RecordInput, record: ModelRecord): boolean =>
  record.bucket === bucketOf(selector.timestamp, selector.granularity) && matches(selector, record);

const matches = (selector: Pick<RecordInput, 'filter' | 'elementName'>, record: ModelRecord): boolean =>
  (selector.elementName == null || selector.elementName === record.element) &&
  [...canonicalFilter(selector.filter ?? [])].every(
    ([dimension, values]) => JSON.stringify(record.filter.get(dimension)) === JSON.stringify(values),
  );

const liesIn = (scope: ScopeInput, granularity: string, record: ModelRecord): boolean =>
  bucketOf(scope.from, granularity) <= record.bucket &&
  record.bucket < bucketOf(scope.to, granularity) &&
  matches(scope, record);

/** Whether a scope may begin or end there. Digits after the milliseconds do not count. */
const isBoundary = (timestamp: string, granularity: string): boolean =>
  granularity === 'HOURLY'
    ? new Date(timestamp).getTime() % 3_600_000 === 0
    : /T00:00:00(\.000\d*)?[Z+-]/.test(timestamp) && (granularity === 'DAILY' || timestamp.slice(8, 10) === '01');

/** Equal for requests with the same content, however it is spelled. */
const contentOf = (kind: WriteKind, { stream, records, scope }: WriteInput, granularity: string): string =>
  JSON.stringify([
    scope && [
      ...[scope.from, scope.to].map((at) => (isBoundary(at, granularity) ? bucketOf(at, granularity) : at)),
      textOf(canonicalFilter(scope.filter ?? [])),
      scope.elementName ?? null,
    ],
    kind,
    stream,
    records.map((record) => [
      record.granularity,
      bucketOf(record.timestamp, record.granularity),
      textOf(canonicalFilter(record.filter ?? [])),
      record.elementName ?? null,
      kind === 'Delete' ? null : parseValue(String(record.value)).toString(),
    ]),
  ]);
