import { z } from 'zod';
import { encodeCursor, MAX_PAGE, type Page } from '../db/paging.ts';
import { ValidationError } from '../errors/errors.ts';
import type { Call, ParameterDocument } from './route.ts';

// Lists of jobs and of runs, a page at a time.

const sizeUpTo = (most: number) => z.coerce.number().int().min(1).max(most).default(most);

export const listParameters: readonly ParameterDocument[] = [
  {
    name: 'limit',
    in: 'query',
    schema: sizeUpTo(MAX_PAGE),
    description: `How many: 1 to ${MAX_PAGE} (a setting), and as many where left out.`,
  },
  { name: 'after', in: 'query', schema: z.string().optional(), description: 'Out of the Link with rel="next".' },
];

export const readPageParameters = (call: Call): { first: number; after: string | null; most: number } => {
  const { maxPage } = call.services.limits;
  const limit = sizeUpTo(maxPage).safeParse(call.query().get('limit') ?? undefined);
  if (!limit.success) {
    const message = `Must be a whole number from 1 to ${maxPage}.`;
    throw new ValidationError([{ path: ['limit'], code: 'BAD_VALUE', message }]);
  }
  return { first: limit.data, after: call.query().get('after'), most: maxPage };
};

/**
 * The address of the next page, as a header: relative to that of the request, of which a proxy may have shortened the path
 * by a prefix.
 */
export const buildNextLink = <Row extends { createdAt: Date; id: string }>(
  { first }: { first: number },
  { rows, hasNextPage }: Page<Row>,
): Record<string, string> => {
  const last = rows.at(-1);
  if (!hasNextPage || !last) return {};
  const query = new URLSearchParams({
    limit: String(first),
    after: encodeCursor([last.createdAt.toISOString(), last.id]),
  });
  return { Link: `<?${query}>; rel="next"` };
};

export const NEXT = { Link: 'Where there are more: the address of the next page, rel="next".' };
