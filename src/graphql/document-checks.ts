import { type DocumentNode, GraphQLError, type GraphQLSchema } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { weighDocument } from './document-limits.ts';

/** Gives errors of parsing and validation their codes, and refuses documents that ask for too much before they are validated. */
export const checkDocuments = (schema: GraphQLSchema): Plugin => {
  /** Documents come out of the cache as the same object. */
  const light = new WeakSet<DocumentNode>();
  return {
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
