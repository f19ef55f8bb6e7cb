// Pure: pages by keyset. A cursor holds the sort key of its row, so a page costs the same however deep it lies.
import { BadUserInputError } from '../errors/errors.ts';
import { isUuid } from '../lib/ids.ts';
import { parseTimestamp } from '../lib/timestamps.ts';

export const DEFAULT_PAGE = 20;
export const MAX_PAGE = 100;

/** As Relay's connections ask. */
export interface PageArguments {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
  /** Rows of the largest page: 100 where left out. */
  readonly most?: number | undefined;
}

/** A page as the database is asked for it. */
export interface PageRequest {
  readonly backward: boolean;
  readonly limit: number;
  /** Sort keys to stay behind and before; null where the list begins or ends there. */
  readonly after: readonly string[] | null;
  readonly before: readonly string[] | null;
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
}

export const encodeCursor = (key: readonly string[]): string => Buffer.from(JSON.stringify(key)).toString('base64url');

/** Throws BadUserInputError for sizes beyond the largest or below 0, first with last, and cursors that are none. */
export const readPage = (
  args: PageArguments,
  keyLength: number,
  valid: (key: readonly string[]) => boolean,
): PageRequest => {
  const { first, last, most = MAX_PAGE } = args;
  if (first != null && last != null) throw new BadUserInputError('Give first or last, not both.');
  for (const [name, size] of [
    ['first', first],
    ['last', last],
  ] as const) {
    if (size != null && (size < 0 || size > most)) {
      throw new BadUserInputError(`${name} is 0 to ${most}; ${size} was asked for.`);
    }
  }
  const decode = (name: string, cursor: string | null | undefined): readonly string[] | null => {
    if (cursor == null) return null;
    const key = decodeCursor(cursor);
    if (!key || key.length !== keyLength || !valid(key)) {
      throw new BadUserInputError(`${name} is no cursor of this list.`);
    }
    return key;
  };
  return {
    backward: last != null,
    limit: last ?? first ?? Math.min(DEFAULT_PAGE, most),
    after: decode('after', args.after),
    before: decode('before', args.before),
  };
};

/** Longer than any sort key, of which the longest holds the name of a stream. */
const MAX_CURSOR = 4096;

const decodeCursor = (cursor: string): string[] | null => {
  if (cursor.length > MAX_CURSOR) return null;
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    return Array.isArray(key) && key.every((part) => typeof part === 'string') ? key : null;
  } catch {
    return null;
  }
};

/** Parts of the sort key of a cursor; undefined if it is not one. */
export const cursorLength = (cursor: string): number | undefined => decodeCursor(cursor)?.length;

/** Makes the page of up to limit + 1 rows, which came in the order of the request's direction. */
export const toPage = <Row>(request: PageRequest, rows: readonly Row[]): Page<Row> => {
  const more = rows.length > request.limit;
  const kept = rows.slice(0, request.limit);
  return request.backward
    ? { rows: kept.reverse(), hasNextPage: request.before !== null, hasPreviousPage: more }
    : { rows: kept, hasNextPage: more, hasPreviousPage: request.after !== null };
};

/** Whether a sort key is a moment, as toISOString writes it, and a UUID. What is none would fail in the database only. */
export const isMomentAndId = ([at = '', id = '']: readonly string[]): boolean => {
  const milliseconds = parseTimestamp(at);
  return milliseconds !== null && new Date(milliseconds).toISOString() === at && isUuid(id);
};
