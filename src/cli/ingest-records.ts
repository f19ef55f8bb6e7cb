// Pure: lines of NDJSON or CSV as the texts of records, each with its line.
import type { Line } from '../lib/lines.ts';
import { cellsOf, type CsvOptions, CsvProblem, readHeader, type RowReader } from './csv-records.ts';

export interface RecordsOptions extends CsvOptions {
  /** Null: NDJSON where the first line that is not blank begins with `{`. */
  readonly format: 'ndjson' | 'csv' | null;
}

/** Takes records and what is wrong with lines. */
export interface RecordsTaker {
  add(record: string, line: number): void;
  problem(line: number, message: string): void;
}

export interface RecordsReader {
  /** Throws CsvProblem where of no line can be told what it means. */
  read(line: Line): void;
  end(): void;
}

const LINE_PROBLEMS = { TOO_LONG: 'Is longer than any record can be.', NOT_UTF8: 'Is not UTF-8.' } as const;

/** A row of so many lines is one whose quote was never closed. */
const MOST_LINES_OF_ROW = 1000;

export const createRecordsReader = (options: RecordsOptions, taker: RecordsTaker): RecordsReader => {
  let number = 0;
  let readText: ((text: string, line: number) => void) | null = null;
  let csv: CsvReader | null = null;
  return {
    read: (line) => {
      number += 1;
      if ('problem' in line) {
        taker.problem(number, LINE_PROBLEMS[line.problem]);
        return;
      }
      const text = number === 1 && line.text.startsWith('\ufeff') ? line.text.slice(1) : line.text;
      if (readText === null) {
        if (text.trim() === '') return;
        const format = options.format ?? (/^\s*[{[]/.test(text) ? 'ndjson' : 'csv');
        if (format === 'ndjson' && /^\s*\[/.test(text)) {
          throw new CsvProblem('It is one JSON array. A record a line is needed, as `jq -c ".[]"` makes of it.');
        }
        csv = format === 'csv' ? createCsvReader(options, taker) : null;
        readText = csv
          ? (row, at) => csv?.read(row, at)
          : (record, at) => {
              if (record.trim() !== '') taker.add(record, at);
            };
      }
      readText(text, number);
    },
    end: () => csv?.end(),
  };
};

interface CsvReader {
  read(text: string, line: number): void;
  end(): void;
}

const createCsvReader = (options: CsvOptions, taker: RecordsTaker): CsvReader => {
  let readRow: RowReader | null = null;
  /** Lines of a row that goes on, since a quote is open. */
  let open: string[] = [];
  let openedAt = 0;
  const unclosed = (): CsvProblem => new CsvProblem(`A quote that is opened in line ${openedAt} is never closed.`);
  return {
    read: (raw, line) => {
      const text = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (open.length === 0 && text.trim() === '') return;
      const isContinued = open.length > 0;
      // Only a line with a quote can close one.
      const cells = isContinued && !text.includes('"') ? null : cellsOf([...open, text].join('\n'), options.delimiter);
      if (!isContinued) openedAt = line;
      if (cells === null) {
        open.push(text);
        if (open.length > MOST_LINES_OF_ROW) throw unclosed();
        return;
      }
      open = [];
      if (readRow === null) {
        readRow = readHeader(cells, options);
        return;
      }
      try {
        taker.add(readRow(cells), openedAt);
      } catch (error) {
        if (!(error instanceof CsvProblem)) throw error;
        taker.problem(openedAt, error.message);
      }
    },
    end: () => {
      if (open.length > 0) throw unclosed();
    },
  };
};
