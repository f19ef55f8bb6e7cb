// Pure: encodes the rows of an export as a Parquet file.
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js';
import { ParquetWriter } from 'hyparquet-writer/src/parquet-writer.js';
import type { ObjectCompression } from '../jobs/destination.ts';
import {
  CELL_SEPARATOR,
  DECIMAL_BYTES,
  DECIMAL_PRECISION,
  DECIMAL_SCALE,
  toDecimalBytes,
  toUnscaled,
  VALUE_SEPARATOR,
} from './parquet-values.ts';

/** Columns, codec and metadata of a Parquet file: equal for all files of a job and window, so that equal rows give equal bytes. */
export interface ParquetFormat {
  readonly groups: readonly ParquetGroup[];
  /** Codec of the pages. */
  readonly compression: ObjectCompression;
  readonly metadata: readonly { readonly key: string; readonly value: string }[];
  /** Name and version of Sluice. */
  readonly createdBy: string;
}

/** A grouped column: the element is a text, a dimension a list of texts. */
export interface ParquetGroup {
  readonly name: string;
  readonly isElement: boolean;
}

/**
 * Rows of a row group, and bytes of its rows as PostgreSQL writes them, which bound the memory of the encoder. A group ends when
 * either is reached, so that its end depends only on the rows.
 */
export const ROW_GROUP_ROWS = 10_000;
const ROW_GROUP_BYTES = 4 * 1024 * 1024;

type Schema = ParquetWriter['schema'];
type Column = Parameters<ParquetWriter['write']>[0]['columnData'][number];

const CODECS = { NONE: 'UNCOMPRESSED', GZIP: 'GZIP', ZSTD: 'ZSTD' } as const;
const COMPRESSORS = {
  GZIP: (bytes: Uint8Array): Uint8Array => gzipSync(bytes),
  ZSTD: (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes),
};

/**
 * The column `value` while its rows are written: the encoder makes the bytes of a decimal from its unscaled integer. The library
 * does so too, a byte at a time, with 1.5 KB of garbage per value, which took a third of the time and 20 MB of memory (November
 * 2026).
 */
const VALUE_BYTES: Schema[number] = {
  name: 'value',
  type: 'FIXED_LEN_BYTE_ARRAY',
  type_length: DECIMAL_BYTES,
  repetition_type: 'REQUIRED',
};

/** Encodes one file at a time. The file is returned in pieces, so that the encoder holds no more than one row group. */
export class ParquetEncoder {
  readonly #format: ParquetFormat;
  readonly #schema: Schema;
  readonly #release: (lines: Buffer) => void;
  /** Lines that the row group refers to. */
  #lines: Buffer[] = [];
  #writer!: ParquetWriter;
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #group!: RowGroup;
  /** Rows of the file whose value was rounded. */
  roundedRows = 0;

  /** @param release called when the encoder does not need added lines any more */
  constructor(format: ParquetFormat, release: (lines: Buffer) => void = () => undefined) {
    this.#format = format;
    this.#release = release;
    this.#schema = buildSchema(format.groups);
    this.#open();
  }

