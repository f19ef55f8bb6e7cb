import fc from 'fast-check';
import { gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { ObjectCompression, ObjectExtension } from '../../src/jobs/destination.ts';
import { emptyTextFile, buildFraming, type FileFormat } from '../../src/exports/formats.ts';
import { splitIntoParts } from '../../src/exports/parts.ts';
import { openTextFile } from '../../src/exports/text-file.ts';

const GROUPS = ['g'];
const COMPRESSIONS = ['NONE', 'GZIP', 'ZSTD'] as const;
const CSV_HEADER = 'meterApiName,bucketStart,bucketEnd,g,value\n';

interface File {
  readonly text: string;
  readonly rows: number;
  readonly bytes: Buffer;
}

interface CutOptions {
  readonly maxBytes: number;
  readonly compression?: ObjectCompression;
  readonly onProgress?: (rows: number, bytes: number) => void;
}

const formatOf = (extension: ObjectExtension, compression: ObjectCompression = 'NONE'): FileFormat => ({
  extension,
  compression,
  isExcel: false,
  delimiter: ',',
});

const decompress = (bytes: Buffer, compression: ObjectCompression): Buffer =>
  compression === 'NONE' ? bytes : compression === 'GZIP' ? gunzipSync(bytes) : zstdDecompressSync(bytes);

const opening = (format: FileFormat, groupBy: readonly string[], maxBytes: number) => ({
  openFile: () => openTextFile(buildFraming(format, groupBy), format.compression, maxBytes),
  maxBytes,
});

async function* chunksOf(text: string, cuts: readonly number[]): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...at, bytes.length]) {
    // Reused memory, as of a socket: code that keeps a chunk has to copy it.
    const chunk = Buffer.from(bytes.subarray(from, to));
    yield chunk;
    chunk.fill(0x3f);
    from = to;
  }
}

/** Parts of lines that arrive in the given chunks. Each body is copied immediately, because it is valid until the next part. */
const cut = async (
  extension: ObjectExtension,
  lines: readonly string[],
  options: CutOptions,
  cuts: readonly number[] = [],
): Promise<File[]> => {
  const text = lines.map((line) => `${line}\n`).join('');
  const parts = splitIntoParts(chunksOf(text, cuts), {
    ...opening(formatOf(extension, options.compression), GROUPS, options.maxBytes),
    ...(options.onProgress && { onProgress: options.onProgress }),
  });
  const files: File[] = [];
  let lasts = 0;
  for await (const part of parts) {
    expect(part.number).toBe(files.length + 1);
    if (part.last) lasts += 1;
    else expect(lasts).toBe(0);
    const bytes = Buffer.from(part.body);
    files.push({ bytes, rows: part.rows, text: decompress(bytes, options.compression ?? 'NONE').toString() });
  }
  expect(lasts).toBe(1);
  return files;
};

const textsOf = (files: readonly File[]): string[] => files.map(({ text }) => text);

/** The reference: a row is added to the file if it still fits, otherwise to the next file. */
const expectedParts = (extension: ObjectExtension, lines: readonly string[], maxBytes: number): string[][] => {
  const opening = extension === 'json' ? 1 : extension === 'csv' ? CSV_HEADER.length : 0;
  const parts: string[][] = [[]];
  let size = opening;
  for (const line of lines) {
    const bytes = Buffer.byteLength(line) + 1;
    if (size + bytes > maxBytes && parts.at(-1)?.length !== 0) {
      parts.push([]);
      size = opening;
    }
    parts.at(-1)?.push(line);
    size += bytes;
  }
  return parts;
};

const fileOf = (extension: ObjectExtension, lines: readonly string[]): string => {
  if (extension === 'json') return `[${lines.join(',')}]`;
  return (extension === 'csv' ? CSV_HEADER : '') + lines.map((line) => `${line}\n`).join('');
};

