// Pure: parses a CSV file, or PostgreSQL's text format, into rows of cells. csv-parse has options to detect the delimiter and to count
// lines, but it guesses if two delimiters are equally likely, and counts a CRLF inside quotes as two lines (7.0.3).
import { isUtf8 } from 'node:buffer';
import { CsvError, parse, type Parser } from 'csv-parse';
import { type CsvSyntax, describeDelimiter } from './csv-columns.ts';
import { InputError, skipBytes, withHead } from './input-encoding.ts';

export interface CsvRow {
  /** The line in which the row begins. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** Maximum size of a row or line, like that of a record in a request. */
const MAX_ROW_BYTES = 1024 * 1024;
/** The header must be within this part of the file. */
const MAX_HEAD_BYTES = 64 * 1024;
const DELIMITERS = [',', ';', '\t', '|'];

const HINTS: Readonly<Record<string, string>> = {
  CSV_INVALID_CLOSING_QUOTE:
    'Text follows the closing quote of a cell. A quote inside a quoted cell is written twice: "".',
  INVALID_OPENING_QUOTE:
    'A cell that does not begin with a quote contains one. Quote the whole cell, and write the quote twice: "".',
  CSV_QUOTE_NOT_CLOSED: 'A quote in this row is never closed.',
  CSV_MAX_RECORD_SIZE: 'The row exceeds the maximum length of a record. Is a quote never closed?',
};

/** Yields the rows of each chunk. Throws InputError after the last valid row. */
export interface CsvRows {
  readonly syntax: CsvSyntax;
  readonly rows: AsyncGenerator<CsvRow[]>;
}

/** If no delimiter is given, it is that of a line `sep=;`, as in Excel, or the most frequent one in the first row. */
export async function openCsv(
  chunks: AsyncIterable<Buffer>,
  isQuoted: boolean,
  given: string | null,
): Promise<CsvRows> {
  const { head, all } = await withHead(
    chunks,
    MAX_HEAD_BYTES,
    (bytes) => findFirstRow(bytes.toString('latin1')) !== null,
  );
  const text = head.toString('latin1');
  const [sepLine = '', separator] = (isQuoted && /^sep=([^\r\n])(?:\r\n?|\n)/i.exec(text)) || [];
  const delimiter = given ?? separator ?? (isQuoted ? detectDelimiter(findFirstRow(text) ?? text) : '\t');
  const syntax = { delimiter, isQuoted };

  return { syntax, rows: parseRows(skipBytes(all, sepLine.length), syntax, sepLine === '' ? 1 : 2) };
}

/**
 * Returns the text up to the first line break outside quotes, without blank lines before it. Null if the line break, or the second
 * half of a CRLF, may follow in the next chunk.
 */
function findFirstRow(text: string): string | null {
  const start = text.search(/[^\r\n]/);
  let isOpen = false;
  for (let at = start; at >= 0 && at < text.length - 1; at += 1) {
    const character = text[at];
    if (character === '"') isOpen = !isOpen;
    else if (!isOpen && (character === '\n' || character === '\r')) return text.slice(start, at);
  }
  return null;
}

function detectDelimiter(row: string): string {
  // Characters inside quotes are not delimiters.
  const outside = row.split('"').filter((_, index) => index % 2 === 0);
  const counts = DELIMITERS.map((delimiter) => ({
    delimiter,
    count: outside.reduce((sum, part) => sum + part.split(delimiter).length - 1, 0),
  })).toSorted((one, other) => other.count - one.count);
  const [best, next] = counts;
  if (!best || !next || best.count === 0) return ',';
  if (best.count > next.count) return best.delimiter;
  throw new InputError(
    `The first row contains ${describeDelimiter(best.delimiter)} and ${describeDelimiter(next.delimiter)} equally often. Specify the one that separates cells with --delimiter.`,
  );
}

const parseRows = async function* read(
  chunks: AsyncIterable<Buffer>,
  { delimiter, isQuoted }: CsvSyntax,
  firstLine: number,
): AsyncGenerator<CsvRow[]> {
  let line = firstLine;
  let rows: CsvRow[] = [];
  const parser = parse({
    delimiter,
    quote: isQuoted ? '"' : null,
    escape: isQuoted ? '"' : null,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    max_record_size: MAX_ROW_BYTES,
    // Collects rows here: the rows that the parser has emitted but not yet delivered are lost when it fails.
    on_record: (cells: string[]) => {
      rows.push({ line, cells });
      line += 1 + countLineBreaks(cells);
      return null;
    },
  });
  parser.on('error', () => undefined).resume();
  const take = (): CsvRow[] => {
    const taken = rows;
    rows = [];
    return taken;
  };
  try {
    for await (const chunk of validateChunks(chunks, firstLine)) {
      await write(parser, chunk);
      yield take();
    }
    await end(parser);
    yield take();
  } catch (error) {
    yield take();
    throw error instanceof CsvError ? toInputError(error, line, delimiter) : error;
  } finally {
    parser.destroy();
  }
};

function write(parser: Parser, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    parser.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

function end(parser: Parser): Promise<void> {
  return new Promise((resolve, reject) => {
    parser.once('error', reject).once('end', resolve).end();
  });
}

function countLineBreaks(cells: readonly string[]): number {
  let breaks = 0;
  for (const cell of cells) {
    if (cell.includes('\n') || cell.includes('\r')) breaks += cell.match(/\r\n|\n|\r/g)?.length ?? 0;
  }
  return breaks;
}

function toInputError(error: CsvError, line: number, delimiter: string): InputError {
  const cell: unknown = error['column'];
  // A file with tabs and unbalanced quotes probably has no quoting.
  const hint =
    delimiter === '\t' ? ' Use --format postgres for a file without quoting, such as the output of \\copy.' : '';
  return new InputError(`${HINTS[error.code] ?? error.message}${hint}`, {
    line,
    cell: typeof cell === 'number' ? cell : null,
  });
}

const NEWLINE = 10;
const RETURN = 13;

/** Yields the bytes in smaller chunks of complete UTF-8 characters. Throws InputError if they are not UTF-8, or if a line is too long. */
const validateChunks = async function* check(chunks: AsyncIterable<Buffer>, firstLine: number): AsyncGenerator<Buffer> {
  let line = firstLine;
  let lineBytes = 0;
  let rest: Buffer = Buffer.alloc(0);
  const checked = (bytes: Buffer): Buffer => {
    for (let start = 0; start < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start);
      const lineEnd = newline < 0 ? bytes.length : newline + 1;
      const part = bytes.subarray(start, lineEnd);
      if (!isUtf8(part)) throw new InputError(NOT_UTF8, { line });
      // Files of classic Mac OS have carriage returns only.
      const lastReturn = newline < 0 ? part.lastIndexOf(RETURN) : -1;
      lineBytes = lastReturn < 0 ? lineBytes + part.length : part.length - lastReturn;
      if (lineBytes > MAX_ROW_BYTES) throw new InputError('Exceeds the maximum length of a record.', { line });
      if (newline >= 0) {
        line += 1;
        lineBytes = 0;
      }
      start = lineEnd;
    }
    return bytes;
  };
  for await (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += MAX_HEAD_BYTES) {
      const bytes = Buffer.concat([rest, chunk.subarray(start, start + MAX_HEAD_BYTES)]);
      const whole = bytes.length - countIncompleteBytes(bytes);
      rest = bytes.subarray(whole);
      yield checked(bytes.subarray(0, whole));
    }
  }
  if (rest.length > 0) yield checked(rest);
};

const NOT_UTF8 =
  'Is not UTF-8. Name the encoding of the file, such as --encoding windows-1252 for a file that Excel saved on Windows, or convert it, for example with `iconv -f WINDOWS-1252 -t UTF-8`.';

/** Returns the number of bytes at the end that are an incomplete character. */
function countIncompleteBytes(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0b1100_0000) return back < (byte >= 0b1111_0000 ? 4 : byte >= 0b1110_0000 ? 3 : 2) ? back : 0;
    if (byte < 0b1000_0000) return 0;
  }
  return 0;
}
