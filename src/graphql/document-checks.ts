import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  NoSchemaIntrospectionCustomRule,
  parse,
  specifiedRules,
  validate,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { type DocumentLimits, tooLarge, weighDocument } from './document-limits.ts';

export interface DocumentChecks {
  readonly schema: GraphQLSchema;
  readonly limits: DocumentLimits;
  /** False: nobody is told what the schema has, neither asked nor by the way. */
  readonly introspection: boolean;
}

/** Gives errors of parsing and validation their codes, and refuses documents that ask for too much before they are validated. */
export const checkDocuments = ({ schema, limits, introspection }: DocumentChecks): Plugin => {
  /** Documents come out of the cache as the same object. */
  const light = new WeakSet<DocumentNode>();
  const parseWithin: typeof parse = (source, options) => {
    try {
      return parse(source, { ...options, maxTokens: limits.maxTokens });
    } catch (error) {
      throw isOfTokens(error) ? tooManyTokens(limits) : error;
    }
  };
  return {
    onParams: ({ params }) => {
      // Yoga answers it with 200 where plain JSON is asked for; but such a request asks for nothing at all.
      if (isObject(params) && params['query'] == null) throw badRequest('Must provide query string.');
    },
    onParse: ({ setParseFn }) => {
      setParseFn(parseWithin);
      return ({ result, replaceParseResult }) => {
        const problem = problemOf(schema, limits, light, result);
        if (problem) replaceParseResult(problem);
      };
    },
    onValidate: ({ setValidationFn }) => {
      if (!introspection) setValidationFn(validateSilently);
      return ({ valid, result }) => {
        if (valid) return;
        for (const error of result) Object.assign(error.extensions, { code: 'GRAPHQL_VALIDATION_FAILED' });
      };
    },
    onExecute: ({ args }) => {
      Object.assign(args, { hideSuggestions: !introspection });
    },
  };
};

const RULES = [...specifiedRules, NoSchemaIntrospectionCustomRule];

const validateSilently = (schema: GraphQLSchema, document: DocumentNode): readonly GraphQLError[] =>
  validate(schema, document, RULES, { hideSuggestions: true });

/** The body as it came, whatever it is. */
const isObject = (params: unknown): params is Record<string, unknown> => typeof params === 'object' && params !== null;

const badRequest = (message: string): GraphQLError =>
  new GraphQLError(message, { extensions: { code: 'BAD_REQUEST', http: { status: 400 } } });

/** The parser has no other sign for it. */
const isOfTokens = (error: unknown): boolean =>
  error instanceof GraphQLError && /more than \d+ tokens/.test(error.message);

const tooManyTokens = (limits: DocumentLimits): GraphQLError =>
  tooLarge(
    limits,
    'maxTokens',
    `has more than ${limits.maxTokens} words, numbers and marks`,
    'send values as variables, and ask for less at a time',
  );

const problemOf = (
  schema: GraphQLSchema,
  limits: DocumentLimits,
  light: WeakSet<DocumentNode>,
  parsed: unknown,
): GraphQLError | null => {
  if (parsed instanceof RangeError) {
    // The parser calls itself for each level, and ran out of stack.
    return new GraphQLError('The document is nested too deeply.', { extensions: { code: 'GRAPHQL_PARSE_FAILED' } });
  }
  if (parsed instanceof GraphQLError) {
    if (parsed.extensions['code'] === undefined) Object.assign(parsed.extensions, { code: 'GRAPHQL_PARSE_FAILED' });
    return null;
  }
  const document = parsed as DocumentNode;
  if (light.has(document)) return null;
  const problem = weighDocument(schema, document, limits);
  if (!problem) light.add(document);
  return problem;
};