describe('splitIntoParts', () => {
  test('returns one file without rows for no rows', async () => {
    for (const extension of ['csv', 'json', 'ndjson'] as const) {
      for (const compression of COMPRESSIONS) {
        const files = await cut(extension, [], { maxBytes: 100, compression });
        expect(textsOf(files)).toEqual([{ csv: CSV_HEADER, json: '[]', ndjson: '' }[extension]]);
        expect(files[0]?.rows).toBe(0);
        const empty = emptyTextFile(formatOf(extension), GROUPS);
        if (compression !== 'ZSTD') {
          expect(files[0]?.bytes.equals(compression === 'GZIP' ? gzipSync(empty) : empty)).toBe(true);
        }
      }
    }
  });

  test('fills parts to the last byte and adds no empty file', async () => {
    // "[" and two rows of "111," make 9 bytes; the last "," becomes "]".
    const rows = ['111', '222', '333', '444'];
    expect(textsOf(await cut('json', rows, { maxBytes: 9 }))).toEqual(['[111,222]', '[333,444]']);
    expect(textsOf(await cut('json', rows, { maxBytes: 8 }))).toEqual(['[111]', '[222]', '[333]', '[444]']);
    expect(textsOf(await cut('ndjson', rows, { maxBytes: 16 }))).toEqual(['111\n222\n333\n444\n']);
    expect(textsOf(await cut('ndjson', rows, { maxBytes: 15 }))).toEqual(['111\n222\n333\n', '444\n']);
    const room = CSV_HEADER.length + 8;
    expect(textsOf(await cut('csv', rows, { maxBytes: room }))).toEqual([
      `${CSV_HEADER}111\n222\n`,
      `${CSV_HEADER}333\n444\n`,
    ]);
  });

  test('gives a row larger than the limit its own file', async () => {
    const long = 'x'.repeat(1000);
    for (const compression of COMPRESSIONS) {
      expect(textsOf(await cut('ndjson', ['1', long, '2', '3'], { maxBytes: 10, compression }, [500]))).toEqual([
        '1\n',
        `${long}\n`,
        '2\n3\n',
      ]);
      expect(textsOf(await cut('json', [long, long], { maxBytes: 10, compression }, [500, 1500]))).toEqual([
        `[${long}]`,
        `[${long}]`,
      ]);
    }
    // Also if the header alone is larger.
    expect(textsOf(await cut('csv', ['1', '2'], { maxBytes: 10 }))).toEqual([`${CSV_HEADER}1\n`, `${CSV_HEADER}2\n`]);
  });

  test('puts as many rows into a part as fit, independently of the chunks, for random rows and limits', async () => {
    const row = fc.oneof(
      fc.string({
        unit: fc.constantFrom('a', ',', '"', '\\', '\u2028', '\u{1f600}', ']'),
        minLength: 1,
        maxLength: 30,
      }),
      fc.integer({ min: 1, max: 400 }).map((length) => 'y'.repeat(length)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<ObjectExtension>('csv', 'json', 'ndjson'),
        fc.array(row, { maxLength: 60 }),
        fc.integer({ min: 1, max: 500 }),
        fc.constantFrom(...COMPRESSIONS),
        fc.array(fc.nat(), { maxLength: 40 }),
        async (extension, lines, maxBytes, compression, cuts) => {
          const files = await cut(extension, lines, { maxBytes, compression }, cuts);
          const expected = expectedParts(extension, lines, maxBytes);
          expect(textsOf(files)).toEqual(expected.map((part) => fileOf(extension, part)));
          expect(files.map(({ rows }) => rows)).toEqual(expected.map((part) => part.length));
          const whole = await cut(extension, lines, { maxBytes, compression });
          expect(files.map(({ bytes }) => bytes.toString('hex'))).toEqual(
            whole.map(({ bytes }) => bytes.toString('hex')),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test.each(['GZIP', 'ZSTD'] as const)(
    'returns the same %s parts for any chunks if they are larger than a block of the compressor',
    async (compression) => {
      const lines = Array.from({ length: 30_000 }, (_, index) => `row ${index} ${(index * 2_654_435_761) % 997}`);
      const at = (step: number) => Array.from({ length: Math.ceil(600_000 / step) }, (_, index) => index * step);
      const options = { maxBytes: 300_000, compression };
      const [first, ...others] = await Promise.all(
        [at(65_536), at(1_111), [], at(262_144)].map((cuts) => cut('json', lines, options, cuts)),
      );
      expect(first?.map(({ rows }) => rows)).toEqual(expectedParts('json', lines, 300_000).map((part) => part.length));
      expect(first?.length).toBeGreaterThan(1);
      for (const other of others)
        expect(other.every((file, index) => file.bytes.equals(first?.[index]?.bytes as Buffer))).toBe(true);
      expect(
        first
          ?.flatMap(({ text }) => JSON.parse(`[${JSON.stringify(text.slice(1, -1).split(','))}]`) as string[][])
          .flat(),
      ).toEqual(lines);
    },
  );

  test('reports progress as rows are added', async () => {
    const told: [number, number][] = [];
    await cut('ndjson', ['1', '2', '3'], { maxBytes: 4, onProgress: (...progress) => told.push(progress) }, [2, 4]);
    expect(told).toEqual([
      [1, 2],
      [2, 4],
      [1, 2],
    ]);
  });

  test('throws if the input ends within a line', async () => {
    const parts = splitIntoParts(
      (async function* () {
        yield Buffer.from('1\n2');
      })(),
      opening(formatOf('ndjson'), [], 100),
    );
    await expect(parts.next()).rejects.toThrow('middle of a line');
  });

  test('throws the error of the rows, and ends the rows when its consumer stops early', async () => {
    let ended = false;
    async function* rows(): AsyncGenerator<Buffer> {
      try {
        yield Buffer.from('1\n2\n');
        throw new Error('the rows broke');
      } finally {
        ended = true;
      }
    }
    const options = opening(formatOf('ndjson', 'GZIP'), [], 2);
    const broken = splitIntoParts(rows(), options);
    expect((await broken.next()).value).toMatchObject({ rows: 1, last: false });
    await expect(broken.next()).rejects.toThrow('the rows broke');
    ended = false;
    for await (const part of splitIntoParts(rows(), options)) {
      expect(part.rows).toBe(1);
      break;
    }
    expect(ended).toBe(true);
  });
});
