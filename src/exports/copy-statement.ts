// Pure: the COPY statement that makes Postgres write the lines of a file, so that Node only moves bytes.
import type { ObjectExtension } from '../jobs/destination.ts';
import { isElement, usageQueryText, type UsageSpec } from '../usage/query.ts';

/** One line a row, each ending in LF, in the order of the SELECT. */
export const buildCopyStatement = (spec: UsageSpec, extension: ObjectExtension): string =>
  extension === 'csv'
    ? `COPY (${csvColumns(spec)} FROM (${usageQueryText(spec)}) q) TO STDOUT WITH (FORMAT csv)`
    : // The text form of COPY doubles backslashes, which breaks JSON. The CSV form leaves alone what needs no quotes,
      // and with a quote and a delimiter that no JSON text can hold (both are control characters) nothing ever does.
      `COPY (SELECT ${jsonLine(spec)} FROM (${usageQueryText(spec)}) q) TO STDOUT WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')`;

/** The first rows as lines, for a preview: the same expressions in a SELECT of one column. */
export const buildSampleQuery = (spec: UsageSpec, extension: ObjectExtension, limit: number): string =>
  extension === 'csv'
    ? `SELECT ${csvLine(spec)} AS line FROM (${usageQueryText(spec)} LIMIT ${limit}) q`
    : `SELECT ${jsonLine(spec)} AS line FROM (${usageQueryText(spec)} LIMIT ${limit}) q`;

const csvColumns = (spec: UsageSpec): string =>
  `SELECT q."meterApiName", q."bucketStart", q."bucketEnd"${csvGroups(spec)
    .map((group) => `, ${group}`)
    .join('')}, q.value`;

/** Several values of a dimension are joined by `|`; `|` and `\` in a value are escaped by `\`. U+0001 is in none. */
const csvGroups = (spec: UsageSpec): string[] =>
  spec.groupBy.map((name, index) => {
    const column = `q.g${index + 1}`;
    if (isElement(name)) return column;
    return `replace(replace(replace(array_to_string(${column}, E'\\x01'), '\\', '\\\\'), '|', '\\|'), E'\\x01', '|')`;
  });

/** A CSV line as COPY writes it. */
const csvLine = (spec: UsageSpec): string => {
  const columns = ['q."meterApiName"', 'q."bucketStart"', 'q."bucketEnd"', ...csvGroups(spec), 'q.value'];
  return columns
    .map(
      (column) =>
        `CASE WHEN ${column} ~ '[",\\r\\n]' THEN '"' || replace(${column}, '"', '""') || '"' ELSE coalesce(${column}, '') END`,
    )
    .join(` || ',' || `);
};

const jsonLine = (spec: UsageSpec): string =>
  concatenation([
    // Names of streams need no escapes (streams/inputs.ts).
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

/** Elements are never null and hold no controls, so these are all the escapes there are. to_json takes five times as long. */
const jsonText = (column: string): Piece[] => [
  { text: '"' },
  { sql: `replace(replace(${column}, '\\', '\\\\'), '"', '\\"')` },
  { text: '"' },
];

type Piece = { readonly text: string } | { readonly sql: string };

/** Texts that meet are one: each || copies the whole line. */
const concatenation = (pieces: readonly Piece[]): string => {
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
};

const textLiteral = (text: string): string => `'${text.replaceAll("'", "''")}'`;
