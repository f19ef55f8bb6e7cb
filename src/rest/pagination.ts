import { z } from 'zod';
import { encodeCursor, MAX_PAGE, type Page } from '../db/paging.ts';
import { ValidationError } from '../errors/errors.ts';
import type { Call, ParameterDocument } from './route.ts';

// Pages of lists.

export const limitUpTo = (most: number) => z.coerce.number().int().min(1).max(most).default(most);

export const listParameters: readonly ParameterDocument[] = [
  {
    name: 'limit',
    in: 'query',
    schema: limitUpTo(MAX_PAGE),
    description: `Page size, 1 to ${MAX_PAGE} (MAX_PAGE_SIZE). Defaults to the maximum.`,
  },
  {
    name: 'after',
    in: 'query',
    schema: z.string().optional(),
    description: 'Cursor from the Link header with rel="next".',
  },
];

/** Returns the query parameter `limit`, or `most` if there is none. Throws ValidationError. */
export function readLimit(call: Call, most: number): number {
  const limit = limitUpTo(most).safeParse(call.query().get('limit') ?? undefined);
  if (limit.success) return limit.data;
  const message = `Must be a whole number from 1 to ${most}.`;
  throw new ValidationError([{ path: ['limit'], code: 'BAD_VALUE', message }]);
}

export function readPageParameters(call: Call): { first: number; after: string | null; most: number } {
  const { maxPage } = call.services.limits;
  return { first: readLimit(call, maxPage), after: call.query().get('after'), most: maxPage };
}

/** Returns the Link header of the next page of a list that is sorted by the time of creation. */
export function buildNextLink<Row extends { createdAt: Date; id: string }>(
  asked: { first: number },
  page: Page<Row>,
): Record<string, string> {
  return buildLink(asked, page, (row) => [row.createdAt.toISOString(), row.id]);
}

/** Returns the Link header of the next page. Its URL is relative, because a proxy may have removed a prefix from the path. */
export function buildLink<Row>(
  { first }: { first: number },
  { rows, hasNextPage }: Page<Row>,
  keyOf: (row: Row) => readonly string[],
): Record<string, string> {
  const last = rows.at(-1);
  if (!hasNextPage || !last) return {};
  const query = new URLSearchParams({ limit: String(first), after: encodeCursor(keyOf(last)) });
  return { Link: `<?${query}>; rel="next"` };
}

export const NEXT = { Link: 'URL of the next page with rel="next", if there is one.' };
