import { type DocumentNode, GraphQLError, type GraphQLSchema } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { weighDocument } from './document-limits.ts';

/** Gives errors of parsing and validation their codes, and refuses documents that ask for too much before they are validated. */
export const checkDocuments = (schema: GraphQLSchema): Plugin => {
  /** Documents come out of the cache as the same object. */
  const light = new WeakSet<DocumentNode>();
  return {
    onParams: ({ params }) => {
      // Yoga answers it with 200 where plain JSON is asked for; but such a request asks for nothing at all.
      if (isObject(params) && params['query'] == null) throw badRequest('Must provide query string.');
    },
    onParse:
      () =>
      ({ result, replaceParseResult }) => {
        const problem = problemOf(schema, light, result);
        if (problem) replaceParseResult(problem);
      },
    onValidate:
      () =>
      ({ valid, result }) => {
        if (valid) return;
        for (const error of result) Object.assign(error.extensions, { code: 'GRAPHQL_VALIDATION_FAILED' });
      },
  };
};

/** The body as it came, whatever it is. */
const isObject = (params: unknown): params is Record<string, unknown> => typeof params === 'object' && params !== null;

const badRequest = (message: string): GraphQLError =>
  new GraphQLError(message, { extensions: { code: 'BAD_REQUEST', http: { status: 400 } } });

const problemOf = (schema: GraphQLSchema, light: WeakSet<DocumentNode>, parsed: unknown): GraphQLError | null => {
  if (parsed instanceof RangeError) {
    // The parser calls itself for each level, and ran out of stack.
    return new GraphQLError('The document is nested too deeply.', { extensions: { code: 'GRAPHQL_PARSE_FAILED' } });
  }
  if (parsed instanceof GraphQLError) {
    Object.assign(parsed.extensions, { code: 'GRAPHQL_PARSE_FAILED' });
    return null;
  }
  const document = parsed as DocumentNode;
  if (light.has(document)) return null;
  const problem = weighDocument(schema, document);
  if (!problem) light.add(document);
  return problem;
};
