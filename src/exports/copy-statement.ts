// Pure: builds the COPY statement with which PostgreSQL writes the lines of a file, so that Node only moves bytes.
import { usageQueryText } from '../usage/query.ts';
import { isElement, type UsageSpec } from '../usage/sums-query.ts';
import { type FileFormat, FIXED_COLUMNS, FORMULA_START } from './formats.ts';

/**
 * Options of a COPY that changes no cell: its CSV form quotes only what contains the delimiter, the quote, CR or LF. The delimiter is
 * CELL_SEPARATOR.
 */
const UNQUOTED = "FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02'";

/** Builds the COPY statement: one line per row, each ending in LF, in the order of the SELECT. */
export function buildCopyStatement(spec: UsageSpec, format: FileFormat): string {
  const rows = `FROM (${usageQueryText(spec)}) q`;
  if (format.extension === 'csv') {
    return `COPY (SELECT ${csvCells(spec, format).join(', ')} ${rows}) TO STDOUT WITH (FORMAT csv, DELIMITER '${format.delimiter}')`;
  }
  const line = format.extension === 'parquet' ? parquetCells(spec).join(', ') : jsonLine(spec);
  // Not in the text form of COPY, which doubles the backslashes of JSON.
  return `COPY (SELECT ${line} ${rows}) TO STDOUT WITH (${UNQUOTED})`;
}

/** Builds the SELECT of the first rows as lines, for a preview, from the same expressions. Rows of Parquet are shown as JSON. */
export function buildSampleQuery(spec: UsageSpec, format: FileFormat, limit: number): string {
  const line = format.extension === 'csv' ? csvLine(spec, format) : jsonLine(spec);
  return `SELECT ${line} AS line FROM (${usageQueryText(spec)} LIMIT ${limit}) q`;
}

const FIXED_CELLS = FIXED_COLUMNS.map((name) => `q."${name}"`);

/** Builds the cells of a CSV row before they are quoted. */
function csvCells(spec: UsageSpec, { isExcel }: FileFormat): string[] {
  const [name = '', ...times] = FIXED_CELLS;
  const text = (cell: string): string =>
    isExcel ? `CASE WHEN ${cell} ~ E'${FORMULA_START.source}' THEN '''' || ${cell} ELSE ${cell} END` : cell;
  return [text(name), ...times, ...csvGroups(spec).map(text), 'q.value'];
}

/** The values of a dimension are joined by `|`; `|` and `\` in a value are escaped by `\`. No value contains U+0001. */
function csvGroups(spec: UsageSpec): string[] {
  return spec.groupBy.map((name, index) => {
    const column = `q.g${index + 1}`;
    if (isElement(name)) return column;
    return `replace(replace(replace(array_to_string(${column}, E'\\x01'), '\\', '\\\\'), '|', '\\|'), E'\\x01', '|')`;
  });
}

/** Builds the expression of a CSV line as COPY writes it. */
function csvLine(spec: UsageSpec, format: FileFormat): string {
  return csvCells(spec, format)
    .map(
      (cell) =>
        `CASE WHEN ${cell} ~ '["${format.delimiter}\\r\\n]' THEN '"' || replace(${cell}, '"', '""') || '"' ELSE coalesce(${cell}, '') END`,
    )
    .join(` || '${format.delimiter}' || `);
}

/** VALUE_SEPARATOR as a literal of SQL. */
const VALUES = "E'\\x03'";

/** Builds the cells of a row that ParquetEncoder reads. */
function parquetCells(spec: UsageSpec): string[] {
  const groups = spec.groupBy.map((name, index) =>
    isElement(name) ? `q.g${index + 1}` : `array_to_string(q.g${index + 1}, ${VALUES})`,
  );
  return [...FIXED_CELLS, ...groups, 'q.value'];
}

function jsonLine(spec: UsageSpec): string {
  return concatenation([
    // Stream names need no escapes (src/streams/pipeline/inputs.ts).
    { text: '{"meterApiName":"' },
    { sql: 'q."meterApiName"' },
    { text: '","bucketStart":"' },
    { sql: 'q."bucketStart"' },
    { text: '","bucketEnd":"' },
    { sql: 'q."bucketEnd"' },
    { text: '"' },
    ...spec.groupBy.flatMap((name, index) => [
      { text: `,${JSON.stringify(name)}:` },
      ...(isElement(name)
        ? jsonText(`q.g${index + 1}`)
        : [{ sql: `coalesce(to_json(q.g${index + 1})::text, 'null')` }]),
    ]),
    { text: ',"value":' },
    { sql: 'q.value' },
    { text: '}' },
  ]);
}

/** Elements are never null and have no control characters, so these two escapes suffice. to_json takes five times as long. */
function jsonText(column: string): Piece[] {
  return [{ text: '"' }, { sql: `replace(replace(${column}, '\\', '\\\\'), '"', '\\"')` }, { text: '"' }];
}

type Piece = { readonly text: string } | { readonly sql: string };

/** Joins the pieces by ||. Adjacent texts are merged, because each || copies the whole line. */
function concatenation(pieces: readonly Piece[]): string {
  const operands: string[] = [];
  let text = '';
  for (const piece of pieces) {
    if ('text' in piece) {
      text += piece.text;
      continue;
    }
    operands.push(textLiteral(text), piece.sql);
    text = '';
  }
  return [...operands, textLiteral(text)].join(' || ');
}

const textLiteral = (text: string): string => `'${text.replaceAll("'", "''")}'`;