  #open(): void {
    const { compression, metadata, createdBy } = this.#format;
    this.roundedRows = 0;
    this.#group = new RowGroup(this.#format.groups);
    this.#writer = new ParquetWriter({
      writer: new PieceWriter((piece) => void this.#pieces.push(piece)),
      schema: this.#schema,
      codec: CODECS[compression],
      compressors: COMPRESSORS,
      kvMetadata: [...metadata],
      createdBy,
    });
  }

  /**
   * Adds whole lines of the COPY that buildCopyStatement() builds, and keeps the bytes until `release` is called with them. Throws
   * ValueTooLargeError.
   */
  add(lines: Buffer): void {
    // A character for each byte, so that both have the same indices: texts are cut from the bytes and not decoded.
    const text = lines.toString('latin1');
    this.#lines.push(lines);
    for (let at = 0; at < lines.length;) {
      at = this.#group.addRow(text, lines, at);
      if (this.#group.isFull) {
        this.#writeGroup();
        this.#releaseLines(at < lines.length ? lines : null);
      }
    }
  }

  #releaseLines(kept: Buffer | null): void {
    for (const lines of this.#lines) if (lines !== kept) this.#release(lines);
    this.#lines = kept ? [kept] : [];
  }

  #writeGroup(): void {
    this.roundedRows += this.#group.roundedRows;
    this.#writer.schema = this.#schema.slice(0, -1).concat(VALUE_BYTES);
    void this.#writer.write({ columnData: this.#group.columns(), rowGroupSize: this.#group.rows });
    const columns = this.#writer.row_groups.at(-1)?.columns ?? [];
    for (const { chunk, columnIndex } of this.#writer.pendingIndexes.slice(-columns.length)) {
      copyBounds(chunk.meta_data?.statistics, columnIndex);
    }
    const value = columns.at(-1)?.meta_data;
    if (value) value.statistics = this.#group.valueStatistics();
    this.#group = new RowGroup(this.#format.groups);
  }

  /** Returns the pieces of the file that are complete, each once. */
  takePieces(): Uint8Array<ArrayBuffer>[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  /** Ends the file and starts the next one. Returns its last pieces. */
  finish(): { readonly pieces: Uint8Array<ArrayBuffer>[]; readonly roundedRows: number } {
    if (this.#group.rows > 0) this.#writeGroup();
    this.#releaseLines(null);
    this.#writer.schema = this.#schema;
    void this.#writer.finish();
    const { roundedRows } = this;
    const pieces = this.takePieces();
    this.#open();
    return { pieces, roundedRows };
  }
}

/** Returns a file without rows, which has the columns. */
export function encodeEmptyParquet(format: ParquetFormat): Buffer {
  return Buffer.concat(new ParquetEncoder(format).finish().pieces);
}

type Indexes = ParquetWriter['pendingIndexes'][number];

/** Copies the bounds of a column, which the footer contains: they are parts of lines that are released before. */
function copyBounds(
  statistics: NonNullable<Indexes['chunk']['meta_data']>['statistics'],
  columnIndex: Indexes['columnIndex'],
): void {
  if (statistics?.min_value instanceof Uint8Array) statistics.min_value = Uint8Array.from(statistics.min_value);
  if (statistics?.max_value instanceof Uint8Array) statistics.max_value = Uint8Array.from(statistics.max_value);
  if (!columnIndex) return;
  columnIndex.min_values = columnIndex.min_values.map((value) => Uint8Array.from(value));
  columnIndex.max_values = columnIndex.max_values.map((value) => Uint8Array.from(value));
}

/** Passes its bytes on after each row group, and at the end of the file. */
class PieceWriter extends ByteWriter {
  readonly #onPiece: (piece: Uint8Array<ArrayBuffer>) => void;

  constructor(onPiece: (piece: Uint8Array<ArrayBuffer>) => void) {
    super();
    this.#onPiece = onPiece;
  }

  flush(): void {
    this.#onPiece(Uint8Array.from(this.getBytes()));
    this.index = 0;
  }

  override finish(): void {
    this.flush();
  }
}

function buildSchema(groups: readonly ParquetGroup[]): Schema {
  const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } } as const;
  const time = {
    type: 'INT64',
    repetition_type: 'REQUIRED',
    converted_type: 'TIMESTAMP_MILLIS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
  } as const;
  return [
    { name: 'schema', num_children: groups.length + 4 },
    { name: 'meterApiName', repetition_type: 'REQUIRED', ...text },
    { name: 'bucketStart', ...time },
    { name: 'bucketEnd', ...time },
    ...groups.flatMap(({ name, isElement }): Schema =>
      isElement
        ? [{ name, repetition_type: 'REQUIRED', ...text }]
        : [
            {
              name,
              repetition_type: 'OPTIONAL',
              num_children: 1,
              converted_type: 'LIST',
              logical_type: { type: 'LIST' },
            },
            { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
            { name: 'element', repetition_type: 'REQUIRED', ...text },
          ],
    ),
    {
      ...VALUE_BYTES,
      converted_type: 'DECIMAL',
      precision: DECIMAL_PRECISION,
      scale: DECIMAL_SCALE,
      logical_type: { type: 'DECIMAL', precision: DECIMAL_PRECISION, scale: DECIMAL_SCALE },
    },
  ];
}

