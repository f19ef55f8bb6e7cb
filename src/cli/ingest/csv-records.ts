// Pure: records from rows of CSV. Cells stay text: a value never becomes a number here.
import cliTruncate from 'cli-truncate';
import { ELEMENT_NAMES, EXPORT_COLUMNS } from '../../streams/pipeline/inputs.ts';
import { replaceControlCharacters } from '../../terminal/terminal.ts';
import { readValue } from './csv-values.ts';
import type { DateReader } from './date-format.ts';
import { InputError } from './input-encoding.ts';

/** Formats of an input; `postgres` is the text format of COPY. */
export const INPUT_FORMATS = ['ndjson', 'csv', 'postgres'] as const;

/** Roles of columns. A column without a role is a dimension with the name of the column. */
export const ROLES = ['timestamp', 'element', 'value', 'granularity'] as const;
export type Role = (typeof ROLES)[number];

export interface CsvSyntax {
  readonly delimiter: string;
  /** False for PostgreSQL's text format, in which quotes have no meaning. */
  readonly isQuoted: boolean;
}

export interface CsvOptions {
  /** The columns whose names do not show their roles. */
  readonly columns: Readonly<Partial<Record<Role, string>>>;
  /** Columns that are not read. */
  readonly ignored: readonly string[];
  /** The granularity of every record; null if a column contains it. */
  readonly granularity: string | null;
  /** Cells contain several values as in exports: separated by `|`, with `\` before a `|` or `\` of a value. */
  readonly splitValues: boolean;
  /** Replaces empty cells of dimensions. If null, they are errors. */
  readonly emptyAs: string | null;
  readonly decimalComma: boolean;
  /** If null, timestamps are sent unchanged, in ISO 8601. */
  readonly readDate: DateReader | null;
  readonly dateFormat: string | null;
}

/** The columns of a file. */
export interface CsvColumns {
  /** The header and the delimiter, for messages. */
  readonly description: string;
  /** Returns the column of a cell, for messages; null beyond the last column. */
  readonly describeColumn: (cell: number) => string | null;
  /** Returns the JSON text of a record. Throws InputError. */
  readonly toRecord: (cells: readonly string[]) => string;
  /** Returns the column of a field of a record, by the path of an issue; null if the field is not from a column. */
  readonly columnOf: (path: readonly string[]) => string | null;
}

/** Names that show the role of a column, in any case and with or without `-`, `_` and spaces. */
const NAMES: Readonly<Record<Role, readonly string[]>> = {
  timestamp: ['timestamp', 'time', 'date', 'bucketstart'],
  element: ['element', 'elementname'],
  value: ['value'],
  granularity: ['granularity'],
};

const MAX_COLUMNS = 1000;
const MAX_CELL_WIDTH = 60;
const MAX_LISTED_NAMES = 30;

/** NULL as PostgreSQL and other databases write it. */
export const DATABASE_NULL = String.raw`\N`;

export const isEmptyRow = (cells: readonly string[]): boolean => cells.every((cell) => cell.trim() === '');

export const describeDelimiter = (delimiter: string): string => (delimiter === '\t' ? 'tab' : `"${delimiter}"`);

function quote(text: string): string {
  // A cell has up to 1 MiB, of which only the beginning is shown.
  return `"${cliTruncate(replaceControlCharacters(text.slice(0, 1000)), MAX_CELL_WIDTH)}"`;
}

