import fc from 'fast-check';
import { Lexer, Source, TokenKind } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasMoreComments } from '../../src/graphql/plugins/document-comments.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

/** Number of comments that the lexer of graphql finds; null if the text is not a document. */
function countByLexer(text: string): number | null {
  const lexer = new Lexer(new Source(text));
  let comments = 0;
  try {
    // advance() skips comments, which are in the list of tokens.
    while (lexer.advance().kind !== TokenKind.EOF);
  } catch {
    return null;
  }
  for (let token = lexer.token; token.prev; token = token.prev)
    if (token.prev.kind === TokenKind.COMMENT) comments += 1;
  return comments;
}

test('comments of a document > are those that the lexer of graphql finds', () => {
  const part = fc.constantFrom('#', '\n', '\r', '"', '""', '"""', '\\', '\\"', '\\"""', 'a', ' ', '{', '""""""');
  const text = fc.array(part, { maxLength: 14 }).map((parts) => parts.join(''));
  let compared = 0;
  fc.assert(
    fc.property(text, (document) => {
      const count = countByLexer(document);
      if (count === null) return;
      compared += count;
      expect(hasMoreComments(document, count)).toBe(false);
      if (count > 0) expect(hasMoreComments(document, count - 1)).toBe(true);
    }),
    { numRuns: 20_000 },
  );
  expect(compared).toBeGreaterThan(1000);
});

describe('document with many comments', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ env: { ROLE: 'api', MAX_DOCUMENT_TOKENS: '50000' } });
  });
  afterAll(() => server.stop());

  const send = async (query: string): Promise<unknown> => {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: {
        'x-api-key': server.key,
        'content-type': 'application/json',
        accept: 'application/graphql-response+json',
      },
      body: JSON.stringify({ query }),
    });
    return { status: response.status, body: await response.json() };
  };

  test('is rejected when it has more comments than tokens are allowed', async () => {
    expect(await send(`${'#\n'.repeat(50_001)}{viewer{accountName}}`)).toMatchObject({
      status: 400,
      body: {
        errors: [
          {
            message: 'The document has more than 50000 comments. Leave out the comments.',
            extensions: { code: 'DOCUMENT_TOO_LARGE', setting: 'MAX_DOCUMENT_TOKENS', limit: 50_000 },
          },
        ],
      },
    });
  });

  test('is executed when it has fewer, or when the signs are in a string', async () => {
    const expected = { status: 200, body: { data: { viewer: { accountName: 'default' } } } };
    expect(await send(`${'#\n'.repeat(50_000)}{viewer{accountName}}`)).toEqual(expected);
    const search = `"${'#'.repeat(60_000)}"`;
    const document = `query ($no: Boolean = false) { viewer { accountName } jobs(search: ${search}) @include(if: $no) { totalCount } }`;
    expect(await send(document)).toEqual(expected);
  });
});