/** The columns of a row group. */
class RowGroup {
  readonly #groups: readonly ParquetGroup[];
  readonly #names: Uint8Array[] = [];
  readonly #starts: bigint[] = [];
  readonly #ends: bigint[] = [];
  /** The lists of each dimension; empty for the element. */
  readonly #cells: (readonly Uint8Array[] | null)[][];
  /** Three numbers for each row and group that is the element: index of its lines, and start and end in them. */
  readonly #elements: number[][];
  readonly #lines: Buffer[] = [];
  readonly #values: bigint[] = [];
  #smallest = 10n ** BigInt(DECIMAL_PRECISION);
  #largest = -this.#smallest;
  /** The lists of each dimension by their cells: few differ. */
  readonly #lists = new Map<string, readonly Uint8Array[]>();
  /** The cells before the groups, with their separators, which consecutive rows share. */
  #head = '';
  #name: Uint8Array = new Uint8Array();
  #start = 0n;
  #end = 0n;
  #bytes = 0;
  roundedRows = 0;

  constructor(groups: readonly ParquetGroup[]) {
    this.#groups = groups;
    this.#cells = groups.map(() => []);
    this.#elements = groups.map(() => []);
  }

  get rows(): number {
    return this.#values.length;
  }

  get isFull(): boolean {
    return this.rows >= ROW_GROUP_ROWS || this.#bytes >= ROW_GROUP_BYTES;
  }

  /** Adds the row that starts at `from`, and returns the start of the next one. `lines` are the bytes as latin1. */
  addRow(lines: string, bytes: Buffer, from: number): number {
    if (this.#lines.at(-1) !== bytes) this.#lines.push(bytes);
    if (this.#head === '' || !lines.startsWith(this.#head, from)) this.#readHead(lines, from);
    let at = from + this.#head.length;
    this.#names.push(this.#name);
    this.#starts.push(this.#start);
    this.#ends.push(this.#end);
    for (const [index, { isElement }] of this.#groups.entries()) {
      const end = lines.indexOf(CELL_SEPARATOR, at);
      if (isElement) this.#elements[index]?.push(this.#lines.length - 1, at, end);
      else this.#cells[index]?.push(this.#listOf(lines.slice(at, end)));
      at = end + 1;
    }
    const end = lines.indexOf('\n', at);
    const { units, rounded } = toUnscaled(lines.slice(at, end));
    this.#values.push(units);
    if (units < this.#smallest) this.#smallest = units;
    if (units > this.#largest) this.#largest = units;
    if (rounded) this.roundedRows += 1;
    this.#bytes += end + 1 - from;
    return end + 1;
  }

  #readHead(lines: string, from: number): void {
    const nameEnd = lines.indexOf(CELL_SEPARATOR, from);
    const startEnd = lines.indexOf(CELL_SEPARATOR, nameEnd + 1);
    const endEnd = lines.indexOf(CELL_SEPARATOR, startEnd + 1);
    this.#head = lines.slice(from, endEnd + 1);
    this.#name = Buffer.from(lines.slice(from, nameEnd), 'latin1');
    this.#start = BigInt(Date.parse(lines.slice(nameEnd + 1, startEnd)));
    this.#end = BigInt(Date.parse(lines.slice(startEnd + 1, endEnd)));
  }

  /** A stream without the dimension has an empty cell; a dimension has at least one value, and no value is empty. */
  #listOf(cell: string): readonly Uint8Array[] | null {
    if (cell === '') return null;
    let list = this.#lists.get(cell);
    if (!list) {
      list = cell.split(VALUE_SEPARATOR).map((value) => Buffer.from(value, 'latin1'));
      this.#lists.set(cell, list);
    }
    return list;
  }

  /** Bounds of the values, which the library could only compare as bytes without a sign. */
  valueStatistics() {
    return { min_value: this.#smallest, max_value: this.#largest, null_count: 0n };
  }

  /**
   * The columns with many different values are built when the library reads them, one after the other: as objects of all columns
   * they would survive the collections of the young generation (2 MB per 10,000 rows).
   */
  columns(): Column[] {
    const column = (name: string, read: () => Column['data']): Column => ({
      name,
      columnIndex: true,
      get data() {
        return read();
      },
    });
    return [
      column('meterApiName', () => this.#names),
      column('bucketStart', () => this.#starts),
      column('bucketEnd', () => this.#ends),
      ...this.#groups.map(({ name, isElement }, index) =>
        column(name, () => (isElement ? this.#readElements(index) : (this.#cells[index] ?? []))),
      ),
      column('value', () => this.#values.map(toDecimalBytes)),
    ];
  }

  #readElements(index: number): Uint8Array[] {
    const places = this.#elements[index] ?? [];
    return Array.from(this.#values, (_, row) => {
      const [lines = 0, start, end] = places.slice(3 * row, 3 * row + 3);
      return this.#lines[lines]?.subarray(start, end) ?? new Uint8Array();
    });
  }
}
