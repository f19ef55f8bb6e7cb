import { type DocumentNode, GraphQLError, type GraphQLSchema, parse } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { truncate } from '../../lib/truncate.ts';
import { hasMoreComments } from './document-comments.ts';
import { documentTooLarge, type DocumentLimits, findExceededLimit } from './document-limits.ts';
import { badRequest } from './persisted-documents.ts';

/** Rejects documents that exceed a limit before they are validated, and gives syntax errors their code. */
export function useDocumentLimits(schema: GraphQLSchema, limits: DocumentLimits): Plugin {
  /** Documents within the limits. Yoga's cache returns the same object for the same text. */
  const checked = new WeakSet<DocumentNode>();

  function findProblem(parsed: unknown): GraphQLError | null {
    if (parsed instanceof RangeError) {
      // The parser is recursive: the document has more levels than the call stack allows.
      return new GraphQLError('The document is nested too deeply.', { extensions: { code: 'GRAPHQL_PARSE_FAILED' } });
    }
    if (parsed instanceof GraphQLError) {
      parsed.message = truncate(parsed.message, MAX_MESSAGE);
      if (parsed.extensions['code'] === undefined) Object.assign(parsed.extensions, { code: 'GRAPHQL_PARSE_FAILED' });
      return null;
    }
    const document = parsed as DocumentNode;
    if (checked.has(document)) return null;
    const problem = findExceededLimit(schema, document, limits);
    if (!problem) checked.add(document);
    return problem;
  }

  return {
    onParams: ({ params }) => {
      // Yoga responds with status 200 if the client accepts application/json, although the request has no operation.
      if (isObject(params) && params['query'] == null) throw badRequest('Must provide query string.');
    },
    onParse: ({ setParseFn }) => {
      setParseFn(createParser(limits));
      return ({ result, replaceParseResult }) => {
        const problem = findProblem(result);
        if (problem) replaceParseResult(problem);
      };
    },
  };
}

function createParser(limits: DocumentLimits): typeof parse {
  return (source, options) => {
    try {
      const text = typeof source === 'string' ? source : source.body;
      const noLocation = isLong(text);
      if (noLocation && hasMoreComments(text, limits.maxTokens)) throw tooManyComments(limits);
      return parse(source, { ...options, maxTokens: limits.maxTokens, noLocation });
    } catch (error) {
      throw isTokenLimitError(error) ? tooManyTokens(limits) : error;
    }
  };
}

/**
 * A validation error reads the document up to its position to count lines, and up to 100 errors are reported. So errors of
 * longer documents have no `locations`.
 */
const MAX_LOCATED_CHARACTERS = 100_000;
const MAX_LOCATED_LINES = 5000;

function isLong(text: string): boolean {
  if (text.length > MAX_LOCATED_CHARACTERS) return true;
  if (text.length < MAX_LOCATED_LINES) return false;
  let lines = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x0a || code === 0x0d) lines += 1;
  }
  return lines > MAX_LOCATED_LINES;
}

const MAX_MESSAGE = 1000;

/** The parameters are the body as parsed, which may be any JSON value. */
const isObject = (params: unknown): params is Record<string, unknown> => typeof params === 'object' && params !== null;

/** The parser of graphql reports its token limit by the message only. */
function isTokenLimitError(error: unknown): boolean {
  return error instanceof GraphQLError && /more than \d+ tokens/.test(error.message);
}

function tooManyComments(limits: DocumentLimits): GraphQLError {
  return documentTooLarge(limits, 'maxTokens', `has more than ${limits.maxTokens} comments`, 'Leave out the comments');
}

function tooManyTokens(limits: DocumentLimits): GraphQLError {
  const problem = `has more than ${limits.maxTokens} tokens`;
  return documentTooLarge(limits, 'maxTokens', problem, 'Send values as variables, and request less at a time');
}
