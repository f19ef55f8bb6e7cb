import fc from 'fast-check';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { zstdDecompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { encodeEmptyParquet, ParquetEncoder } from '../../src/exports/parquet-encoder.ts';
import { ROW_GROUP_ROWS } from '../../src/exports/parquet-row-group.ts';
import type { ParquetFormat } from '../../src/exports/parquet-schema.ts';
import { toUnscaled, ValueTooLargeError } from '../../src/exports/parquet-values.ts';
import { describeParquet, queryDuckDb, readParquet, withFiles } from '../support/parquet.ts';

const FORMAT: ParquetFormat = {
  groups: [
    { name: 'element', isElement: true },
    { name: 'a "region".x', isElement: false },
  ],
  compression: 'ZSTD',
  metadata: [{ key: 'sluice.job_id', value: 'abc' }],
  createdBy: 'Sluice version 1.2.3',
};
const SCHEMA = {
  meterApiName: 'VARCHAR',
  bucketStart: 'TIMESTAMP WITH TIME ZONE',
  bucketEnd: 'TIMESTAMP WITH TIME ZONE',
  element: 'VARCHAR',
  'a "region".x': 'VARCHAR[]',
  value: 'DECIMAL(38,18)',
};

interface Row {
  readonly name: string;
  readonly start: string;
  readonly end: string;
  readonly element: string;
  readonly region: readonly string[] | null;
  readonly value: string;
}

const row = (value: string, more: Partial<Row> = {}): Row => ({
  name: 'usage',
  start: '2026-01-25T00:00:00+01:00',
  end: '2026-01-26T00:00:00+01:00',
  element: 'e',
  region: ['eu'],
  value,
  ...more,
});

/** A line as PostgreSQL's COPY writes it. */
const lineOf = ({ name, start, end, element, region, value }: Row): string =>
  `${[name, start, end, element, region === null ? '' : region.join('\x03'), value].join('\x01')}\n`;

const encode = (rows: readonly Row[], format = FORMAT, perAdd = rows.length || 1): Buffer => {
  const encoder = new ParquetEncoder(format);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < rows.length; at += perAdd) {
    encoder.add(
      Buffer.from(
        rows
          .slice(at, at + perAdd)
          .map(lineOf)
          .join(''),
      ),
    );
    pieces.push(...encoder.takePieces());
  }
  pieces.push(...encoder.finish().pieces);
  return Buffer.concat(pieces);
};

/** The reference, by integers in units of 10^-30, the most decimals of a value times those of a coefficient. */
const roundHalfEven = (text: string): { units: bigint; rounded: boolean } => {
  const [, sign = '', whole = '', decimals = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  const exact = BigInt(whole + decimals.padEnd(60, '0'));
  const unit = 10n ** 42n;
  const [floor, rest] = [exact / unit, exact % unit];
  const isUp = rest * 2n > unit || (rest * 2n === unit && floor % 2n === 1n);
  const units = isUp ? floor + 1n : floor;
  return { units: sign === '-' ? -units : units, rounded: rest !== 0n };
};

const digits = (min: number, max: number) => fc.stringMatching(new RegExp(`^[0-9]{${min},${max}}$`));

/** Plain decimals of 1 to 20 digits before and 0 to 60 after the point, ties included. */
const decimal = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(
      fc.constant('0'),
      digits(1, 20).map((text) => text.replace(/^0+(?=.)/, '')),
    ),
    fc.oneof(
      fc.constant(''),
      digits(1, 60),
      digits(18, 18),
      digits(18, 18).map((text) => `${text}5`),
      digits(18, 18).map((text) => `${text}4${'9'.repeat(20)}`),
      digits(18, 18).map((text) => `${text}5${'0'.repeat(12)}1`),
    ),
  )
  .map(([sign, whole, decimals]) => {
    const plain = decimals.replace(/0+$/, '');
    const text = plain === '' ? whole : `${whole}.${plain}`;
    return text === '0' ? text : sign + text;
  });

