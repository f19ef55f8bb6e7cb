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
import { brief } from '../../lib/brief.ts';
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
      const noLocation = isLong(typeof source === 'string' ? source : source.body);
      return parse(source, { ...options, maxTokens: limits.maxTokens, noLocation });
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
      setValidationFn(introspection ? validateAll : validateSilently);
      return ({ valid, result }) => {
        if (valid) return;
        for (const error of result) {
          error.message = brief(error.message, MAX_MESSAGE);
          Object.assign(error.extensions, { code: 'GRAPHQL_VALIDATION_FAILED' });
        }
      };
    },
    onExecute: ({ args }) => {
      Object.assign(args, { hideSuggestions: !introspection });
    },
  };
};

/**
 * Each error of validation reads the document up to its place in order to count lines, and there are up to a hundred errors:
 * those of a long document come without `locations`.
 */
const MAX_LOCATED_CHARACTERS = 100_000;
const MAX_LOCATED_LINES = 5000;

const isLong = (text: string): boolean => {
  if (text.length > MAX_LOCATED_CHARACTERS) return true;
  if (text.length < MAX_LOCATED_LINES) return false;
  let lines = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x0a || code === 0x0d) lines += 1;
  }
  return lines > MAX_LOCATED_LINES;
};

/** Errors print the part of the document that they are about, which may be most of it: of a long one only one is reported. */
const maxErrorsOf = (document: DocumentNode): number => (document.loc === undefined ? 1 : 100);
const MAX_MESSAGE = 1000;

const validateAll = (schema: GraphQLSchema, document: DocumentNode): readonly GraphQLError[] =>
  validate(schema, document, specifiedRules, { maxErrors: maxErrorsOf(document) });

const RULES = [...specifiedRules, NoSchemaIntrospectionCustomRule];

const validateSilently = (schema: GraphQLSchema, document: DocumentNode): readonly GraphQLError[] =>
  validate(schema, document, RULES, { hideSuggestions: true, maxErrors: maxErrorsOf(document) });

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
    `has more than ${limits.maxTokens} tokens`,
    'Send values as variables, and request less at a time',
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
    parsed.message = brief(parsed.message, MAX_MESSAGE);
    if (parsed.extensions['code'] === undefined) Object.assign(parsed.extensions, { code: 'GRAPHQL_PARSE_FAILED' });
    return null;
  }
  const document = parsed as DocumentNode;
  if (light.has(document)) return null;
  const problem = weighDocument(schema, document, limits);
  if (!problem) light.add(document);
  return problem;
};
