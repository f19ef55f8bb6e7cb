// Pure: records out of rows of CSV. Every cell stays text; a value never becomes a number here.
import { ELEMENT_NAMES, EXPORT_COLUMNS } from '../../streams/pipeline/inputs.ts';
import { readValue } from './csv-values.ts';
import type { DateReader } from './date-format.ts';
import { InputProblem } from './input-encoding.ts';
import { cut, harmless } from '../output/text.ts';

/** Of a file; `postgres` is the text format of COPY. */
export const INPUT_FORMATS = ['ndjson', 'csv', 'postgres'] as const;

/** What a column can be; every other one is a dimension under its own name. */
export const ROLES = ['timestamp', 'element', 'value', 'granularity'] as const;
export type Role = (typeof ROLES)[number];

export interface CsvSyntax {
  readonly delimiter: string;
  /** False for PostgreSQL's text format, in which quotes mean nothing. */
  readonly isQuoted: boolean;
}

export interface CsvOptions {
  /** Columns by their role, if their names do not say it. */
  readonly columns: Readonly<Partial<Record<Role, string>>>;
  /** Columns that are left out. */
  readonly ignored: readonly string[];
  /** The granularity of every record, if no column contains it. */
  readonly granularity: string | null;
  /** Cells hold several values as exports write them: `|` between them, `\` before a `|` or `\` of a value. */
  readonly splitValues: boolean;
  /** Replaces empty cells of dimensions, which are refused if it is null. */
  readonly emptyAs: string | null;
  readonly decimalComma: boolean;
  /** Null: timestamps are sent as they are, in ISO 8601. */
  readonly readDate: DateReader | null;
  readonly dateFormat: string | null;
}

/** The columns of a file, and what each row means. */
export interface CsvColumns {
  /** The header and the delimiter, for messages. */
  readonly words: string;
  /** By the index of a cell; null beyond the last column. */
  placeAt(index: number): string | null;
  /** The text of a record. Throws InputProblem. */
  read(cells: readonly string[]): string;
  /** The column that a field of a record comes from, by the path of an issue; null if none is. */
  columnOf(path: readonly string[]): string | null;
}

/** The names that show by themselves what a column is; in any case, with or without `-`, `_` and blanks. */
const NAMES: Readonly<Record<Role, readonly string[]>> = {
  timestamp: ['timestamp', 'time', 'date', 'bucketstart'],
  element: ['element', 'elementname'],
  value: ['value'],
  granularity: ['granularity'],
};

/** Far more than a record can have. */
const MAX_COLUMNS = 1000;
const MAX_CELL_WIDTH = 60;
const MAX_NAMES = 30;

/** How PostgreSQL and other databases write NULL. */
export const DATABASE_NULL = String.raw`\N`;

export const isEmptyRow = (cells: readonly string[]): boolean => cells.every((cell) => cell.trim() === '');

/** Of a delimiter. */
export const nameOf = (delimiter: string): string => (delimiter === '\t' ? 'tab' : `"${delimiter}"`);

const quoted = (text: string): string => `"${cut(harmless(text), MAX_CELL_WIDTH)}"`;

