// Pure: how rows become a file in each format, and what a key says about its file.
import { type JobSettings, readSetting } from '../jobs/settings.ts';
import type { ObjectCompression, ObjectExtension } from '../jobs/destination.ts';

/** The format of a file: what the settings of a job say about it. */
export interface FileFormat {
  readonly extension: ObjectExtension;
  readonly compression: ObjectCompression;
  /** For spreadsheets: byte order mark, CRLF, and no cell that is a formula. Only in CSV. */
  readonly isExcel: boolean;
  /** Character between the cells of CSV. */
  readonly delimiter: ',' | ';';
}

/** Rows are lines that end in LF. No row contains an LF, because names and values have no control characters. */
export interface Framing {
  /** Written before the first row. */
  readonly opening: Buffer;
  /** Whether each LF becomes CRLF. */
  readonly crlf: boolean;
  /** Replaces the LF of each row. */
  readonly separator: number;
  /** Replaces the last separator; null if the format has no closing. */
  readonly closing: number | null;
}

const LF = 0x0a;
const COMMA = 0x2c;
const CLOSING_BRACKET = 0x5d;
const BYTE_ORDER_MARK = '\ufeff';

/** The columns before the groups, in the order of the file; `value` follows the groups. */
export const FIXED_COLUMNS = ['meterApiName', 'bucketStart', 'bucketEnd'] as const;

export function fileFormatOf(settings: JobSettings): FileFormat {
  return {
    extension: ({ CSV: 'csv', JSON: 'json', NDJSON: 'ndjson', PARQUET: 'parquet' } as const)[settings.format],
    compression: settings.compression,
    isExcel: readSetting(settings, 'csvDialect') === 'EXCEL',
    delimiter: readSetting(settings, 'csvDelimiter') === 'SEMICOLON' ? ';' : ',',
  };
}

const CONTENT_TYPES: Record<ObjectExtension, string> = {
  csv: 'text/csv; charset=utf-8',
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
};

/** Returns the content type. Compressed files have one of their own, not a Content-Encoding, which some clients decode silently. */
export function contentTypeOf({ extension, compression }: Pick<FileFormat, 'extension' | 'compression'>): string {
  if (extension === 'parquet' || compression === 'NONE') return CONTENT_TYPES[extension];
  return compression === 'GZIP' ? 'application/gzip' : 'application/zstd';
}

/** Returns how lines become a file of any format but Parquet. */
export function buildFraming(format: FileFormat, groupBy: readonly string[]): Framing {
  if (format.extension === 'json') {
    return { opening: Buffer.from('['), crlf: false, separator: COMMA, closing: CLOSING_BRACKET };
  }
  const opening = format.extension === 'csv' ? Buffer.from(csvHeader(format, groupBy)) : Buffer.alloc(0);
  return { opening, crlf: format.isExcel, separator: LF, closing: null };
}

/** Returns a file without rows of any format but Parquet: the header, `[]`, or nothing. */
export function emptyTextFile(format: FileFormat, groupBy: readonly string[]): Buffer {
  return format.extension === 'json' ? Buffer.from('[]') : buildFraming(format, groupBy).opening;
}

function csvHeader(format: FileFormat, groupBy: readonly string[]): string {
  const cells = [...FIXED_COLUMNS, ...groupBy, 'value'].map((name) => csvCell(name, format));
  return `${format.isExcel ? BYTE_ORDER_MARK : ''}${cells.join(format.delimiter)}${format.isExcel ? '\r\n' : '\n'}`;
}

/** Start of a text that a spreadsheet executes as a formula. Its source is a regular expression of PostgreSQL too. */
export const FORMULA_START = /^[=+@\t\r-]/;

/** Escapes a cell as buildCopyStatement() escapes those of the rows. */
function csvCell(text: string, { isExcel, delimiter }: FileFormat): string {
  const cell = isExcel && FORMULA_START.test(text) ? `'${text}` : text;
  return cell.includes(delimiter) || /["\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/**
 * Returns the format of an object key that Sluice wrote, in which `format` decides what a key does not say; null for other keys,
 * such as that of a manifest.
 */
export function parseExportKey(key: string, format: FileFormat): FileFormat | null {
  const match = /\.(?:(csv|json|ndjson)(\.gz|\.zst)?|(parquet))$/.exec(key);
  if (!match) return null;
  const extension = (match[1] ?? match[3]) as ObjectExtension;
  const compression = extension === 'parquet' ? format.compression : SUFFIXES[match[2] ?? ''];
  return { ...format, extension, compression: compression ?? 'NONE', isExcel: extension === 'csv' && format.isExcel };
}

const SUFFIXES: Readonly<Record<string, ObjectCompression>> = { '': 'NONE', '.gz': 'GZIP', '.zst': 'ZSTD' };