/** Throws InputError if the header does not determine the role of each column. */
export function readHeader(header: readonly string[], syntax: CsvSyntax, options: CsvOptions): CsvColumns {
  const description = describeHeader(header, syntax);
  const invalid = (message: string): InputError => new InputError(`${message}\n${description}`);
  if (header.length > MAX_COLUMNS) throw invalid(`A file has at most ${MAX_COLUMNS} columns.`);
  const indexes = new Map<string, number>();
  for (const [index, name] of header.entries()) {
    if (indexes.has(name)) throw invalid(`Two columns have the name ${quote(name)}.`);
    indexes.set(name, index);
  }
  for (const name of [...Object.values(options.columns), ...options.ignored]) {
    if (!indexes.has(name)) throw invalid(`Column ${quote(name)} does not exist.`);
  }
  const ignored = new Set(options.ignored);
  const used = header.filter((name) => !ignored.has(name));
  const withRole = new Set(Object.values(options.columns));
  const findColumn = (role: Role): string | null => {
    const given = options.columns[role];
    const named = given === undefined ? used.filter((name) => !withRole.has(name) && isNamed(name, role)) : [given];
    const [first] = named;
    if (first === undefined) return null;
    if (named.length > 1) {
      throw invalid(
        `${named.map(quote).join(' and ')} could both be the ${role}. Use --column ${role}=${first}, and --ignore or rename the other.`,
      );
    }
    withRole.add(first);
    return first;
  };
  const requireColumn = (role: Role): string => {
    const column = findColumn(role);
    if (column === null) throw invalid(`No column is the ${role}. Name it with --column ${role}=NAME.`);
    return column;
  };
  const [timestamp, element, value] = [requireColumn('timestamp'), requireColumn('element'), requireColumn('value')];
  const granularity = findColumn('granularity');
  if (granularity === null && options.granularity === null) {
    throw invalid('No column is the granularity. Set that of all records with --granularity hourly, daily or monthly.');
  }
  const dimensions = used.filter((name) => !withRole.has(name));
  for (const name of dimensions) {
    if (name === '') throw invalid(`Column ${header.indexOf(name) + 1} has no name. Ignore it with --ignore "".`);
    if (EXPORT_COLUMNS.has(name) || ELEMENT_NAMES.has(name)) {
      throw invalid(`Column ${quote(name)} cannot be a dimension. Ignore it with --ignore ${name}.`);
    }
  }
  const toText = JSON.stringify;
  return {
    description,
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
        (column) => `${toText(column)}:${toText(readValues(column, cellOf(column), options))}`,
      );
      const time = readTimestamp(timestamp, filledCellOf(timestamp), options);
      const recordGranularity = granularity === null ? options.granularity : filledCellOf(granularity);
      const amount = readAmount(value, filledCellOf(value), options);
      return `{"timestamp":${toText(time)},"granularity":${toText(recordGranularity)},"element-name":${toText(filledCellOf(element))},"filter":{${filter.join(',')}},"value":${toText(amount)}}`;
    },
    columnOf: ([field = '', dimension = '']) => {
      if (field === 'filter') return indexes.has(dimension) ? dimension : null;
      const columns: Readonly<Record<string, string | null>> = {
        timestamp,
        granularity,
        value,
        'element-name': element,
      };
      return columns[field] ?? null;
    },
  };
}

export const describeCell = (column: string, cell: string): string => `column ${quote(column)}, cell ${quote(cell)}`;

function cellError(column: string, cell: string, message: string): InputError {
  return new InputError(message, { location: describeCell(column, cell) });
}

function describeHeader(header: readonly string[], { delimiter }: CsvSyntax): string {
  const more = header.length > MAX_LISTED_NAMES ? ` and ${header.length - MAX_LISTED_NAMES} more` : '';
  const name = describeDelimiter(delimiter);
  const separator = header.length > 1 ? `, separated by ${name}` : `; it contains no ${name}`;
  return `The header has: ${header.slice(0, MAX_LISTED_NAMES).map(quote).join(', ')}${more}${separator}.`;
}

function isNamed(column: string, role: Role): boolean {
  return NAMES[role].includes(column.toLowerCase().replace(/[-_ ]/g, ''));
}

const isEmpty = (cell: string): boolean => cell === '' || cell === DATABASE_NULL;

function readTimestamp(column: string, cell: string, { readDate, dateFormat }: CsvOptions): string {
  if (readDate === null) return cell;
  const timestamp = readDate(cell);
  if (timestamp === null) throw cellError(column, cell, `This is not a date in the format ${dateFormat}.`);
  return timestamp;
}

function readAmount(column: string, cell: string, { decimalComma }: CsvOptions): string {
  const read = readValue(cell, decimalComma);
  if ('problem' in read) throw cellError(column, cell, read.problem);
  return read.value;
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
