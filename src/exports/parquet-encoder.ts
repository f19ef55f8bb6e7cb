// Pure: encodes the rows of an export as a Parquet file.
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js';
import { ParquetWriter } from 'hyparquet-writer/src/parquet-writer.js';
import type { ObjectCompression } from '../jobs/destination.ts';
import { CELL_SEPARATOR, DECIMAL_PRECISION, DECIMAL_SCALE, toUnscaled, VALUE_SEPARATOR } from './parquet-values.ts';

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
export const ROW_GROUP_ROWS = 20_000;
const ROW_GROUP_CHARACTERS = 8 * 1024 * 1024;

type Schema = ParquetWriter['schema'];
type Column = Parameters<ParquetWriter['write']>[0]['columnData'][number];

const CODECS = { NONE: 'UNCOMPRESSED', GZIP: 'GZIP', ZSTD: 'ZSTD' } as const;
const COMPRESSORS = {
  GZIP: (bytes: Uint8Array): Uint8Array => gzipSync(bytes),
  ZSTD: (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes),
};

/** Encodes one file at a time. The file is returned in pieces, so that the encoder holds no more than one row group. */
export class ParquetEncoder {
  readonly #format: ParquetFormat;
  readonly #schema: Schema;
  #writer!: ParquetWriter;
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #group!: RowGroup;
  /** Rows of the file whose value was rounded. */
  roundedRows = 0;

  constructor(format: ParquetFormat) {
    this.#format = format;
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

  /** Adds whole lines of the COPY that buildCopyStatement() builds. Throws ValueTooLargeError. */
  add(lines: string): void {
    for (let at = 0; at < lines.length;) {
      at = this.#group.addRow(lines, at);
      if (this.#group.isFull) this.#writeGroup();
    }
  }

  #writeGroup(): void {
    this.roundedRows += this.#group.roundedRows;
    void this.#writer.write({ columnData: this.#group.columns(), rowGroupSize: this.#group.rows });
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
      name: 'value',
      type: 'FIXED_LEN_BYTE_ARRAY',
      type_length: 16,
      repetition_type: 'REQUIRED',
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
  readonly #names: string[] = [];
  readonly #starts: bigint[] = [];
  readonly #ends: bigint[] = [];
  readonly #cells: (string | readonly string[] | null)[][];
  readonly #values: bigint[] = [];
  /** The lists of each dimension by their cells: few differ. */
  readonly #lists = new Map<string, readonly string[]>();
  /** The cells before the groups, with their separators, which consecutive rows share. */
  #head = '';
  #name = '';
  #start = 0n;
  #end = 0n;
  #characters = 0;
  roundedRows = 0;

  constructor(groups: readonly ParquetGroup[]) {
    this.#groups = groups;
    this.#cells = groups.map(() => []);
  }

  get rows(): number {
    return this.#values.length;
  }

  get isFull(): boolean {
    return this.rows >= ROW_GROUP_ROWS || this.#characters >= ROW_GROUP_CHARACTERS;
  }

  /** Adds the row that starts at `from`, and returns the start of the next one. */
  addRow(lines: string, from: number): number {
    if (this.#head === '' || !lines.startsWith(this.#head, from)) this.#readHead(lines, from);
    let at = from + this.#head.length;
    this.#names.push(this.#name);
    this.#starts.push(this.#start);
    this.#ends.push(this.#end);
    for (const [index, { isElement }] of this.#groups.entries()) {
      const end = lines.indexOf(CELL_SEPARATOR, at);
      const cell = lines.slice(at, end);
      this.#cells[index]?.push(isElement ? cell : this.#listOf(cell));
      at = end + 1;
    }
    const end = lines.indexOf('\n', at);
    const { units, rounded } = toUnscaled(lines.slice(at, end));
    this.#values.push(units);
    if (rounded) this.roundedRows += 1;
    this.#characters += end + 1 - from;
    return end + 1;
  }

  #readHead(lines: string, from: number): void {
    const nameEnd = lines.indexOf(CELL_SEPARATOR, from);
    const startEnd = lines.indexOf(CELL_SEPARATOR, nameEnd + 1);
    const endEnd = lines.indexOf(CELL_SEPARATOR, startEnd + 1);
    this.#head = lines.slice(from, endEnd + 1);
    this.#name = lines.slice(from, nameEnd);
    this.#start = BigInt(Date.parse(lines.slice(nameEnd + 1, startEnd)));
    this.#end = BigInt(Date.parse(lines.slice(startEnd + 1, endEnd)));
  }

  /** A stream without the dimension has an empty cell; a dimension has at least one value, and no value is empty. */
  #listOf(cell: string): readonly string[] | null {
    if (cell === '') return null;
    let list = this.#lists.get(cell);
    if (!list) {
      list = cell.split(VALUE_SEPARATOR);
      this.#lists.set(cell, list);
    }
    return list;
  }

  columns(): Column[] {
    const column = (name: string, data: Column['data']): Column => ({ name, data, columnIndex: true });
    return [
      column('meterApiName', this.#names),
      column('bucketStart', this.#starts),
      column('bucketEnd', this.#ends),
      ...this.#groups.map(({ name }, index) => column(name, this.#cells[index] ?? [])),
      column('value', this.#values),
    ];
  }
}
