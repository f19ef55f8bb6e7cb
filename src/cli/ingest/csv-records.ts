// Pure: records from rows of CSV. Cells stay text: a value never becomes a number here.
import {
  type ColumnOptions,
  type CsvSyntax,
  describeHeader,
  describeRoles,
  indexColumns,
  quote,
  resolveColumns,
  type RoleColumns,
} from './csv-columns.ts';
import { type ReadValue, readValue } from './csv-values.ts';
import type { DateReader } from './date-format.ts';
import { InputError } from './input-encoding.ts';

/** Formats of an input; `postgres` is the text format of COPY. */
export const INPUT_FORMATS = ['ndjson', 'csv', 'postgres'] as const;

export interface CsvOptions extends ColumnOptions {
  /** Cells contain several values as in exports: separated by `|`, with `\` before a `|` or `\` of a value. */
  readonly splitValues: boolean;
  /** Replaces empty cells of dimensions. If null, they are errors. */
  readonly emptyAs: string | null;
  readonly decimalComma: boolean;
  /** Number of decimals to which values are rounded; null to keep all. */
  readonly round: number | null;
  /** If null, timestamps are sent unchanged, in ISO 8601. */
  readonly readDate: DateReader | null;
  readonly dateFormat: string | null;
}

/** The columns of a file. */
export interface CsvColumns {
  /** The header and the delimiter, for messages. */
  readonly description: string;
  /** The role of each column, for messages. */
  readonly roles: string;
  readonly roleColumns: RoleColumns;
  /** Number of values that were rounded so far. */
  readonly roundedValues: number;
  /** Returns the column of a cell, for messages; null beyond the last column. */
  readonly describeColumn: (cell: number) => string | null;
  /** Returns the JSON text of a record. Throws InputError. */
  readonly toRecord: (cells: readonly string[]) => string;
  /** Returns the column of a field of a record, by the path of an issue; null if the field is not from a column. */
  readonly columnOf: (path: readonly string[]) => string | null;
}

/** NULL as PostgreSQL and other databases write it. */
export const DATABASE_NULL = String.raw`\N`;

export const isEmptyRow = (cells: readonly string[]): boolean => cells.every((cell) => cell.trim() === '');

/** Throws InputError if the header does not determine the role of each column. */
export function readHeader(header: readonly string[], syntax: CsvSyntax, options: CsvOptions): CsvColumns {
  const description = describeHeader(header, syntax);
  const { indexes, columns } = explainErrors(description, () => ({
    indexes: indexColumns(header),
    columns: resolveColumns(header, options),
  }));
  const { timestamp, element, value, granularity, dimensions } = columns;
  const columnsByDimension = new Map(dimensions.map(({ dimension, column }) => [dimension, column]));
  let roundedValues = 0;
  const toText = JSON.stringify;
  return {
    description,
    roles: describeRoles(columns, options),
    roleColumns: columns,
    get roundedValues() {
      return roundedValues;
    },
    describeColumn: (cell) => {
      const name = header[cell];
      return name === undefined ? null : `column ${quote(name)}`;
    },
    toRecord: (cells) => {
      if (cells.length !== header.length) {
        throw new InputError(`The row has ${cells.length} cells, and the header has ${header.length}.`);
      }
      const cellOf = (column: string): string => cells[indexes.get(column) ?? -1] ?? '';
      const filledCellOf = (column: string): string => {
        const cell = cellOf(column);
        if (isEmpty(cell)) throw cellError(column, cell, 'The cell is empty.');
        return cell;
      };
      const filter = dimensions.map(
        ({ dimension, column }) => `${toText(dimension)}:${toText(readValues(column, cellOf(column), options))}`,
      );
      const time = readTimestamp(timestamp, filledCellOf(timestamp), options);
      const recordGranularity = granularity === null ? options.granularity : filledCellOf(granularity);
      const amount = readAmount(value, filledCellOf(value), options);
      if (amount.isRounded) roundedValues += 1;
      return `{"timestamp":${toText(time)},"granularity":${toText(recordGranularity)},"element-name":${toText(filledCellOf(element))},"filter":{${filter.join(',')}},"value":${toText(amount.value)}}`;
    },
    columnOf: ([field = '', dimension = '']) => {
      if (field === 'filter') return columnsByDimension.get(dimension) ?? null;
      const columnsByField: Readonly<Record<string, string | null>> = {
        timestamp,
        granularity,
        value,
        'element-name': element,
      };
      return columnsByField[field] ?? null;
    },
  };
}

export const describeCell = (column: string, cell: string): string => `column ${quote(column)}, cell ${quote(cell)}`;

/** Adds the header to the message of an InputError. */
function explainErrors<Result>(description: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw error instanceof InputError ? new InputError(`${error.message}\n${description}`) : error;
  }
}

function cellError(column: string, cell: string, message: string): InputError {
  return new InputError(message, { location: describeCell(column, cell) });
}

const isEmpty = (cell: string): boolean => cell === '' || cell === DATABASE_NULL;

function readTimestamp(column: string, cell: string, { readDate, dateFormat }: CsvOptions): string {
  if (readDate === null) return cell;
  const timestamp = readDate(cell);
  if (timestamp === null) throw cellError(column, cell, `This is not a date in the format ${dateFormat}.`);
  return timestamp;
}

function readAmount(column: string, cell: string, { decimalComma, round }: CsvOptions): ReadValue {
  const read = readValue(cell, decimalComma, round);
  if ('problem' in read) throw cellError(column, cell, read.problem);
  return read;
}

function readValues(column: string, cell: string, { splitValues, emptyAs }: CsvOptions): string[] {
  const values = splitValues ? splitCell(cell) : [cell];
  return values.map((value) => {
    if (!isEmpty(value)) return value;
    if (emptyAs !== null) return emptyAs;
    throw cellError(
      column,
      cell,
      'A dimension needs a value. Set one for empty cells with --empty-as VALUE, or ignore the column with --ignore.',
    );
  });
}

/** Reverses how an export joins the values of one dimension. */
function splitCell(cell: string): string[] {
  const values: string[] = [];
  let value = '';
  for (let at = 0; at < cell.length; at += 1) {
    const character = cell[at] ?? '';
    if (character === '|') {
      values.push(value);
      value = '';
    } else if (character === '\\' && at + 1 < cell.length) {
      at += 1;
      value += cell[at];
    } else value += character;
  }
  return [...values, value];
}
