// Pure: the role of each column of a CSV file, from its name or from --column.
import cliTruncate from 'cli-truncate';
import { ELEMENT_NAMES, EXPORT_COLUMNS } from '../../streams/pipeline/inputs.ts';
import { replaceControlCharacters } from '../../terminal/terminal.ts';
import { InputError } from './input-encoding.ts';

/** Roles of columns. A column without a role is a dimension. */
export const ROLES = ['timestamp', 'element', 'value', 'granularity'] as const;
type Role = (typeof ROLES)[number];

export interface CsvSyntax {
  readonly delimiter: string;
  /** False for PostgreSQL's text format, in which quotes have no meaning. */
  readonly isQuoted: boolean;
}

export interface ColumnOptions {
  /** Columns by role, if their names do not show it, and by dimension, if it has another name than the column. */
  readonly columns: Readonly<Record<string, string>>;
  /** Columns that are not read. */
  readonly ignored: readonly string[];
  /** The granularity of every record; null if a column contains it. */
  readonly granularity: string | null;
}

export interface Dimension {
  readonly dimension: string;
  readonly column: string;
}

export interface RoleColumns {
  readonly timestamp: string;
  readonly element: string;
  readonly value: string;
  /** Null if all records have the granularity of the option. */
  readonly granularity: string | null;
  readonly dimensions: readonly Dimension[];
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

export function describeDelimiter(delimiter: string): string {
  return delimiter === '\t' ? 'tab' : `"${replaceControlCharacters(delimiter)}"`;
}

export function quote(text: string): string {
  // A cell has up to 1 MiB, of which only the beginning is shown.
  return `"${cliTruncate(replaceControlCharacters(text.slice(0, 1000)), MAX_CELL_WIDTH)}"`;
}

export function describeHeader(header: readonly string[], { delimiter }: CsvSyntax): string {
  const name = describeDelimiter(delimiter);
  const separator = header.length > 1 ? `, separated by ${name}` : `; it contains no ${name}`;
  return `The header has: ${listNames(header.map(quote))}${separator}.`;
}

function listNames(names: readonly string[]): string {
  const more = names.length > MAX_LISTED_NAMES ? ` and ${names.length - MAX_LISTED_NAMES} more` : '';
  return `${names.slice(0, MAX_LISTED_NAMES).join(', ')}${more}`;
}

/** Returns the index of each column. Throws InputError if two columns have the same name. */
export function indexColumns(header: readonly string[]): ReadonlyMap<string, number> {
  if (header.length > MAX_COLUMNS) throw new InputError(`A file has at most ${MAX_COLUMNS} columns.`);
  const indexes = new Map<string, number>();
  for (const [index, name] of header.entries()) {
    if (indexes.has(name)) throw new InputError(`Two columns have the name ${quote(name)}.`);
    indexes.set(name, index);
  }
  return indexes;
}

/** Throws InputError if the names and options do not determine the role of each column. */
export function resolveColumns(header: readonly string[], options: ColumnOptions): RoleColumns {
  const given = new Map(Object.entries(options.columns));
  assertColumnsExist(new Set(header), [...given.values(), ...options.ignored]);
  const assigned = new Set(given.values());
  const ignored = new Set(options.ignored);
  const free = header.filter((name) => !ignored.has(name) && !assigned.has(name));
  const found: Partial<Record<Role, string>> = {};
  for (const role of ROLES) {
    const column = given.get(role) ?? findByName(role, free);
    if (column !== undefined) found[role] = column;
  }
  const { timestamp, element, value, granularity = null } = found;
  const needsGranularity = granularity === null && options.granularity === null;
  if (timestamp === undefined || element === undefined || value === undefined || needsGranularity) {
    throw missingColumns(found, options.granularity);
  }
  const withRole = new Set([timestamp, element, value, granularity]);
  const dimensionsByColumn = new Map([...given].map(([dimension, column]) => [column, dimension]));
  const dimensions = header
    .filter((column) => !withRole.has(column) && (assigned.has(column) || !ignored.has(column)))
    .map((column): Dimension => ({ dimension: dimensionsByColumn.get(column) ?? column, column }));
  assertDimensions(header, dimensions);
  return { timestamp, element, value, granularity, dimensions };
}

function assertColumnsExist(header: ReadonlySet<string>, names: readonly string[]): void {
  for (const name of names) {
    if (!header.has(name)) throw new InputError(`Column ${quote(name)} does not exist.`);
  }
}

function findByName(role: Role, free: readonly string[]): string | undefined {
  const named = free.filter((column) => NAMES[role].includes(column.toLowerCase().replace(/[-_ ]/g, '')));
  const [first] = named;
  if (named.length <= 1) return first;
  throw new InputError(
    `${named.map(quote).join(' and ')} could both be the ${role}. Use --column ${role}=${first}, and --ignore or rename the other.`,
  );
}

/** Names all missing columns, and lists which columns are needed and which were found. */
function missingColumns(found: Readonly<Partial<Record<Role, string>>>, granularity: string | null): InputError {
  const missing = (['timestamp', 'element', 'value'] as const).filter((role) => found[role] === undefined);
  const [only, ...others] = missing;
  const sentences: string[] = [];
  if (only !== undefined) {
    sentences.push(
      others.length === 0
        ? `No column is the ${only}. Name it with --column ${only}=NAME.`
        : `No columns are the ${missing.slice(0, -1).join(', the ')} and the ${missing.at(-1)}. Name them with ${missing.map((role) => `--column ${role}=NAME`).join(' ')}.`,
    );
  }
  if (found.granularity === undefined && granularity === null) {
    sentences.push(
      'No column is the granularity. Set that of all records with --granularity hourly, daily or monthly.',
    );
  }
  const needed = ROLES.map((role) => {
    const column = found[role];
    if (column !== undefined) return `${role} (${quote(column)})`;
    return `${role} (${role === 'granularity' && granularity !== null ? granularity : 'missing'})`;
  });
  return new InputError(`${sentences.join(' ')}\nA file needs: ${needed.join(', ')}. Other columns are dimensions.`);
}

function assertDimensions(header: readonly string[], dimensions: readonly Dimension[]): void {
  const columns = new Map<string, string>();
  for (const { dimension, column } of dimensions) {
    if (column === '') {
      throw new InputError(`Column ${header.indexOf(column) + 1} has no name. Ignore it with --ignore "".`);
    }
    if (EXPORT_COLUMNS.has(dimension) || ELEMENT_NAMES.has(dimension)) {
      throw new InputError(
        `Column ${quote(column)} cannot be a dimension. Ignore it with --ignore ${column}. To keep it, name its dimension with --column NAME=${column}.`,
      );
    }
    const other = columns.get(dimension);
    if (other !== undefined) {
      throw new InputError(
        `${quote(other)} and ${quote(column)} could both be the dimension ${quote(dimension)}. Ignore one with --ignore.`,
      );
    }
    columns.set(dimension, column);
  }
}

/** Returns the roles of all columns in one line, so that a wrong guess is seen. */
export function describeRoles(columns: RoleColumns, { ignored, granularity }: ColumnOptions): string {
  const { dimensions } = columns;
  const roles = ROLES.map((role) => {
    const column = columns[role];
    return `${role} ${column === null ? granularity : quote(column)}`;
  });
  const names = dimensions.map(({ dimension, column }) =>
    dimension === column ? quote(column) : `${quote(dimension)} from ${quote(column)}`,
  );
  const listed = names.length === 0 ? 'no dimensions' : `dimensions ${listNames(names)}`;
  return `${roles.join(', ')}; ${listed}${ignored.length === 0 ? '' : `; ignored ${listNames(ignored.map(quote))}`}`;
}
