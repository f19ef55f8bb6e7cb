// Pure: NDJSON or CSV as the JSON texts of records, each with its line.
import { describeDelimiter } from './csv-columns.ts';
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
import { decodeInput, InputError, withHead } from './input-encoding.ts';

export interface RecordsOptions extends CsvOptions {
  /** If null, the input is NDJSON if its first character that is not blank is `{`, otherwise CSV. */
  readonly format: (typeof INPUT_FORMATS)[number] | null;
  /** Name of the WHATWG Encoding Standard; null for UTF-8 or UTF-16, which is detected. */
  readonly encoding: string | null;
  /** If null, it is detected. */
  readonly delimiter: string | null;
  /** The columns of a file without a header. */
  readonly header: readonly string[] | null;
}

export type InputItem =
  | { readonly line: number; readonly record: string }
  | {
      readonly line: number;
      readonly problem: string;
      /** The column and cell of the problem; null if it concerns the whole line. */
      readonly location: string | null;
    };

/** How an input is read: what was detected, and what options determine. */
export interface InputReading {
  readonly format: (typeof INPUT_FORMATS)[number];
  readonly encoding: string;
  /** Null for NDJSON. */
  readonly delimiter: string | null;
  /** Null for NDJSON. */
  readonly columns: CsvColumns | null;
}

export interface RecordSource {
  /** The items of each chunk, in the order of the input. Throws InputError if the rest of the input cannot be read. */
  readonly items: AsyncGenerator<InputItem[]>;
  /** Null before the header is read. */
  readonly reading: InputReading | null;
}

/** The server reads at most this much of one record. */
const MAX_LINE_BYTES = 1024 * 1024;
const MAX_BLANK_BYTES = 64 * 1024;
const LINE_PROBLEMS = { TOO_LONG: 'Exceeds the maximum length of a record.', NOT_UTF8: 'Is not UTF-8.' } as const;

export function readRecords(chunks: AsyncIterable<Buffer>, options: RecordsOptions): RecordSource {
  let reading: InputReading | null = null;
  async function* read(): AsyncGenerator<InputItem[]> {
    const { encoding, chunks: utf8 } = await decodeInput(chunks, options.encoding);
    const { head, all } = await withHead(utf8, MAX_BLANK_BYTES, (bytes) => firstCharacter(bytes) !== '');
    const first = firstCharacter(head);
    const format = options.format ?? (first === '{' || first === '[' ? 'ndjson' : 'csv');
    if (format !== 'ndjson') {
      yield* readCsv(all, format, options, (columns, delimiter) => {
        reading = { format, encoding, delimiter, columns };
      });
      return;
    }
    if (first === '[') {
      throw new InputError(
        'The input is a JSON array. Convert it to one record per line, for example with `jq -c ".[]"`.',
      );
    }
    reading = { format, encoding, delimiter: null, columns: null };
    yield* readNdjson(all);
  }
  return {
    items: read(),
    get reading() {
      return reading;
    },
  };
}

/** Describes an input in one line, so that a wrong guess is seen. */
export function describeReading({ format, encoding, delimiter, columns }: InputReading): string {
  if (columns === null || delimiter === null) return `Reading NDJSON in ${encoding}.`;
  const name = format === 'postgres' ? 'the text format of PostgreSQL' : 'CSV';
  return `Reading ${name} in ${encoding}, separated by ${describeDelimiter(delimiter)}: ${columns.roles}.`;
}

const firstCharacter = (bytes: Buffer): string => bytes.toString('latin1').trimStart().slice(0, 1);

async function* readNdjson(chunks: AsyncIterable<Buffer>): AsyncGenerator<InputItem[]> {
  const splitter = createLineSplitter(MAX_LINE_BYTES);
  let number = 0;
  const toItems = (lines: Iterable<Line>): InputItem[] => {
    const items: InputItem[] = [];
    for (const line of lines) {
      number += 1;
      if ('problem' in line) items.push({ line: number, problem: LINE_PROBLEMS[line.problem], location: null });
      else if (line.text.trim() !== '') items.push({ line: number, record: line.text });
    }
    return items;
  };
  for await (const chunk of chunks) yield toItems(eachLine(splitter.lines(chunk)));
  yield toItems(eachLine(splitter.rest()));
}

async function* readCsv(
  chunks: AsyncIterable<Buffer>,
  format: 'csv' | 'postgres',
  options: RecordsOptions,
  onColumns: (columns: CsvColumns, delimiter: string) => void,
): AsyncGenerator<InputItem[]> {
  const { syntax, rows } = await openCsv(chunks, format === 'csv', options.delimiter);
  let columns: CsvColumns | null = null;
  const mayBePostgres = options.format === null && syntax.delimiter === '\t';
  const useHeader = (header: readonly string[]): void =>
    onColumns((columns = readHeader(header, syntax, options)), syntax.delimiter);
  if (options.header !== null) useHeader(options.header);
  const toItem = ({ line, cells }: CsvRow): InputItem | null => {
    if (isEmptyRow(cells)) return null;
    if (columns === null) {
      useHeader(cells);
      return null;
    }
    if (cells[0]?.startsWith('\ufeff')) return { line, problem: INNER_MARK, location: null };
    if (mayBePostgres && cells.includes(DATABASE_NULL)) return { line, problem: AMBIGUOUS_NULL, location: null };
    try {
      return { line, record: columns.toRecord(cells) };
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return { line, problem: error.message, location: error.location };
    }
  };
  try {
    for await (const some of rows) {
      yield some.flatMap((row) => toItem(syntax.isQuoted ? row : unescapeRow(row)) ?? []);
    }
  } catch (error) {
    if (!(error instanceof InputError) || error.line === null) throw error;
    const location = error.cell === null ? null : describeColumn(columns, error.cell);
    yield [{ line: error.line, problem: error.message, location }];
  }
}

function describeColumn(columns: CsvColumns | null, cell: number): string | null {
  return columns?.describeColumn(cell) ?? null;
}

const INNER_MARK = 'The row begins with a byte order mark, as if several files were joined. Remove it.';
const AMBIGUOUS_NULL = String.raw`A cell is \N, as in the text format of PostgreSQL. Use --format postgres to read the file in that format, or --format csv to read the cell as empty.`;

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };
const END_OF_DATA = String.raw`\.`;

/** Removes the escapes of PostgreSQL's text format. */
function unescapeRow({ line, cells }: CsvRow): CsvRow {
  if (cells.length === 1 && cells[0] === END_OF_DATA) return { line, cells: [] };
  const unescape = (cell: string): string =>
    cell === DATABASE_NULL || !cell.includes('\\')
      ? cell
      : cell.replace(/\\([^])/g, (_, character: string) => ESCAPES[character] ?? character);
  return { line, cells: cells.map(unescape) };
}
