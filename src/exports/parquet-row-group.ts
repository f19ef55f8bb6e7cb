// Pure: reads rows, as buildCopyStatement() has them, into the columns of a row group.
import type { ParquetWriter } from 'hyparquet-writer/src/parquet-writer.js';
import type { ParquetGroup } from './parquet-schema.ts';
import { CELL_SEPARATOR, DECIMAL_PRECISION, toDecimalBytes, toUnscaled, VALUE_SEPARATOR } from './parquet-values.ts';

/**
 * Rows of a row group, and bytes of its rows as PostgreSQL writes them, which bound the memory of the encoder. A group ends when
 * either is reached, so that its end depends only on the rows.
 */
export const ROW_GROUP_ROWS = 10_000;
const ROW_GROUP_BYTES = 4 * 1024 * 1024;

type Column = Parameters<ParquetWriter['write']>[0]['columnData'][number];

/** The columns of a row group. */
export class RowGroup {
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
