// Pure: encodes the rows of an export as a Parquet file.
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js';
import { ParquetWriter } from 'hyparquet-writer/src/parquet-writer.js';
import { RowGroup } from './parquet-row-group.ts';
import { buildSchema, type ParquetFormat, type Schema, VALUE_BYTES } from './parquet-schema.ts';

const CODECS = { NONE: 'UNCOMPRESSED', GZIP: 'GZIP', ZSTD: 'ZSTD' } as const;
const COMPRESSORS = {
  GZIP: (bytes: Uint8Array): Uint8Array => gzipSync(bytes),
  ZSTD: (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes),
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
