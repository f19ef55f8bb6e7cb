// Pure: how rows become a file in each format, and what a key says about its file.
import type { JobSettings } from '../jobs/settings.ts';
import type { ObjectExtension } from '../jobs/destination.ts';

/** Rows are lines that end in LF. No row contains an LF, because names and values have no control characters. */
export interface Framing {
  /** Written before the first row. */
  readonly opening: Buffer;
  /** Replaces the LF of each row. */
  readonly separator: number;
  /** Replaces the last separator; null if the format has no closing. */
  readonly closing: number | null;
}

const LF = 0x0a;
const COMMA = 0x2c;
const CLOSING_BRACKET = 0x5d;

const FIXED_COLUMNS = ['meterApiName', 'bucketStart', 'bucketEnd'] as const;

export function extensionOf(format: JobSettings['format']): ObjectExtension {
  return ({ CSV: 'csv', JSON: 'json', NDJSON: 'ndjson', PARQUET: 'parquet' } as const)[format];
}

const CONTENT_TYPES: Record<ObjectExtension, string> = {
  csv: 'text/csv; charset=utf-8',
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
};

/** Returns the content type. Compressed files have one of their own, not a Content-Encoding, which some clients decode silently. */
export function contentTypeOf(extension: ObjectExtension, compressed: boolean): string {
  return compressed ? 'application/gzip' : CONTENT_TYPES[extension];
}

export function buildFraming(extension: ObjectExtension, groupBy: readonly string[]): Framing {
  if (extension === 'json') return { opening: Buffer.from('['), separator: COMMA, closing: CLOSING_BRACKET };
  const opening = extension === 'csv' ? Buffer.from(csvHeader(groupBy)) : Buffer.alloc(0);
  return { opening, separator: LF, closing: null };
}

/** Returns a file without rows: the header, `[]`, or nothing. */
export function emptyFile(extension: ObjectExtension, groupBy: readonly string[]): Buffer {
  return extension === 'json' ? Buffer.from('[]') : buildFraming(extension, groupBy).opening;
}

function csvHeader(groupBy: readonly string[]): string {
  return `${[...FIXED_COLUMNS, ...groupBy, 'value'].map(csvField).join(',')}\n`;
}

/** Quotes a field if RFC 4180 requires it, as PostgreSQL quotes the rows. */
const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Returns the extension and compression of an object key that Sluice wrote; null for other keys, such as that of a manifest. */
export function parseExportKey(key: string): { extension: ObjectExtension; compressed: boolean } | null {
  const match = /\.(csv|json|ndjson)(\.gz)?$/.exec(key);
  return match ? { extension: match[1] as ObjectExtension, compressed: match[2] !== undefined } : null;
}