/** Throws InputProblem if the header does not say which column is what. */
export const readHeader = (header: readonly string[], syntax: CsvSyntax, options: CsvOptions): CsvColumns => {
  const words = headerWords(header, syntax);
  const refuse = (message: string): InputProblem => new InputProblem(`${message}\n${words}`);
  if (header.length > MAX_COLUMNS) throw refuse(`A file has at most ${MAX_COLUMNS} columns.`);
  const places = new Map<string, number>();
  for (const [index, name] of header.entries()) {
    if (places.has(name)) throw refuse(`Two columns have the name ${quoted(name)}.`);
    places.set(name, index);
  }
  for (const name of [...Object.values(options.columns), ...options.ignored]) {
    if (!places.has(name)) throw refuse(`There is no column ${quoted(name)}.`);
  }
  const ignored = new Set(options.ignored);
  const left = header.filter((name) => !ignored.has(name));
  const taken = new Set(Object.values(options.columns));
  const columnFor = (role: Role): string | null => {
    const said = options.columns[role];
    const named = said === undefined ? left.filter((name) => !taken.has(name) && isNamed(name, role)) : [said];
    const [first] = named;
    if (first === undefined) return null;
    if (named.length > 1) {
      throw refuse(
        `${named.map(quoted).join(' and ')} could both be the ${role}: say --column ${role}=${first}, and --ignore or rename the other.`,
      );
    }
    taken.add(first);
    return first;
  };
  const required = (role: Role): string => {
    const column = columnFor(role);
    if (column === null) throw refuse(`No column is the ${role}: say which with --column ${role}=NAME.`);
    return column;
  };
  const [timestamp, element, value] = [required('timestamp'), required('element'), required('value')];
  const granularity = columnFor('granularity');
  if (granularity === null && options.granularity === null) {
    throw refuse('No column is the granularity: say it for all records with --granularity hourly, daily or monthly.');
  }
  const dimensions = left.filter((name) => !taken.has(name));
  for (const name of dimensions) {
    if (name === '') {
      throw refuse(`Column ${header.indexOf(name) + 1} has no name: leave it out with --ignore "".`);
    }
    if (EXPORT_COLUMNS.has(name) || ELEMENT_NAMES.has(name)) {
      throw refuse(`${quoted(name)} cannot be a dimension: leave the column out with --ignore ${name}.`);
    }
  }
  const cellOf = (cells: readonly string[], column: string): string => cells[places.get(column) ?? -1] ?? '';
  const text = JSON.stringify;
  return {
    words,
    placeAt: (index) => {
      const name = header[index];
      return name === undefined ? null : `column ${quoted(name)}`;
    },
    read: (cells) => {
      if (cells.length !== header.length) {
        throw new InputProblem(`The row has ${cells.length} cells, and the header has ${header.length}.`);
      }
      const filled = (column: string): string => {
        const cell = cellOf(cells, column);
        if (isEmpty(cell)) throw cellProblem(column, cell, 'The cell is empty.');
        return cell;
      };
      const filter = dimensions.map((column) => {
        const cell = cellOf(cells, column);
        return `${text(column)}:${text(valuesOf(column, cell, options))}`;
      });
      return `{"timestamp":${text(timestampOf(timestamp, filled(timestamp), options))},"granularity":${text(granularity === null ? options.granularity : filled(granularity))},"element-name":${text(filled(element))},"filter":{${filter.join(',')}},"value":${text(valueOf(value, filled(value), options))}}`;
    },
    columnOf: ([field = '', dimension = '']) => {
      if (field === 'filter') return places.has(dimension) ? dimension : null;
      const columns: Readonly<Record<string, string | null>> = {
        timestamp,
        granularity,
        value,
        'element-name': element,
      };
      return columns[field] ?? null;
    },
  };
};

export const placeOf = (column: string, cell: string): string => `column ${quoted(column)}, cell ${quoted(cell)}`;

const cellProblem = (column: string, cell: string, message: string): InputProblem =>
  new InputProblem(message, { place: placeOf(column, cell) });

const headerWords = (header: readonly string[], { delimiter }: CsvSyntax): string => {
  const more = header.length > MAX_NAMES ? ` and ${header.length - MAX_NAMES} more` : '';
  const separator =
    header.length > 1 ? `, separated by ${nameOf(delimiter)}` : `; no ${nameOf(delimiter)} separates it`;
  return `The header has: ${header.slice(0, MAX_NAMES).map(quoted).join(', ')}${more}${separator}.`;
};

const isNamed = (column: string, role: Role): boolean =>
  NAMES[role].includes(column.toLowerCase().replace(/[-_ ]/g, ''));

const isEmpty = (cell: string): boolean => cell === '' || cell === DATABASE_NULL;

const timestampOf = (column: string, cell: string, { readDate, dateFormat }: CsvOptions): string => {
  if (readDate === null) return cell;
  const timestamp = readDate(cell);
  if (timestamp === null) throw cellProblem(column, cell, `This is not a date in the format ${dateFormat}.`);
  return timestamp;
};

const valueOf = (column: string, cell: string, { decimalComma }: CsvOptions): string => {
  const read = readValue(cell, decimalComma);
  if ('problem' in read) throw cellProblem(column, cell, read.problem);
  return read.value;
};

const valuesOf = (column: string, cell: string, { splitValues, emptyAs }: CsvOptions): string[] => {
  const values = splitValues ? splitCell(cell) : [cell];
  return values.map((value) => {
    if (!isEmpty(value)) return value;
    if (emptyAs !== null) return emptyAs;
    throw cellProblem(
      column,
      cell,
      'A dimension needs a value. --empty-as VALUE sends one for empty cells, --ignore leaves the column out.',
    );
  });
};

/** The inverse of how an export joins the values of one dimension. */
const splitCell = (cell: string): string[] => {
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
};
