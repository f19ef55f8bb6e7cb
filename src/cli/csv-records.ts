// Pure: records out of CSV: RFC 4180, a header first. Every cell stays text; a value never becomes a number here.
import { ELEMENT_NAMES, EXPORT_COLUMNS } from '../streams/inputs.ts';

/** What a column can be; every other one is a dimension under its own name. */
export const ROLES = ['timestamp', 'element', 'value', 'granularity'] as const;
export type Role = (typeof ROLES)[number];

export interface CsvOptions {
  readonly delimiter: string;
  /** Columns by what they are, where their own names do not tell. */
  readonly columns: Readonly<Partial<Record<Role, string>>>;
  /** Columns that are left out. */
  readonly ignored: readonly string[];
  /** Of every record, where no column tells it. */
  readonly granularity: string | null;
  /** Cells hold several values as exports write them: `|` between them, `\` before a `|` or `\` of a value. */
  readonly splitValues: boolean;
}

/** The names that tell by themselves what a column is; in any case, with or without `-`, `_` and blanks. */
const NAMES: Readonly<Record<Role, readonly string[]>> = {
  timestamp: ['timestamp', 'time', 'date', 'bucketstart'],
  element: ['element', 'elementname'],
  value: ['value'],
  granularity: ['granularity'],
};

/** What is wrong with a line, for the person whose file it is. */
export class CsvProblem extends Error {}

/** Turns one row after another into the text of a record. Throws CsvProblem. */
export type RowReader = (cells: readonly string[]) => string;

/** The columns as the header names them. Throws CsvProblem where it cannot be told which of them is what. */
export const readHeader = (header: readonly string[], options: CsvOptions): RowReader => {
  const repeated = header.find((name, index) => header.indexOf(name) !== index);
  if (repeated !== undefined) throw new CsvProblem(`There are two columns "${repeated}".`);
  for (const name of [...Object.values(options.columns), ...options.ignored]) {
    if (!header.includes(name)) throw new CsvProblem(`There is no column "${name}". There are: ${header.join(', ')}.`);
  }
  const left = header.filter((name) => !options.ignored.includes(name));
  const taken = new Set(Object.values(options.columns));
  const placeOf = (role: Role): number => {
    const said = options.columns[role];
    const named = said === undefined ? left.filter((name) => !taken.has(name) && isNamed(name, role)) : [said];
    if (named.length > 1) {
      throw new CsvProblem(
        `"${named.join('" and "')}" may both be the ${role}: say --column ${role}=${named[0]}, and --ignore or rename the other.`,
      );
    }
    if (named[0] === undefined) return -1;
    taken.add(named[0]);
    return header.indexOf(named[0]);
  };
  const places = { timestamp: placeOf('timestamp'), element: placeOf('element'), value: placeOf('value') };
  const granularityAt = placeOf('granularity');
  for (const [role, place] of Object.entries(places)) {
    if (place < 0) throw new CsvProblem(`No column is the ${role}: say which with --column ${role}=NAME.`);
  }
  if (granularityAt < 0 && options.granularity === null) {
    throw new CsvProblem(
      'No column is the granularity: say it for all records with --granularity hourly, daily or monthly.',
    );
  }
  const dimensions = left.filter((name) => !taken.has(name));
  for (const name of dimensions) {
    if (EXPORT_COLUMNS.has(name) || ELEMENT_NAMES.has(name)) {
      throw new CsvProblem(`"${name}" can be no dimension: leave the column out with --ignore ${name}.`);
    }
  }
  const dimensionPlaces = dimensions.map((name) => header.indexOf(name));
  const text = JSON.stringify;
  return (cells) => {
    if (cells.length !== header.length) {
      throw new CsvProblem(`It has ${cells.length} cells, and the header has ${header.length}.`);
    }
    const at = (place: number): string => cells[place] ?? '';
    const filter = dimensions.map((name, index) => {
      const cell = at(dimensionPlaces[index] ?? -1);
      return `${text(name)}:${text(options.splitValues ? splitCell(cell) : [cell])}`;
    });
    const granularity = granularityAt < 0 ? (options.granularity ?? '') : at(granularityAt);
    return `{"timestamp":${text(at(places.timestamp))},"granularity":${text(granularity)},"element-name":${text(at(places.element))},"filter":{${filter.join(',')}},"value":${text(at(places.value))}}`;
  };
};

const isNamed = (column: string, role: Role): boolean =>
  NAMES[role].includes(column.toLowerCase().replace(/[-_ ]/g, ''));

/** The inverse of how an export joins the values of one dimension. */
const splitCell = (cell: string): string[] =>
  [...cell.matchAll(/(?:^|\|)((?:[^|\\]|\\[^]?)*)/g)].map(([, value = '']) => value.replace(/\\([^])/g, '$1'));

/** The cells of one row, or null where a quote is still open and the row goes on in the next line. */
export const cellsOf = (row: string, delimiter: string): string[] | null => {
  if (!row.includes('"')) return row.split(delimiter);
  const cells: string[] = [];
  for (let at = 0; ; at += 1) {
    let cell = '';
    let isQuoted = false;
    while (row[at] === '"') {
      const end = row.indexOf('"', at + 1);
      if (end < 0) return null;
      // Two quotes are one of the text: the second opens the rest of the cell.
      cell += (isQuoted ? '"' : '') + row.slice(at + 1, end);
      isQuoted = true;
      at = end + 1;
    }
    const end = row.indexOf(delimiter, at);
    cells.push(cell + row.slice(at, end < 0 ? undefined : end));
    if (end < 0) return cells;
    at = end;
  }
};
