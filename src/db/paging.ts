// Pure: keyset pagination. A cursor contains the sort key of its row, so each page costs the same, regardless of its position.
import { BadUserInputError } from '../errors/errors.ts';
import { isUuid } from '../lib/ids.ts';
import { parseTimestamp } from '../lib/timestamps.ts';

export const DEFAULT_PAGE = 20;
export const MAX_PAGE = 100;

/** The arguments of Relay's connections. */
export interface PageArguments {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
  /** Maximum number of rows of a page. Defaults to 100. */
  readonly most?: number | undefined;
}

/** The page that a statement selects. */
export interface PageRequest {
  readonly backward: boolean;
  readonly limit: number;
  /** Sort keys that the page is after and before; null without such a bound. */
  readonly after: readonly string[] | null;
  readonly before: readonly string[] | null;
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
}

export const encodeCursor = (key: readonly string[]): string => Buffer.from(JSON.stringify(key)).toString('base64url');

/** Throws BadUserInputError if a size is below 0 or above the maximum, both first and last are set, or a cursor is not valid. */
export function readPage(
  args: PageArguments,
  keyLength: number,
  isValid: (key: readonly string[]) => boolean,
): PageRequest {
  const { first, last, most = MAX_PAGE } = args;
  if (first != null && last != null) throw new BadUserInputError('Set first or last, not both.');
  for (const [name, size] of Object.entries({ first, last })) {
    if (size != null && (size < 0 || size > most)) {
      throw new BadUserInputError(`${name} must be 0 to ${most}, not ${size}.`);
    }
  }
  const decode = (name: string, cursor: string | null | undefined): readonly string[] | null => {
    if (cursor == null) return null;
    const key = decodeCursor(cursor);
    if (!key || key.length !== keyLength || !isValid(key)) {
      throw new BadUserInputError(`${name} is not a valid cursor of this list.`);
    }
    return key;
  };
  return {
    backward: last != null,
    limit: last ?? first ?? Math.min(DEFAULT_PAGE, most),
    after: decode('after', args.after),
    before: decode('before', args.before),
  };
}

/** Longer than every cursor: the longest sort key contains the name of a stream. */
const MAX_CURSOR_LENGTH = 4096;

function decodeCursor(cursor: string): string[] | null {
  if (cursor.length > MAX_CURSOR_LENGTH) return null;
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    return Array.isArray(key) && key.every((part) => typeof part === 'string') ? key : null;
  } catch {
    return null;
  }
}

/** Returns the number of parts of a cursor's sort key; undefined if the cursor is not valid. */
export const countCursorParts = (cursor: string): number | undefined => decodeCursor(cursor)?.length;

/** Makes a page of up to limit + 1 rows, which are in the order of the request's direction. */
export function toPage<Row>(request: PageRequest, rows: readonly Row[]): Page<Row> {
  const more = rows.length > request.limit;
  const kept = rows.slice(0, request.limit);
  return request.backward
    ? { rows: kept.reverse(), hasNextPage: request.before !== null, hasPreviousPage: more }
    : { rows: kept, hasNextPage: more, hasPreviousPage: request.after !== null };
}

/** Whether a sort key is a timestamp as toISOString() writes it and a UUID. Others would fail in the database. */
export function isTimestampAndId([at = '', id = '']: readonly string[]): boolean {
  const milliseconds = parseTimestamp(at);
  return milliseconds !== null && new Date(milliseconds).toISOString() === at && isUuid(id);
}
