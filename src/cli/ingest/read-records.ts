// Pure: NDJSON or CSV as the texts of records, each with its line.
import { createLineSplitter, eachLine, type Line } from '../../lib/line-splitter.ts';
import {
  type CsvColumns,
  type CsvOptions,
  DATABASE_NULL,
  type INPUT_FORMATS,
  isEmptyRow,
  readHeader,
} from './csv-records.ts';
import { type CsvRow, openCsv } from './csv-rows.ts';
import { InputProblem, utf8Pieces, withHead } from './input-encoding.ts';

export interface RecordsOptions extends CsvOptions {
  /** Null: NDJSON if the first character that is not blank is `{`, otherwise CSV. */
  readonly format: (typeof INPUT_FORMATS)[number] | null;
  /** Null: found in the file. */
  readonly delimiter: string | null;
  /** Of a file without a header. */
  readonly header: readonly string[] | null;
}

export type InputItem =
  | { readonly line: number; readonly record: string }
  | {
      readonly line: number;
      readonly problem: string;
      /** Of the problem in the line; null for the whole line. */
      readonly place: string | null;
    };

export interface RecordSource {
  /** In the order of the input, some for each piece. Throws InputProblem if the rest of the input cannot be read. */
  readonly items: AsyncGenerator<InputItem[]>;
  /** Null until the header was read, and for NDJSON. */
  readonly columns: CsvColumns | null;
}

/** As much as the server reads of one record. */
const MAX_LINE_BYTES = 1024 * 1024;
const MAX_BLANK_BYTES = 64 * 1024;
const LINE_PROBLEMS = { TOO_LONG: 'Is longer than any record can be.', NOT_UTF8: 'Is not UTF-8.' } as const;

export const readRecords = (pieces: AsyncIterable<Buffer>, options: RecordsOptions): RecordSource => {
  let columns: CsvColumns | null = null;
  const items = async function* read(): AsyncGenerator<InputItem[]> {
    const { head, all } = await withHead(utf8Pieces(pieces), MAX_BLANK_BYTES, (bytes) => firstOf(bytes) !== '');
    const first = firstOf(head);
    const format = options.format ?? (first === '{' || first === '[' ? 'ndjson' : 'csv');
    if (format !== 'ndjson') {
      yield* csvItems(all, format, options, (found) => (columns = found));
      return;
    }
    if (first === '[') {
      throw new InputProblem('It is one JSON array. A record a line is needed, as `jq -c ".[]"` makes of it.');
    }
    yield* ndjsonItems(all);
  };
  return {
    items: items(),
    get columns() {
      return columns;
    },
  };
};

const firstOf = (bytes: Buffer): string => bytes.toString('latin1').trimStart().slice(0, 1);

const ndjsonItems = async function* read(pieces: AsyncIterable<Buffer>): AsyncGenerator<InputItem[]> {
  const splitter = createLineSplitter(MAX_LINE_BYTES);
  let number = 0;
  const itemsOf = (lines: Iterable<Line>): InputItem[] => {
    const items: InputItem[] = [];
    for (const line of lines) {
      number += 1;
      if ('problem' in line) items.push({ line: number, problem: LINE_PROBLEMS[line.problem], place: null });
      else if (line.text.trim() !== '') items.push({ line: number, record: line.text });
    }
    return items;
  };
  for await (const piece of pieces) yield itemsOf(eachLine(splitter.lines(piece)));
  yield itemsOf(eachLine(splitter.rest()));
};

const csvItems = async function* read(
  pieces: AsyncIterable<Buffer>,
  format: 'csv' | 'postgres',
  options: RecordsOptions,
  onColumns: (columns: CsvColumns) => void,
): AsyncGenerator<InputItem[]> {
  const { syntax, rows } = await openCsv(pieces, format === 'csv', options.delimiter);
  let columns: CsvColumns | null = null;
  const isDoubtful = options.format === null && syntax.delimiter === '\t';
  const useHeader = (header: readonly string[]): void => onColumns((columns = readHeader(header, syntax, options)));
  if (options.header !== null) useHeader(options.header);
  const itemOf = ({ line, cells }: CsvRow): InputItem | null => {
    if (isEmptyRow(cells)) return null;
    if (columns === null) {
      useHeader(cells);
      return null;
    }
    if (isDoubtful && cells.includes(DATABASE_NULL)) return { line, problem: DOUBTFUL, place: null };
    try {
      return { line, record: columns.read(cells) };
    } catch (error) {
      if (!(error instanceof InputProblem)) throw error;
      return { line, problem: error.message, place: error.place };
    }
  };
  try {
    for await (const some of rows) {
      yield some.flatMap((row) => itemOf(syntax.isQuoted ? row : unescaped(row)) ?? []);
    }
  } catch (error) {
    if (!(error instanceof InputProblem) || error.line === null) throw error;
    const place = error.cell === null ? null : placeIn(columns, error.cell);
    yield [{ line: error.line, problem: error.message, place }];
  }
};

const placeIn = (columns: CsvColumns | null, cell: number): string | null => columns?.placeAt(cell) ?? null;

const DOUBTFUL = String.raw`A cell is \N, as in the text format of PostgreSQL. Read the file with --format postgres; with --format csv such a cell is empty.`;

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };
const END_OF_DATA = String.raw`\.`;

/** Cells as PostgreSQL's text format escapes them. */
const unescaped = ({ line, cells }: CsvRow): CsvRow => ({
  line,
  cells:
    cells.length === 1 && cells[0] === END_OF_DATA
      ? []
      : cells.map((cell) =>
          cell === DATABASE_NULL || !cell.includes('\\')
            ? cell
            : cell.replace(/\\([^])/g, (_, character: string) => ESCAPES[character] ?? character),
        ),
});