describe('toUnscaled', () => {
  test.each([
    ['0', 0n, false],
    ['1', 1_000_000_000_000_000_000n, false],
    ['-0.000000000000000001', -1n, false],
    ['99999999999999999999.999999999999999999', 10n ** 38n - 1n, false],
    ['-99999999999999999999', -(10n ** 38n - 10n ** 18n), false],
    ['0.0000000000000000005', 0n, true],
    ['0.0000000000000000015', 2n, true],
    ['0.0000000000000000025', 2n, true],
    ['0.00000000000000000250000000001', 3n, true],
    ['-0.0000000000000000015', -2n, true],
    ['-0.0000000000000000025', -2n, true],
    ['-0.0000000000000000005', 0n, true],
    ['-0.00000000000000000051', -1n, true],
    ['0.00000000000000000049999', 0n, true],
  ])('of %s is %s', (text, units, rounded) => {
    expect(toUnscaled(text)).toEqual({ units, rounded });
  });

  test('is exact or rounded half to even for any decimal that fits', () => {
    fc.assert(
      fc.property(decimal, (text) => {
        const expected = roundHalfEven(text);
        if (expected.units >= 10n ** 38n || expected.units <= -(10n ** 38n)) {
          expect(() => toUnscaled(text)).toThrow(ValueTooLargeError);
        } else expect(toUnscaled(text)).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });

  test.each(['100000000000000000000', '-100000000000000000000.5', '99999999999999999999.9999999999999999995'])(
    'throws ValueTooLargeError, which names the value and what to do, for %s',
    (text) => {
      expect(() => toUnscaled(text)).toThrow(ValueTooLargeError);
      expect(() => toUnscaled(text)).toThrow(new RegExp(`${text.replaceAll('.', '\\.')} .*rescaleFunction`));
    },
  );
});

describe('Parquet file', () => {
  test.each(['NONE', 'GZIP', 'ZSTD'] as const)(
    'with codec %s has the columns and values that were added',
    async (compression) => {
      const rows = [
        row('-1.5', { region: null }),
        row('12345678901234567890.123456789012345678', { region: ['eu', 'us'], element: 'Müller \ufeff 😀 "x" \\ ,' }),
        row('0', { name: 'other', start: '0001-01-01T00:00:00Z', end: '9999-12-31T23:59:59Z', region: ['a|b'] }),
      ];
      const file = encode(rows, { ...FORMAT, compression });
      expect(await describeParquet(file)).toEqual(SCHEMA);
      const expected = rows.map(({ name, element, region, value }) => ({
        meterApiName: name,
        element,
        'a "region".x': region,
        value: value.includes('.') ? value.padEnd(value.indexOf('.') + 19, '0') : `${value}.000000000000000000`,
      }));
      expect(await readParquet([file])).toEqual([
        { ...expected[0], bucketStart: '2026-01-24 23:00:00+00', bucketEnd: '2026-01-25 23:00:00+00' },
        { ...expected[1], bucketStart: '2026-01-24 23:00:00+00', bucketEnd: '2026-01-25 23:00:00+00' },
        { ...expected[2], bucketStart: '0001-01-01 00:00:00+00', bucketEnd: '9999-12-31 23:59:59+00' },
      ]);
    },
  );

  test('has all decimals that DECIMAL(38, 18) can hold, as DuckDB and hyparquet read them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(decimal, { minLength: 1, maxLength: 300 }), async (values) => {
        const fitting = values.filter((text) => {
          const { units } = roundHalfEven(text);
          return units < 10n ** 38n && units > -(10n ** 38n);
        });
        const file = encode(fitting.map((value) => row(value)));
        const units = fitting.map((text) => roundHalfEven(text).units);
        const read = await readParquet([file]);
        expect(read.map(({ value }) => BigInt(String(value).replace('.', '')))).toEqual(units);
        // hyparquet reads decimals as doubles, so the annotation is removed and the bytes are compared.
        const buffer = new Uint8Array(file).buffer;
        const metadata = parquetMetadata(buffer);
        const element = metadata.schema.at(-1);
        delete element?.converted_type;
        delete element?.logical_type;
        const objects = await parquetReadObjects({
          file: buffer,
          metadata,
          compressors: { ZSTD: (bytes) => zstdDecompressSync(bytes) },
          utf8: false,
        });
        expect(
          objects.map(({ value }) =>
            BigInt.asIntN(128, BigInt(`0x${Buffer.from(value as Uint8Array).toString('hex')}`)),
          ),
        ).toEqual(units);
      }),
      { numRuns: 15 },
    );
  });

  test('has statistics that bound each column, negative values included, and names its writer', async () => {
    const file = encode([row('-3'), row('7'), row('-0.5')]);
    const [statistics, writer, pairs] = await withFiles([file], async (glob) => [
      await queryDuckDb(
        `SELECT path_in_schema AS column, stats_min_value AS min, stats_max_value AS max FROM parquet_metadata('${glob}') WHERE path_in_schema IN ('value', 'bucketStart', 'element')`,
      ),
      await queryDuckDb(`SELECT created_by, num_rows FROM parquet_file_metadata('${glob}')`),
      await queryDuckDb(`SELECT decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata('${glob}')`),
    ]);
    expect(statistics).toEqual([
      { column: 'bucketStart', min: '2026-01-24 23:00:00+00', max: '2026-01-24 23:00:00+00' },
      { column: 'element', min: 'e', max: 'e' },
      { column: 'value', min: '-3.000000000000000000', max: '7.000000000000000000' },
    ]);
    expect(writer).toEqual([{ created_by: 'Sluice version 1.2.3', num_rows: '3' }]);
    expect(pairs).toEqual([{ key: 'sluice.job_id', value: 'abc' }]);
    const count = await withFiles([file], (glob) =>
      queryDuckDb(`SELECT count(*) AS rows FROM read_parquet('${glob}') WHERE value < -1`),
    );
    expect(count).toEqual([{ rows: '1' }]);
  });

  test('has the same bytes for the same rows, however they arrived, in several row groups', async () => {
    const rows = Array.from({ length: ROW_GROUP_ROWS + 1000 }, (_, index) =>
      row(`${index}.25`, { element: `customer ${index}`, region: index % 3 === 0 ? null : [`r${index % 5}`] }),
    );
    const whole = encode(rows);
    expect(encode(rows, FORMAT, 777).equals(whole)).toBe(true);
    const [{ groups, sum, distinct } = {}] = await withFiles([whole], (glob) =>
      queryDuckDb(
        `SELECT (SELECT count(DISTINCT row_group_id) FROM parquet_metadata('${glob}')) AS groups, sum(value)::VARCHAR AS sum, count(DISTINCT element) AS distinct FROM read_parquet('${glob}')`,
      ),
    );
    const n = BigInt(rows.length);
    expect({ groups, sum, distinct }).toEqual({
      groups: '2',
      sum: `${(n * (n - 1n)) / 2n + n / 4n}.000000000000000000`,
      distinct: String(n),
    });
  });

  test('ends a row group of long rows before its rows do, so that memory is bounded', async () => {
    const region = Array.from({ length: 20 }, (_, index) => `${index} ${'x'.repeat(250)}`);
    const rows = Array.from({ length: 4000 }, (_, index) => row('1', { element: String(index), region }));
    const [{ groups } = {}] = await withFiles([encode(rows)], (glob) =>
      queryDuckDb(`SELECT count(DISTINCT row_group_id) AS groups FROM parquet_metadata('${glob}')`),
    );
    expect(groups).toBe('5');
  });

  test('keeps a byte order mark at the start of a text', async () => {
    // The client of DuckDB drops it, so DuckDB counts the characters.
    const [count] = await withFiles([encode([row('1', { element: '\ufeffa' })])], (glob) =>
      queryDuckDb(`SELECT length(element) AS characters FROM read_parquet('${glob}')`),
    );
    expect(count).toEqual({ characters: '2' });
  });

  test('without rows has the columns', async () => {
    const file = encodeEmptyParquet(FORMAT);
    expect(file.equals(encode([]))).toBe(true);
    expect(await describeParquet(file)).toEqual(SCHEMA);
    expect(await readParquet([file, encode([row('1')])])).toHaveLength(1);
  });
});
