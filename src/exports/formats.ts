// Pure: how rows are framed as a file, in each format.
import type { JobSettings } from '../jobs/settings.ts';
import type { ObjectExtension } from '../jobs/destination.ts';

/** Rows reach the framing as lines that end in LF; no row contains one, since names and values hold no controls. */
export interface Framing {
  /** Written before the first row. */
  readonly opening: Buffer;
  /** Stands in the place of each row's LF. */
  readonly separator: number;
  /** Takes the place of the last separator; null where the file just ends. */
  readonly closing: number | null;
}

const LF = 0x0a;
const COMMA = 0x2c;
const CLOSING_BRACKET = 0x5d;

const FIXED_COLUMNS = ['meterApiName', 'bucketStart', 'bucketEnd'] as const;

export const extensionOf = (format: JobSettings['format']): ObjectExtension =>
  ({ CSV: 'csv', JSON: 'json', NDJSON: 'ndjson' } as const)[format];

const CONTENT_TYPES: Record<ObjectExtension, string> = {
  csv: 'text/csv; charset=utf-8',
  json: 'application/json',
  ndjson: 'application/x-ndjson',
};

/** Compressed files say so by their name and type, and not by Content-Encoding, which some clients undo in silence. */
export const contentTypeOf = (extension: ObjectExtension, compressed: boolean): string =>
  compressed ? 'application/gzip' : CONTENT_TYPES[extension];

export const framingOf = (extension: ObjectExtension, groupBy: readonly string[]): Framing => {
  if (extension === 'json') return { opening: Buffer.from('['), separator: COMMA, closing: CLOSING_BRACKET };
  const opening = extension === 'csv' ? Buffer.from(csvHeader(groupBy)) : Buffer.alloc(0);
  return { opening, separator: LF, closing: null };
};

/** A file of the format with no rows: the header only, `[]`, or nothing. */
export const emptyFile = (extension: ObjectExtension, groupBy: readonly string[]): Buffer =>
  extension === 'json' ? Buffer.from('[]') : framingOf(extension, groupBy).opening;

const csvHeader = (groupBy: readonly string[]): string =>
  `${[...FIXED_COLUMNS, ...groupBy, 'value'].map(csvField).join(',')}\n`;

/** RFC 4180: quoted where it must be, as Postgres quotes the rows. */
const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Extension and compression of a key that Sluice wrote. */
export const parseExportKey = (key: string): { extension: ObjectExtension; compressed: boolean } | null => {
  const match = /\.(csv|json|ndjson)(\.gz)?$/.exec(key);
  return match ? { extension: match[1] as ObjectExtension, compressed: match[2] !== undefined } : null;
};
