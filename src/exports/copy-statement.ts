// Pure: builds the COPY statement with which PostgreSQL writes the lines of a file, so that Node only moves bytes.
import type { ObjectExtension } from '../jobs/destination.ts';
import { isElement, usageQueryText, type UsageSpec } from '../usage/query.ts';

/** Builds the COPY statement: one line per row, each ending in LF, in the order of the SELECT. */
export function buildCopyStatement(spec: UsageSpec, extension: ObjectExtension): string {
  return extension === 'csv'
    ? `COPY (${csvColumns(spec)} FROM (${usageQueryText(spec)}) q) TO STDOUT WITH (FORMAT csv)`
    : // The text format of COPY doubles backslashes, which breaks JSON. The CSV format changes only what needs quotes, and
      // nothing does if quote and delimiter are control characters, which JSON text cannot contain.
      `COPY (SELECT ${jsonLine(spec)} FROM (${usageQueryText(spec)}) q) TO STDOUT WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')`;
}

/** Builds the SELECT of the first rows as lines, for a preview, from the same expressions. */
export function buildSampleQuery(spec: UsageSpec, extension: ObjectExtension, limit: number): string {
  return extension === 'csv'
    ? `SELECT ${csvLine(spec)} AS line FROM (${usageQueryText(spec)} LIMIT ${limit}) q`
    : `SELECT ${jsonLine(spec)} AS line FROM (${usageQueryText(spec)} LIMIT ${limit}) q`;
}

function csvColumns(spec: UsageSpec): string {
  return `SELECT q."meterApiName", q."bucketStart", q."bucketEnd"${csvGroups(spec)
    .map((group) => `, ${group}`)
    .join('')}, q.value`;
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
function csvLine(spec: UsageSpec): string {
  const columns = ['q."meterApiName"', 'q."bucketStart"', 'q."bucketEnd"', ...csvGroups(spec), 'q.value'];
  return columns
    .map(
      (column) =>
        `CASE WHEN ${column} ~ '[",\\r\\n]' THEN '"' || replace(${column}, '"', '""') || '"' ELSE coalesce(${column}, '') END`,
    )
    .join(` || ',' || `);
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
