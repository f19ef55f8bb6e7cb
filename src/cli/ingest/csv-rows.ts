// Pure: rows of cells out of the bytes of a CSV file, or of PostgreSQL's text format.
import { isUtf8 } from 'node:buffer';
import { CsvError, parse, type Parser } from 'csv-parse';
import { type CsvSyntax, nameOf } from './csv-records.ts';
import { InputProblem, withHead } from './input-encoding.ts';

export interface CsvRow {
  /** The line in which the row begins. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** Maximum size of a row or line. The server reads the same maximum of one record. */
const MAX_ROW_BYTES = 1024 * 1024;
/** The header must be within this part of the file. */
const MAX_HEAD_BYTES = 64 * 1024;
const DELIMITERS = [',', ';', '\t', '|'];

const HINTS: Readonly<Record<string, string>> = {
  CSV_INVALID_CLOSING_QUOTE:
    'Text follows the closing quote of a cell. A quote inside a quoted cell is written twice: "".',
  INVALID_OPENING_QUOTE:
    'A cell that does not begin with a quote contains one. Quote the whole cell, and write the quote twice: "".',
  CSV_QUOTE_NOT_CLOSED: 'A quote that is opened in this row is never closed.',
  CSV_MAX_RECORD_SIZE: 'The row is longer than any record can be. Is a quote never closed?',
};

/** The rows of each piece. Throws InputProblem after the last good row. */
export interface CsvRows {
  readonly syntax: CsvSyntax;
  readonly rows: AsyncGenerator<CsvRow[]>;
}

/** Finds the delimiter unless it is given: in a line `sep=;` as Excel reads it, otherwise the most frequent one in the first row. */
export const openCsv = async (
  pieces: AsyncIterable<Buffer>,
  isQuoted: boolean,
  given: string | null,
): Promise<CsvRows> => {
  const { head, all } = await withHead(
    pieces,
    MAX_HEAD_BYTES,
    (bytes) => firstRowOf(bytes.toString('latin1')) !== null,
  );
  const text = head.toString('latin1');
  const [sepLine = '', separator] = (isQuoted && /^sep=([^\r\n])(?:\r\n?|\n)/i.exec(text)) || [];
  const delimiter = given ?? separator ?? (isQuoted ? delimiterOf(firstRowOf(text) ?? text) : '\t');
  const syntax = { delimiter, isQuoted };
  return { syntax, rows: rowsOf(withoutFirst(all, sepLine.length), syntax, sepLine === '' ? 1 : 2) };
};

/**
 * Up to the first line break outside quotes, without blank lines before it; null as long as the line break may be missing or
 * only half of CRLF.
 */
const firstRowOf = (text: string): string | null => {
  const start = text.search(/[^\r\n]/);
  let isOpen = false;
  for (let at = start; at >= 0 && at < text.length - 1; at += 1) {
    const character = text[at];
    if (character === '"') isOpen = !isOpen;
    else if (!isOpen && (character === '\n' || character === '\r')) return text.slice(start, at);
  }
  return null;
};

const delimiterOf = (row: string): string => {
  // Characters between quotes are not delimiters.
  const outside = row.split('"').filter((_, index) => index % 2 === 0);
  const counts = DELIMITERS.map((delimiter) => ({
    delimiter,
    count: outside.reduce((sum, part) => sum + part.split(delimiter).length - 1, 0),
  })).toSorted((one, other) => other.count - one.count);
  const [best, next] = counts;
  if (!best || !next || best.count === 0) return ',';
  if (best.count > next.count) return best.delimiter;
  throw new InputProblem(
    `The first row contains ${nameOf(best.delimiter)} and ${nameOf(next.delimiter)} equally often. Say which one separates cells with --delimiter.`,
  );
};

const withoutFirst = async function* skip(pieces: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer> {
  let left = bytes;
  for await (const piece of pieces) {
    if (piece.length > left) yield piece.subarray(left);
    left = Math.max(0, left - piece.length);
  }
};

const rowsOf = async function* read(
  pieces: AsyncIterable<Buffer>,
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
    // Rows are taken here, in the order of the file; what the parser passes on is lost when it fails.
    on_record: (cells: string[]) => {
      rows.push({ line, cells });
      // The parser's own count takes a CRLF inside quotes for two lines.
      line += 1 + breaksIn(cells);
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
    for await (const piece of checkedPieces(pieces, firstLine)) {
      await write(parser, piece);
      yield take();
    }
    await end(parser);
    yield take();
  } catch (error) {
    yield take();
    throw error instanceof CsvError ? problemOf(error, line, delimiter) : error;
  } finally {
    parser.destroy();
  }
};

const write = (parser: Parser, piece: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    parser.write(piece, (error) => (error ? reject(error) : resolve()));
  });

const end = (parser: Parser): Promise<void> =>
  new Promise((resolve, reject) => {
    parser.once('error', reject).once('end', resolve).end();
  });

const breaksIn = (cells: readonly string[]): number => {
  let breaks = 0;
  for (const cell of cells) {
    if (cell.includes('\n') || cell.includes('\r')) breaks += cell.match(/\r\n|\n|\r/g)?.length ?? 0;
  }
  return breaks;
};

const problemOf = (error: CsvError, line: number, delimiter: string): InputProblem => {
  const cell: unknown = error['column'];
  // A file with tabs and loose quotes is rather one without quoting.
  const hint = delimiter === '\t' ? ' Read a file without quoting, as of \\copy, with --format postgres.' : '';
  return new InputProblem(`${HINTS[error.code] ?? error.message}${hint}`, {
    line,
    cell: typeof cell === 'number' ? cell : null,
  });
};

const NEWLINE = 10;
const RETURN = 13;

/** The same bytes in smaller pieces, each whole characters of UTF-8. Throws InputProblem for others, and for a line without end. */
const checkedPieces = async function* check(pieces: AsyncIterable<Buffer>, firstLine: number): AsyncGenerator<Buffer> {
  let line = firstLine;
  let lineBytes = 0;
  let rest: Buffer = Buffer.alloc(0);
  const checked = (bytes: Buffer): Buffer => {
    for (let start = 0; start < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start);
      const lineEnd = newline < 0 ? bytes.length : newline + 1;
      const part = bytes.subarray(start, lineEnd);
      if (!isUtf8(part)) throw new InputProblem(NOT_UTF8, { line });
      // Files of old Macs have only carriage returns.
      const lastReturn = newline < 0 ? part.lastIndexOf(RETURN) : -1;
      lineBytes = lastReturn < 0 ? lineBytes + part.length : part.length - lastReturn;
      if (lineBytes > MAX_ROW_BYTES) throw new InputProblem('Is longer than any record can be.', { line });
      if (newline >= 0) {
        line += 1;
        lineBytes = 0;
      }
      start = lineEnd;
    }
    return bytes;
  };
  for await (const piece of pieces) {
    for (let start = 0; start < piece.length; start += MAX_HEAD_BYTES) {
      const bytes = Buffer.concat([rest, piece.subarray(start, start + MAX_HEAD_BYTES)]);
      const whole = bytes.length - unfinishedBytes(bytes);
      rest = bytes.subarray(whole);
      yield checked(bytes.subarray(0, whole));
    }
  }
  if (rest.length > 0) yield checked(rest);
};

const NOT_UTF8 = 'Is not UTF-8. Convert the file first, for example with `iconv -f WINDOWS-1252 -t UTF-8`.';

/** The bytes of a character at the end of which more bytes are to come. */
const unfinishedBytes = (bytes: Buffer): number => {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0b1100_0000) return back < (byte >= 0b1111_0000 ? 4 : byte >= 0b1110_0000 ? 3 : 2) ? back : 0;
    if (byte < 0b1000_0000) return 0;
  }
  return 0;
};
